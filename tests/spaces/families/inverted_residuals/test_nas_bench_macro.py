"""NAS-Bench-Macro's networks are the benchmark's: parameters, multiply-accumulates, accuracies, and which codes are one network."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.spaces import GenotypeError, create_space
from rbflex_evo.spaces.space import SearchSpace
from rbflex_evo.spaces.tables.table import create_table

TABLES = os.environ.get("RBFLEX_EVO_TABLES")
needs_tables = pytest.mark.skipif(not TABLES, reason="RBFLEX_EVO_TABLES is not set")
SPACE = create_space("nasbench_macro")


@needs_tables
def test_parameters_and_multiply_accumulates_equal_the_official_records():
    records = np.load(Path(TABLES) / "nasbench_macro.npz")
    codes, params, flops = records["code"], records["params"], records["flops"]
    assert len(codes) == SPACE.encoding.size
    for code, parameters, multiplied in zip(codes.tolist(), params.tolist(), flops.tolist(), strict=True):
        # A record is one of the codes that are the same network, with its own figures.
        costs = SPACE.costs(tuple(code))
        assert (costs.params, costs.flops) == (parameters, multiplied)


@needs_tables
def test_the_benchmark_has_one_accuracy_a_key():
    records = np.load(Path(TABLES) / "nasbench_macro.npz")
    of_key: dict[str, list[np.ndarray]] = {}
    for code, accuracies in zip(records["code"].tolist(), records["test_acc"], strict=True):
        of_key.setdefault(SPACE.key(tuple(code)), []).append(accuracies)
    assert len(of_key) == 3969
    assert all((rows == rows[0]).all() for rows in map(np.array, of_key.values()))


@needs_tables
def test_the_table_is_read_from_codes_and_runs():
    path = str(Path(TABLES) / "nasbench_macro.npz")
    table = create_table("npz", SPACE, path=path, accuracy="test_acc", code="code", dataset="cifar10")
    assert len(table) == 6561
    notation, accuracy = table.best()
    assert notation == "22212220"
    assert accuracy == pytest.approx(93.13, abs=0.005)


def test_there_are_3969_keys():
    keys = list(SPACE.keys())
    assert len(keys) == len(set(keys)) == 3969
    assert all(SPACE.key(SPACE.representative(key)) == key for key in keys[::50])


def test_codes_of_one_key_are_one_network():
    small = create_space("nasbench_macro", channels=4)
    first, second = small.parse("20102100"), small.parse("20120100")
    assert small.key(first) == small.key(second)
    networks = [build_initialised(small, small.representative(small.key(g)), WeightParameters()).eval() for g in (first, second)]
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(networks[0](images), networks[1](images))
        raw = [small.build(g).eval() for g in (first, second)]
        raw[1].load_state_dict(dict(zip(raw[1].state_dict(), raw[0].state_dict().values(), strict=True)))
        torch.testing.assert_close(raw[0](images), raw[1](images))
    assert small.key(small.parse("01102100")) != small.key(small.parse("10102100"))


def test_costs_equal_those_of_the_built_network():
    space = create_space("nasbench_macro", channels=5, classes=7)
    rng = np.random.default_rng(0)
    for _ in range(8):
        genotype = space.encoding.sample(rng)
        for shape in ((3, 32, 32), (3, 17, 20)):
            assert space.costs(genotype, shape) == SearchSpace.costs(space, genotype, shape)


@pytest.mark.parametrize("text", ["", "2221222", "222122200", "22212223", "2221222a"])
def test_malformed_notation_is_refused_in_one_line(text):
    with pytest.raises(GenotypeError, match="expected 8 digits, 0 identity, 1 MB3_K3 or 2 MB6_K5") as caught:
        SPACE.parse(text)
    assert "\n" not in str(caught.value)


def test_blocks_are_those_that_have_weights():
    network = SPACE.build(SPACE.parse("00100200"))
    # stem, the first layer of each stage (the first of them a projection), head
    assert len(SPACE.blocks(network)) == 1 + 3 + 1
