"""The design spaces of Radosavovic et al. (2019): their counts, their records, and networks of every genotype."""

from __future__ import annotations

import json
import math
import os

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from rbflex_evo.spaces import GenotypeError, create_space
from rbflex_evo.spaces.conformance.check_space import check_space

CELLS = ["nds_amoeba", "nds_darts", "nds_enas", "nds_nasnet", "nds_pnas"]
SMALL = {
    **{name: {"depths": [3, 4], "widths": [2, 3]} for name in CELLS},
    "nds_resnet": {"depths": [1, 2], "widths": [2, 3]},
    "darts": {"channels": 2, "layers": 3},
}


def rng(seed=0):
    return np.random.default_rng(seed)


# Billions of cells of one kind, as the paper counts them.
@pytest.mark.parametrize(
    ("name", "billions"),
    [("nds_nasnet", 71_465_842), ("nds_amoeba", 556_628), ("nds_pnas", 556_628), ("nds_enas", 5_063), ("nds_darts", 242)],
)
def test_there_are_as_many_cells_as_the_paper_counts(name, billions):
    space = create_space(name)
    cells = math.isqrt(space.encoding.size // (5 * 3))
    assert cells**2 * 15 == space.encoding.size
    assert int(cells / 1e9 + 0.5) == billions


def test_there_are_as_many_residual_networks_as_the_paper_counts():
    assert create_space("nds_resnet").encoding.size == 1_259_712


@pytest.mark.parametrize(("depth", "millions"), [(3, "0.27"), (9, "0.86")])
def test_resnet_20_and_56_have_their_known_size(depth, millions):
    # He et al. 2016 (0.27 and 0.85 M); the 1 x 1 shortcuts of these networks add 2,752 parameters: 0.856 M.
    space = create_space("nds_resnet", depths=[depth], widths=[16, 32, 64])
    costs = space.costs(space.parse(json.dumps({"ds": [depth] * 3, "ws": [16, 32, 64]})))
    assert f"{costs.params / 1e6:.2f}" == millions


@pytest.mark.parametrize("name", [*CELLS, "nds_resnet"])
def test_costs_are_those_of_the_built_network(name):
    space = create_space(name, **({"depths": [5]} if name in CELLS else {"depths": [1, 2]}))
    generator = rng()
    for _ in range(2):
        genotype = space.encoding.sample(generator)
        with torch.device("meta"), torch.no_grad():
            network = space.build(genotype).eval()
            with FlopCounterMode(display=False) as counter:
                network(torch.empty(1, 3, 32, 32))
        costs = space.costs(genotype)
        assert costs.params == sum(parameter.numel() for parameter in network.parameters())
        assert costs.flops == counter.get_total_flops() / 2


@pytest.mark.parametrize("name", SMALL)
def test_no_parameter_of_a_space_has_two_shapes_under_one_name(name):
    check_space(create_space(name, **SMALL[name]), samples=12)


# A thousand of each space take minutes: RBFLEX_EVO_NETWORKS=1000 pytest tests/spaces/test_nds.py -k random_networks
NETWORKS = int(os.environ.get("RBFLEX_EVO_NETWORKS", "60"))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SMALL)
def test_random_networks_map_images_to_classes(name):
    space = create_space(name, **SMALL[name])
    generator = rng(1)
    images = torch.zeros(2, 3, 8, 8)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        for _ in range(NETWORKS):
            network = space.build(space.encoding.sample(generator)).eval()
            assert network(images).shape == (2, 10)


@pytest.mark.parametrize("name", SMALL)
def test_a_thousand_random_genotypes_survive_their_notation_and_their_key(name):
    space = create_space(name)
    generator = rng(2)
    for _ in range(1000):
        genotype = space.encoding.sample(generator)
        assert space.parse(space.notation(genotype)) == genotype
        key = space.key(genotype)
        assert space.key(space.representative(key)) == key


def record(space):
    return json.loads(space.notation(space.encoding.sample(rng(3))))


@pytest.mark.parametrize("name", [*CELLS, "nds_resnet"])
def test_a_record_may_be_bare_and_may_hold_more(name):
    space = create_space(name)
    net = record(space)["net"]
    genotype = space.parse(json.dumps(net))
    assert space.parse(json.dumps({"job_id": 7, "net": {**net, "drop_prob": 0.2}, "params": 1.0})) == genotype


