"""A plan names the parameters of the built network, keeps what is live and counts what is observed."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from rbflex_evo.spaces import create_space
from rbflex_evo.spaces.architecture.plan import INPUT, Combine, Convolve, Features, sources, targets
from rbflex_evo.spaces.families.nats_bench.cell import prune

SHAPE = (3, 32, 32)


def representatives(space, count, seed=0):
    rng = np.random.default_rng(seed)
    return [space.representative(space.key(space.encoding.sample(rng))) for _ in range(count)]


@pytest.mark.parametrize("name", ["nats_tss", "nats_sss"])
def test_convolutions_are_parameters_of_the_built_network(name):
    space = create_space(name)
    for genotype in representatives(space, 15):
        shapes = {n: tuple(p.shape) for n, p in space.build(genotype).named_parameters()}
        used = {s.weight: s.shape for s in space.plan(genotype, SHAPE).steps if isinstance(s, Convolve)}
        assert all(shapes[weight] == shape for weight, shape in used.items())
        unused = {n for n, shape in shapes.items() if len(shape) == 4} - set(used)
        assert unused == (set() if any(genotype) or name == "nats_sss" else {"stem.0.weight"})


@pytest.mark.parametrize("name", ["nats_tss", "nats_sss"])
def test_every_activation_layer_of_the_built_network_is_counted_once(name):
    space = create_space(name)
    for genotype in representatives(space, 15, seed=1):
        layers = sum(isinstance(m, nn.ReLU) for m in space.build(genotype).modules())
        assert sum(s.observed for s in space.plan(genotype, SHAPE).steps if isinstance(s, Combine)) == layers


@pytest.mark.parametrize("name", ["nats_tss", "nats_sss"])
def test_registers_are_written_once_before_they_are_read_and_freed_once(name):
    space = create_space(name)
    for genotype in representatives(space, 15, seed=2):
        plan = space.plan(genotype, SHAPE)
        written, freed = {INPUT}, []
        for step, last in zip(plan.steps, plan.last_uses(), strict=True):
            assert set(sources(step)) <= written - set(freed)
            assert not set(targets(step)) & written
            written |= set(targets(step))
            freed += last
        assert sorted(freed) == sorted(written)
        assert isinstance(plan.steps[-1], Features)


def test_orders_never_fall_and_a_step_reads_smaller_ones_only():
    space = create_space("nats_tss")
    for genotype in representatives(space, 15, seed=3):
        steps = space.plan(genotype, SHAPE).steps
        made = {register: step.order for step in steps for register in targets(step)} | {INPUT: (-1, 0, 0)}
        assert [s.order for s in steps] == sorted(s.order for s in steps)
        assert all(made[register] < step.order for step in steps for register in sources(step))


def test_skip_connections_are_aliases_whose_activations_add_up():
    space = create_space("nats_tss")
    # The input reaches node 3 by a skip through node 1 and by a convolution: one activation of the input, no copy of it.
    genotype = space.parse("|skip_connect~0|+|none~0|none~1|+|nor_conv_3x3~0|nor_conv_1x1~1|none~2|")
    steps = space.plan(prune(genotype), SHAPE).steps
    first = [s for s in steps if s.order[0] == 1]
    assert [type(s) for s in first] == [Convolve, Convolve, Combine]
    assert first[0].source == first[1].source == "stem active"
    assert next(s for s in steps if isinstance(s, Combine)).observed == 2


def test_of_a_dead_network_only_the_stem_which_is_a_block_reads_the_images():
    steps = create_space("nats_tss").plan((0,) * 6, SHAPE).steps
    stem, block, *others = steps
    assert isinstance(stem, Convolve) and stem.source == INPUT and stem.weight.startswith("stem")
    assert isinstance(block, Combine) and block.blocks == 1 and sources(block) == (stem.target,)
    assert not {INPUT, stem.target, block.value} & {register for step in others for register in sources(step)}
    assert next(s.terms for s in others if isinstance(s, Combine)) == ()


def test_what_a_plan_does_not_cover_takes_the_built_network():
    space = create_space("nats_tss")
    raw = space.parse("|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|")
    assert space.plan(raw, SHAPE) is None
    assert space.plan(prune(raw), (3, 30, 32)) is None
    assert space.plan(prune(raw), SHAPE) is not None
    assert create_space("toy").plan((0,) * len(create_space("toy").encoding.sample(np.random.default_rng(0))), SHAPE) is None


def test_a_map_of_one_pixel_is_not_normalised():
    steps = create_space("nats_sss").plan((0,) * 5, (3, 4, 4)).steps
    last = [s for s in steps if isinstance(s, Combine) and s.order[0] >= 5]
    assert last
    assert all(term.kind != "norm" for step in last for term in step.terms)
