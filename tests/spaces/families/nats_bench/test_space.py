"""NATS-Bench's spaces are the benchmark's own: order, isomorphism, parameters, FLOPs, shapes."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.spaces import GenotypeError, create_space
from rbflex_evo.spaces.families.nats_bench.cell import NONE, OPERATIONS, isomorphism, prune
from rbflex_evo.spaces.families.nats_bench.space import SIZE_CELL

TABLES = os.environ.get("RBFLEX_EVO_TABLES")
needs_tables = pytest.mark.skipif(not TABLES, reason="RBFLEX_EVO_TABLES is not set")
CLASSES = {"cifar10": 10, "cifar10-valid": 10, "cifar100": 100, "ImageNet16-120": 120}


@pytest.fixture(scope="module")
def tss():
    return create_space("nats_tss")


@pytest.fixture(scope="module")
def sss():
    return create_space("nats_sss")


def test_topology_order_is_the_official_one(tss):
    first = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
    assert tss.notation(tss.at(0)) == first
    assert tss.notation(tss.at(9)) == "|avg_pool_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
    assert tss.at(9930) == SIZE_CELL
    everything = "\n".join(tss.notation(tss.at(i)) for i in range(15625))
    # The hash of the benchmark's own list of strings; the next test compares them one by one where the list is at hand.
    assert hashlib.sha256(everything.encode()).hexdigest() == "83abc799e45cf34e9d2163654668ab998b9a54d01c39e72ca1f71f2cdf356d84"


@needs_tables
def test_every_string_equals_the_official_list(tss, sss):
    official = np.load(Path(TABLES) / "nb201.npz")["arch_str"]
    assert [tss.notation(tss.at(i)) for i in range(15625)] == list(official)
    widths = np.load(Path(TABLES) / "nats_sss.npz")["channels"]
    assert [sss.notation(sss.at(i)) for i in range(32768)] == [":".join(map(str, row)) for row in widths]


@needs_tables
@pytest.mark.parametrize(("name", "records"), [("nats_tss", "nats_tss_nb201"), ("nats_sss", "nats_sss")])
def test_parameters_and_flops_equal_the_official_records(name, records):
    for record in json.loads((Path(TABLES) / "nats_anchors.json").read_text())[records]:
        for data, cost in record["cost"].items():
            space = create_space(name, classes=CLASSES[data])
            genotype = space.at(record["index"])
            assert space.notation(genotype) == record["arch_str"]
            costs = space.costs(genotype, (3, 16, 16) if data == "ImageNet16-120" else (3, 32, 32))
            assert costs.params == pytest.approx(cost["params_million"] * 1e6, abs=0.5)
            assert costs.flops == pytest.approx(cost["flops_million"] * 1e6, abs=0.5)


def test_there_are_6466_official_isomorphism_classes_and_each_has_one_key(tss):
    key_of_form = {}
    for genotype in tss.encoding.enumerate():
        key_of_form.setdefault(isomorphism(genotype), set()).add(tss.key(genotype))
    assert len(key_of_form) == 6466
    assert all(len(keys) == 1 for keys in key_of_form.values())


def test_there_are_6236_keys_and_each_is_one_scored_network(tss):
    network_of_key = {key: tss.representative(key) for key in tss.keys()}  # noqa: SIM118 (a method, not a dict's)
    assert len(network_of_key) == len(set(network_of_key.values())) == 6236
    assert all(tss.key(network) == key for key, network in network_of_key.items())


def test_a_representative_has_no_edge_that_can_be_removed(tss):
    for key in itertools.islice(tss.keys(), 0, None, 13):
        cell = tss.representative(key)
        assert prune(cell) == cell
        assert prune(tss.parse(key)) == cell


def test_pruning_keeps_the_function(tss):
    rng = np.random.default_rng(1)
    small = create_space("nats_tss", channels=4, cells=1)
    images = torch.from_numpy(rng.standard_normal((2, 3, 8, 8)))
    changed = 0
    for _ in range(12):
        genotype = small.encoding.sample(rng)
        if prune(genotype) == genotype:
            continue
        changed += 1
        networks = [build_initialised(small, g, WeightParameters()).double() for g in (genotype, prune(genotype))]
        with torch.no_grad():
            torch.testing.assert_close(networks[0](images), networks[1](images))
    assert changed > 2


@pytest.mark.parametrize("name", ["nats_tss", "nats_sss"])
def test_index_and_at_are_inverse(name):
    space = create_space(name)
    for index in np.random.default_rng(0).integers(0, space.encoding.size, 200):
        assert space.index(space.at(int(index))) == index
    with pytest.raises(GenotypeError, match="index must be in 0"):
        space.at(space.encoding.size)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("nats_tss", "|skip_conect~0|+|none~0|none~1|+|none~0|none~1|none~2|", "did you mean 'skip_connect'"),
        ("nats_tss", "|none~0|+|none~0|none~1|", "is not a cell of nats_tss"),
        ("nats_tss", "|none~0|+|none~0|none~5|+|none~0|none~1|none~2|", "has no edge 'none~5'"),
        ("nats_tss", "", "is not a cell"),
        ("nats_sss", "8:16:24:32", "is not a network of nats_sss"),
        ("nats_sss", "8:16:24:32:7", "expected five of 8, 16"),
    ],
)
def test_malformed_notation_is_refused_in_one_line(name, text, message):
    with pytest.raises(GenotypeError, match=message) as caught:
        create_space(name).parse(text)
    assert "\n" not in str(caught.value)


def test_networks_take_any_image_size_and_number_of_classes(tss, sss):
    for space in (create_space("nats_tss", classes=120, channels=4, cells=1), create_space("nats_sss", classes=100)):
        network = space.build(space.encoding.sample(np.random.default_rng(0)))
        assert network(torch.zeros(2, 3, 16, 16)).shape == (2, space.parameters.classes)


def test_the_all_none_cell_is_expressible_and_has_no_path(tss):
    dead = (NONE,) * 6
    assert tss.parse(tss.notation(dead)) == dead
    assert not any(live for *_, live in tss.drawing(dead).edges)
    assert len(OPERATIONS) == 5