def changed(net, **fields):
    return json.dumps({**net, **fields})


def test_a_wrong_record_of_cells_is_refused_in_one_line():
    space = create_space("nds_enas")
    net = record(space)["net"]
    cells = net["genotype"]
    for text, message in [
        ("", "'' is not a network; expected JSON like"),
        ("[1]", "is not a network"),
        ('{"net": 3}', "is not a network"),
        ("[" * 100_000, "is not a network"),
        (changed(net, genotype=None), "has no genotype"),
        (changed(net, depth=5), r"depth must be one of 4, 8, 12, 16, 20 \(set space.depths for others\), but it is 5"),
        (changed(net, width=None), "width must be one of 16, 24, 32"),
        (changed(net, depth=True), "but it is True"),
        (changed(net, genotype={**cells, "normal": [["none", 0]] * 10}), "unknown operation 'none' in normal node 2"),
        (changed(net, genotype={**cells, "reduce": [["skip_connect", 9]] * 10}), "reduce node 2 reads states 0..1"),
        (changed(net, genotype={**cells, "reduce_concat": [9]}), "reduce_concat must be"),
    ]:
        with pytest.raises(GenotypeError, match=message) as caught:
            space.parse(text)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 300


def test_a_wrong_record_of_stages_is_refused_in_one_line():
    space = create_space("nds_resnet")
    net = record(space)["net"]
    for text, message in [
        ("{}", "ds must be 3 numbers"),
        (changed(net, ds=[1, 2]), "ds must be 3 numbers"),
        (changed(net, ws=[16, 17, 16]), r"ws must be of 16, .* \(set space.widths for others\), but one is 17"),
        (changed(net, block_type="res_bottleneck_block"), "block_type must be 'res_basic_block'"),
        (changed(net, ss=[1, 1, 2]), r"ss, the stages' strides, must be \[1, 2, 2\]"),
    ]:
        with pytest.raises(GenotypeError, match=message) as caught:
            space.parse(text)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 300


# The reduction cell of AmoebaNet-A and the one of NASNet-A (Zoph et al. 2018), whose unused nodes are known.
@pytest.mark.parametrize(
    ("name", "cell", "states"),
    [
        (
            "nds_amoeba",
            "avg_pool_3x3 0 sep_conv_3x3 1 max_pool_3x3 0 sep_conv_7x7 2 sep_conv_7x7 0 avg_pool_3x3 1 max_pool_3x3 0 "
            "max_pool_3x3 1 conv_7x1_1x7 0 sep_conv_3x3 5",
            [3, 4, 6],
        ),
        (
            "nds_nasnet",
            "sep_conv_5x5 1 sep_conv_7x7 0 max_pool_3x3 1 sep_conv_7x7 0 avg_pool_3x3 1 sep_conv_5x5 0 skip_connect 3 "
            "avg_pool_3x3 2 sep_conv_3x3 2 max_pool_3x3 1",
            [4, 5, 6],
        ),
    ],
)
def test_a_published_cell_ends_in_its_unused_nodes(name, cell, states):
    words = cell.split()
    edges = [[words[i], int(words[i + 1])] for i in range(0, len(words), 2)]
    fields = {"normal": edges, "normal_concat": states, "reduce": edges, "reduce_concat": states}
    space = create_space(name)
    genotype = space.parse(json.dumps({"depth": 8, "width": 24, "genotype": fields}))
    assert json.loads(space.notation(genotype))["net"]["genotype"]["reduce_concat"] == states


def test_a_node_of_nothing_is_zero():
    space = create_space("nds_darts", depths=[3], widths=[2])
    nothing = [["none", 0]] * 8
    cells = {"normal": nothing, "normal_concat": [2, 3, 4, 5], "reduce": nothing, "reduce_concat": [2, 3, 4, 5]}
    genotype = space.parse(json.dumps({"depth": 3, "width": 2, "genotype": cells}))
    with torch.random.fork_rng(devices=[]):
        network = space.build(genotype).eval()
    seen = []
    network.classifier.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        network(torch.ones(2, 3, 8, 8))
    assert torch.equal(seen[0], torch.zeros(2, 4 * 2 * 4))
    assert not any(live for *_, label, live in space.drawing(genotype).edges if label)
