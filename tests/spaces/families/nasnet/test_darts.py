"""DARTS's space: published networks have their published sizes, notation is read safely, costs are those of the built network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from rbflex_evo.spaces import ConfigError, GenotypeError, create_space
from rbflex_evo.spaces.conformance.check_space import check_space
from rbflex_evo.spaces.families.nasnet.network import FactorizedReduction

SMALL = {"channels": 4, "layers": 3}

PUBLISHED = {
    "darts_v1": (
        "Genotype(normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0), ('sep_conv_3x3', 1), ('skip_connect', 0), "
        "('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 2)], normal_concat=[2, 3, 4, 5], "
        "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 0), ('max_pool_3x3', 0), "
        "('skip_connect', 2), ('skip_connect', 2), ('avg_pool_3x3', 0)], reduce_concat=[2, 3, 4, 5])"
    ),
    "darts_v2": (
        "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 1), "
        "('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], "
        "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
        "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
    ),
    "p_darts": (
        "Genotype(normal=[('skip_connect', 0), ('dil_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 1), "
        "('sep_conv_3x3', 3), ('sep_conv_3x3', 0), ('dil_conv_5x5', 4)], normal_concat=range(2, 6), "
        "reduce=[('avg_pool_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_3x3', 0), ('dil_conv_5x5', 2), ('max_pool_3x3', 0), "
        "('dil_conv_3x3', 1), ('dil_conv_3x3', 1), ('dil_conv_5x5', 3)], reduce_concat=range(2, 6))"
    ),
    "pc_darts": (
        "Genotype(normal=[('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 0), ('dil_conv_3x3', 1), ('sep_conv_5x5', 0), "
        "('sep_conv_3x3', 1), ('avg_pool_3x3', 0), ('dil_conv_3x3', 1)], normal_concat=range(2, 6), "
        "reduce=[('sep_conv_5x5', 1), ('max_pool_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_5x5', 2), ('sep_conv_3x3', 0), "
        "('sep_conv_3x3', 3), ('sep_conv_3x3', 1), ('sep_conv_3x3', 2)], reduce_concat=range(2, 6))"
    ),
}


def measured(space, genotype):
    """Parameters and multiply-accumulates of the built network."""
    with torch.device("meta"), torch.no_grad():
        network = space.build(genotype).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, *space.input_shape))
    return sum(parameter.numel() for parameter in network.parameters()), counter.get_total_flops() / 2


# In millions, as the papers of DARTS, P-DARTS (Chen et al. 2019) and PC-DARTS (Xu et al. 2020) round them; DARTS_V1's cell is a
# later one than the paper's own first-order cell (3.3), and its repository's network has 3.17.
@pytest.mark.parametrize(
    ("form", "name", "millions"),
    [
        ("cifar", "darts_v1", "3.17"),
        ("cifar", "darts_v2", "3.3"),
        ("cifar", "p_darts", "3.4"),
        ("cifar", "pc_darts", "3.6"),
        ("imagenet", "darts_v2", "4.7"),
        ("imagenet", "p_darts", "4.9"),
        ("imagenet", "pc_darts", "5.3"),
    ],
)
def test_a_published_network_has_its_published_number_of_parameters(form, name, millions):
    space = create_space("darts", form=form)
    genotype = space.parse(PUBLISHED[name])
    built = sum(parameter.numel() for parameter in space.build(genotype).parameters())
    assert space.costs(genotype).params == built
    assert f"{built / 1e6:.{len(millions) - 2}f}" == millions


def test_the_mobile_networks_stay_below_600_million_multiply_accumulates():
    space = create_space("darts", form="imagenet")
    for text in PUBLISHED.values():
        assert 500e6 < space.costs(space.parse(text)).flops < 600e6


@pytest.mark.parametrize("values", [{}, {"form": "imagenet"}, {"channels": 7, "layers": 5}])
def test_costs_are_those_of_the_built_network(values):
    space = create_space("darts", **values)
    genotype = space.encoding.sample(np.random.default_rng(0))
    costs = space.costs(genotype)
    assert (costs.params, costs.flops) == measured(space, genotype)


def test_costs_follow_the_images():
    space = create_space("darts", **SMALL)
    genotype = space.parse(PUBLISHED["p_darts"])
    assert space.costs(genotype, (3, 64, 64)).flops > 3.9 * (space.costs(genotype).flops - 10 * 64)
    with pytest.raises(ConfigError, match=r"expected images of shape \[3, height, width\]"):
        space.costs(genotype, (1, 32, 32))


@pytest.mark.parametrize("size", [(32, 32), (9, 14), (5, 3), (1, 1)])
def test_costs_are_right_for_odd_images(size):
    space = create_space("darts", **SMALL)
    space.input_shape = (3, *size)
    genotype = space.encoding.sample(np.random.default_rng(1))
    costs = space.costs(genotype)
    assert (costs.params, costs.flops) == measured(space, genotype)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_notation_is_read_and_its_edges_sorted(name):
    space = create_space("darts")
    genotype = space.parse(PUBLISHED[name])
    text = space.notation(genotype)
    assert space.parse(text) == genotype
    assert edges_of(text) == edges_of(PUBLISHED[name])


def edges_of(text):
    """The edges of a notation, node by node as sets, by a reader of its own."""
    names, edges = text.replace("Genotype(", "").split("], "), []
    for part in names:
        found = [piece.split("', ") for piece in part.split("('")[1:]]
        pairs = [(name, int(state.split(")")[0])) for name, state in found]
        edges += [frozenset(pairs[i : i + 2]) for i in range(0, len(pairs), 2)]
    return edges


def test_positions_may_stand_in_for_names():
    space = create_space("darts")
    text = PUBLISHED["darts_v2"]
    for name in ("normal=", "normal_concat=", "reduce=", "reduce_concat="):
        text = text.replace(name, "", 1)
    assert space.parse(text) == space.parse(PUBLISHED["darts_v2"])


GOOD = PUBLISHED["darts_v2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not a genotype; expected Genotype"),
        ("Genotype(", "is not a genotype"),
        ("darts_v2", "is not a genotype"),
        ("Genotype(normal=[])", "is not a genotype"),
        (GOOD.replace("Genotype", "print"), "is not a genotype"),
        (GOOD.replace("[2, 3, 4, 5])", "open('secret'))"), "is not a genotype"),
        (GOOD.replace("[2, 3, 4, 5])", "range(10**9))"), "is not a genotype"),
        (GOOD.replace("[2, 3, 4, 5])", "range(2, 2 + 4))"), "is not a genotype"),
        ("(" * 5000, "is not a genotype"),
        ("1" * 30000, "is not a genotype"),
        (GOOD.replace("dil_conv_3x3", "dil_conv_3x4"), "unknown operation 'dil_conv_3x4' in normal node 5; did you mean"),
        (GOOD.replace("('dil_conv_3x3', 2)", "('dil_conv_3x3', 5)"), "normal node 5 reads states 0..4, but one edge reads 5"),
        (GOOD.replace("('dil_conv_3x3', 2)", "('dil_conv_3x3', True)"), "reads states 0..4, but one edge reads True"),
        (GOOD.replace("('dil_conv_3x3', 2)", "('dil_conv_3x3', 0)"), "the two inputs of node 5 must differ, but both are 0"),
        (GOOD.replace("('dil_conv_3x3', 2)", "'dil_conv_3x3'"), r"must be a pair \(operation, state\)"),
        (GOOD.replace(", ('dil_conv_3x3', 2)", ""), "normal must be 8 pairs .* but it is 7 of them"),
        (GOOD.replace("normal=[", "normal=None, x=["), "is not a genotype"),
        (GOOD.replace("normal_concat=[2, 3, 4, 5]", "normal_concat=[3, 4, 5]"), r"normal_concat must be \[2, 3, 4, 5\]"),
        (GOOD.replace("normal_concat=[2, 3, 4, 5]", "normal_concat=5"), "in this space, but it is 5"),
    ],
)
def test_wrong_notation_is_refused_in_one_line(text, message):
    with pytest.raises(GenotypeError, match=message) as caught:
        create_space("darts").parse(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_renumbered_nodes_are_one_key_and_one_network():
    space = create_space("darts")
    # The second and third node of the normal cell read the inputs only.
    first = space.parse(GOOD)
    swapped = GOOD.replace(
        "('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0)",
        "('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0)",
    )
    second = space.parse(swapped)
    assert first != second
    assert space.key(first) == space.key(second)
    assert space.costs(first) == space.costs(space.representative(space.key(first)))


def test_no_parameter_of_the_space_has_two_shapes_under_one_name():
    check_space(create_space("darts", **SMALL), samples=25)
    check_space(create_space("darts", form="imagenet", classes=10, **SMALL), samples=3)


def test_defaults_of_a_form_are_the_published_ones_and_part_of_the_identity():
    assert create_space("darts").identity == create_space("darts", channels=36, layers=20, classes=10).identity
    large = create_space("darts", form="imagenet")
    assert (large.input_shape, large.parameters.channels, large.parameters.layers) == ((3, 224, 224), 48, 14)
    assert large.identity["classes"] == 1000
    with pytest.raises(ConfigError, match=r"space\.darts\.form"):
        create_space("darts", form="mnist")
    with pytest.raises(ConfigError, match=r"space\.darts\.layers"):
        create_space("darts", layers=2)


def test_a_factorised_reduction_sees_every_pixel():
    reduction = FactorizedReduction(1, 2)
    with torch.no_grad():
        for weights in (reduction.first.weight, reduction.second.weight):
            weights.fill_(1.0)
        reduction.norm = nn.Identity()
        image = torch.arange(1.0, 10.0).reshape(1, 1, 3, 3)
        first, second = reduction(image)[0]
    assert first.tolist() == [[1, 3], [7, 9]]
    assert second.tolist() == [[5, 0], [0, 0]]  # a pixel further on, zeros beyond the edge


def test_the_drawing_shows_both_cells_apart():
    space = create_space("darts")
    drawing = space.drawing(space.parse(GOOD))
    assert len(drawing.nodes) == 14
    assert len(drawing.edges) == 2 * (8 + 4)
    assert not any((source < 7) != (target < 7) for source, target, *_ in drawing.edges)
    labels = [label for source, target, label, _ in drawing.edges if target == 5]
    assert labels == ["skip_connect", "dil_conv_3x3"]
