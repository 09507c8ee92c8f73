"""A search finds the same in any program: whatever the caller has set, and in several threads at once."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from rbflex_evo.engine.configuration.config import parse_config
from rbflex_evo.engine.search.search import Search, open_search
from rbflex_evo.spaces.isolation.random_state import RandomState, global_generators
from tests.support.instant import journal_without_times


def values(folder, name="isolated", workers=1):
    return {
        "name": name,
        "runs": str(folder),
        "space": {"name": "nats_tss", "channels": 4, "cells": 1},
        "data": {"source": "noise", "shape": [3, 16, 16], "n": 4},
        "fitness": {"proxies": {"rbflex": {"gamma": "flat"}, "naswot": {}}, "objective": {"rank": ["rbflex", "naswot"]}},
        "strategy": {"name": "genetic", "population": 4},
        "budget": {"evaluations": 12},
        "workers": workers,
        "cache": "off",
    }


def config(folder, name="isolated"):
    return parse_config(values(folder, name))


@pytest.fixture(scope="module")
def as_ever(tmp_path_factory):
    result = Search(config(tmp_path_factory.mktemp("runs")), quiet=True, report=False).run()
    return journal_without_times(result.folder)


def in_another_program(call):
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        with torch.no_grad(), np.errstate(all="raise"), warnings.catch_warnings():
            warnings.simplefilter("error")
            return call()
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)


def test_a_search_finds_the_same_whatever_the_caller_has_set(tmp_path, as_ever):
    before = RandomState.of(global_generators())
    result = in_another_program(lambda: Search(config(tmp_path), quiet=True, report=False).run())
    assert journal_without_times(result.folder) == as_ever
    assert not before.moved()
    network = in_another_program(result.network)
    assert {(p.dtype, p.device.type) for p in network.parameters()} == {(torch.float32, "cpu")}


def test_between_the_steps_of_a_loop_the_settings_are_those_of_the_caller(tmp_path, as_ever):
    def run():
        with open_search(config(tmp_path), quiet=True) as search:
            while not search.finished:
                evaluations = search.evaluate(search.ask())
                assert torch.get_default_dtype() == torch.float64
                assert torch.empty(1).is_meta
                random.random()
                search.tell(evaluations)
            return search.result()

    assert journal_without_times(in_another_program(run).folder) == as_ever


def test_searches_in_several_threads_each_find_the_same(tmp_path, as_ever):
    results = {}

    def run(i):
        results[i] = Search(config(tmp_path, f"run{i}"), quiet=True, report=False).run()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [journal_without_times(results[i].folder) for i in range(3)] == [as_ever] * 3


SCRIPT = """
import sys, torch
from rbflex_evo.engine.search.search import Search
torch.set_default_dtype(torch.float64)
torch.set_flush_denormal(True)
if __name__ == "__main__":
    print(Search.from_yaml(sys.argv[1], sys.argv[2:], quiet=True).run().folder)
"""


@pytest.mark.slow
def test_settings_that_a_script_makes_at_its_top_reach_no_worker_process(tmp_path, as_ever):
    script, setting = tmp_path / "script.py", tmp_path / "isolated.yaml"
    script.write_text(SCRIPT, encoding="utf-8")
    setting.write_text(json.dumps(values(tmp_path, workers=2)), encoding="utf-8")
    done = subprocess.run([sys.executable, script, setting], capture_output=True, text=True, check=True, env=os.environ)
    assert journal_without_times(Path(done.stdout.split()[-1])) == as_ever
