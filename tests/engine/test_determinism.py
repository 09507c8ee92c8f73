"""Real measuring, real worker processes: one configuration and seed have one journal, however they are run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFIG = """
name: run
space: {name: nats_tss, channels: 4, cells: 1}
data: {source: noise, shape: [3, 16, 16], n: 6}
fitness:
  proxies: {rbflex: {networks: 3}, naswot: {}, synflow: {}}
  objective: {rank: [rbflex, naswot, synflow], rule: log}
strategy: {name: genetic, population: 10}
budget: {evaluations: 40}
device: cpu
"""


def journal(folder: Path, hash_seed: str, **settings: object) -> tuple[list[dict], dict]:
    """Runs a search in a process of its own; returns its journal without times, and what the evaluator counted."""
    folder.mkdir()
    config = folder / "config.yaml"
    config.write_text(CONFIG)
    changes = {"runs": folder, "cache": "off", **settings}
    arguments = [part for key, value in changes.items() for part in ("--set", f"{key}={value}")]
    command = [sys.executable, "-c", "from engine.cli import main; main()", "search", str(config), *arguments]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PYTHONHASHSEED": hash_seed}, timeout=110)
    lines = [json.loads(line) for line in (folder / "run" / "journal.jsonl").read_text().splitlines()]
    counted = json.loads((folder / "run" / "result.json").read_text())["evaluator"]
    return [{k: v for k, v in line.items() if not k.startswith("time_")} for line in lines], counted


@pytest.mark.slow
def test_micro_batches_workers_processes_and_caches_change_nothing_in_the_journal(tmp_path: Path) -> None:
    cache = tmp_path / "cache.sqlite"
    first, counted = journal(tmp_path / "a", "0", workers=1, micro_batch=1, cache=cache)
    assert len(first) == 41
    assert counted["measured"] >= 40
    for name, settings in {
        "b": {"workers": 1, "micro_batch": 4},
        "c": {"workers": 1, "micro_batch": 16},
        "d": {"workers": 2, "micro_batch": 1},
        "e": {"workers": 2, "micro_batch": 16},
    }.items():
        assert journal(tmp_path / name, "4711", **settings)[0] == first
    again, counted = journal(tmp_path / "f", "1", cache=cache)
    assert again == first
    assert counted["measured"] == 0
