"""Real measuring, real worker processes: one configuration and seed have one journal, however they are run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rbflex_evo.engine.configuration.config import parse_config
from rbflex_evo.engine.configuration.yaml_reader import read_file
from rbflex_evo.engine.search.search import Search

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
cache: "off"
workers: 1
"""


def without_times(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "run" / "journal.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if not k.startswith("time_")} for line in lines]


def journal(folder: Path, **settings: Any) -> tuple[list[dict[str, Any]], int]:
    """Runs a search; returns its journal without times, and how many candidates were measured."""
    folder.mkdir()
    config = folder / "config.yaml"
    config.write_text(CONFIG)
    result = Search(parse_config({**read_file(config), "runs": str(folder), **settings}), quiet=True, report=False).run()
    return without_times(folder), result.document["evaluator"]["measured"]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    lines, _ = journal(tmp_path_factory.mktemp("determinism") / "first", micro_batch=1)
    assert len(lines) == 41
    return lines


@pytest.mark.parametrize("micro_batch", [4, 16])
def test_micro_batches_change_nothing_in_the_journal(tmp_path: Path, first: list[dict[str, Any]], micro_batch: int) -> None:
    assert journal(tmp_path / "a", micro_batch=micro_batch)[0] == first


@pytest.mark.slow
@pytest.mark.parametrize("micro_batch", [1, 16])
def test_workers_change_nothing_in_the_journal(tmp_path: Path, first: list[dict[str, Any]], micro_batch: int) -> None:
    assert journal(tmp_path / "a", workers=2, micro_batch=micro_batch)[0] == first


ASYNCHRONOUS = {"name": "regularised_evolution", "population": 10, "batch": 2, "asynchronous": True, "ahead": 8}


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["random", ASYNCHRONOUS], ids=["random", "asynchronous"])
def test_workers_change_nothing_in_the_journal_of_a_strategy_that_is_asked_ahead(tmp_path: Path, strategy: Any) -> None:
    lines = [
        journal(
            tmp_path / f"{workers}", strategy=strategy, workers=workers, micro_batch=2, cache=str(tmp_path / f"{workers}.sqlite")
        )
        for workers in (1, 2, 3)
    ]
    assert lines[0][0] == lines[1][0] == lines[2][0]
    # Ten networks are measured for the gammas, and a budget leaves nothing in flight.
    assert {measured for _, measured in lines} == {lines[0][1]}


def test_a_cached_search_into_another_folder_measures_nothing(tmp_path: Path, first: list[dict[str, Any]]) -> None:
    cache = str(tmp_path / "cache.sqlite")
    measured = [journal(tmp_path / name, cache=cache) for name in ("a", "b")]
    assert measured[0][0] == measured[1][0] == first
    assert measured[0][1] >= 40
    assert measured[1][1] == 0


@pytest.mark.slow
def test_another_process_with_another_hash_seed_writes_the_same_journal(tmp_path: Path, first: list[dict[str, Any]]) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    command = [
        sys.executable,
        "-c",
        "from rbflex_evo.engine.commands.app import main; main()",
        "search",
        str(config),
        "--set",
        f"runs={tmp_path}",
    ]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PYTHONHASHSEED": "4711"}, timeout=110)
    assert without_times(tmp_path) == first
