"""Costs by arithmetic equal those of the built network, and cells are what one counts by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from rbflex_evo.spaces import Cell, ConfigError, SearchSpace, create_space


def counted(space, genotype, shape):
    """Parameters and multiply-accumulates of the built network, module by module while it runs."""
    total = [float(getattr(space.parameters, "classes", 0)) if space.name.startswith("nats") else 0.0]
    network = space.build(genotype).eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            each = module.weight[0].numel()
            module.register_forward_hook(lambda m, i, output, each=each: total.append(output.numel() * each))
    with torch.no_grad():
        network(torch.zeros(1, *shape))
    return float(sum(parameter.numel() for parameter in network.parameters())), sum(total)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("nats_tss", {"channels": 5, "cells": 2}),
        ("nats_tss", {"channels": 16, "cells": 1, "classes": 120}),
        ("nats_sss", {}),
        ("toy", {"genes": 7, "choices": 8, "nan": True}),
    ],
)
@pytest.mark.parametrize("size", [(8, 8), (16, 4)])
def test_costs_equal_those_of_the_built_network(name, values, size):
    space = create_space(name, **values)
    rng = np.random.default_rng(0)
    for _ in range(12):
        genotype = space.encoding.sample(rng)
        costs = space.costs(genotype, (3, *size))
        assert (costs.params, costs.flops) == counted(space, genotype, (3, *size))


def test_costs_at_full_size_equal_those_of_the_built_network():
    space = create_space("nats_tss")
    for genotype in (space.at(0), space.at(9930), (0,) * 6, (1,) * 6):
        costs = space.costs(genotype)
        assert (costs.params, costs.flops) == counted(space, genotype, (3, 32, 32))


def test_the_toy_space_counts_as_every_space_does_by_default():
    space = create_space("toy", choices=8)
    for genotype in ((2, 3, 5, 7, 0, 1), (0,) * 6):
        assert space.costs(genotype) == SearchSpace.costs(space, genotype)


@pytest.mark.parametrize("shape", [(3, 30, 32), (1, 32, 32), (3, 32)])
def test_costs_of_images_that_the_network_does_not_take_are_refused(shape):
    with pytest.raises(ConfigError, match="sides are multiples of 4"):
        create_space("nats_tss").costs((3,) * 6, shape)


def test_cells_of_a_topology_are_counted_by_hand():
    space = create_space("nats_tss", channels=4, cells=1)
    reductions = [Cell(8.0, 2, 4 + 8, 8, 24), Cell(16.0, 2, 8 + 16, 16, 48)]

    def cells(operations):
        first, *rest = space.cells(space.parse(operations))
        assert [rest[0], rest[2]] == reductions
        return [first, rest[1], rest[3]]

    # 0 -> 1 -> 2 -> 3 by convolutions, 0 -> 3 past them
    chain = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
    assert cells(chain) == [Cell(w, 3, 3 * w, w, 6 * w) for w in (4, 8, 16)]
    # a skip connection that is the only path between its ends bypasses nothing
    alias = "|skip_connect~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|"
    assert cells(alias) == [Cell(w, 1, w, w, 6 * w) for w in (4, 8, 16)]
    everything = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|skip_connect~1|nor_conv_1x1~2|"
    assert cells(everything) == [Cell(w, 2, 3 * w, 2 * w, 6 * w) for w in (4, 8, 16)]


def test_a_cell_without_layers_is_left_out_and_a_dead_network_has_no_cells():
    space = create_space("nats_tss", channels=4, cells=1)
    assert [cell.depth for cell in space.cells((0, 0, 0, 1, 0, 0))] == [2, 2]
    assert space.cells((0,) * 6) == ()


def test_cells_of_widths_read_what_the_block_before_them_makes():
    space = create_space("nats_sss")
    cells = space.cells(space.parse("8:16:24:32:64"))
    # The fixed cell: convolutions 0>1, 0>2, 1>2, 1>3, 2>3 and a skip connection 0>3.
    assert cells[0] == Cell(8.0, 3, 5 * 8, 8, 48)
    assert cells[1] == Cell(16.0, 2, 8 + 16, 16, 48)
    assert cells[2] == Cell(24.0, 3, 2 * 16 + 3 * 24, 24, 144)
    assert len(cells) == 5


def test_cells_of_the_toy_space_are_its_stages_with_layers():
    space = create_space("toy", channels=4)
    assert space.cells(space.parse("skip+conv3|conv1+conv3|skip+skip")) == (Cell(4.0, 1, 4, 4, 4), Cell(4.0, 1, 8, 0, 4))
    assert space.cells(space.parse("conv3+conv3|zero+zero|conv3+conv3")) == ()


@pytest.mark.parametrize(("name", "values"), [("nats_tss", {}), ("toy", {"choices": 8})])
def test_a_thin_space_has_the_same_genotypes_and_the_narrowest_networks(name, values):
    space = create_space(name, **values)
    thin = space.thin()
    genotype = space.encoding.sample(np.random.default_rng(0))
    assert thin.notation(genotype) == space.notation(genotype)
    assert min(parameter.shape[0] for parameter in thin.build(genotype).parameters()) == 1
