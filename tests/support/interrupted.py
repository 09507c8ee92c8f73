"""Searches that are ended before they are finished, in this process or as a real one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rbflex_evo.engine.configuration.config import Config
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import Genotype, create_space
from tests.support.instant import InstantEvaluator, instant_search

ROUNDS = 400
CHANGES: dict[str, Any] = {"budget": {"evaluations": 1500}}


class PulledPlugError(Exception):
    """Stands for any end of the process between two evaluations."""


class Stopping(InstantEvaluator):
    """Ends the process's work before a given evaluation."""

    def __init__(self, limit: int) -> None:
        super().__init__(create_space("toy", genes=12, choices=4))
        self.limit = limit

    def evaluate(self, pairs: Sequence[tuple[str, Genotype]]) -> Iterator[Evaluation]:
        for evaluation in super().evaluate(pairs):
            if len(self.asked) > self.limit:
                raise PulledPlugError
            yield evaluation


def run_to_the_end(config: Config, rounds: int = 1) -> tuple[Path, list[str]]:
    search, evaluator = instant_search(config, rounds)
    return search.run().folder, evaluator.asked


def start(runs: Path, changes: dict[str, Any] = CHANGES, **environment: str) -> subprocess.Popen[str]:
    return spawn([sys.executable, "-m", "tests.support.instant", str(runs), str(ROUNDS), json.dumps(changes)], **environment)


def spawn(command: list[str], **environment: str) -> subprocess.Popen[str]:
    """Starts a process in a group of its own, as a terminal does, with Ctrl-C not ignored wherever the tests run."""
    return subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for_bytes(process: subprocess.Popen[str], path: Path, size: int) -> None:
    while process.poll() is None:
        if path.exists() and path.stat().st_size >= size:
            return


def send_when_it_holds(process: subprocess.Popen[str], journal: Path, size: int, number: int) -> int:
    wait_for_bytes(process, journal, size)
    process.send_signal(number)
    process.communicate()
    return process.returncode
