"""The MobileNet space holds MobileNetV2 as published, counts what it builds, and reads what it writes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from rbflex_evo.spaces import ConfigError, GenotypeError, create_space
from rbflex_evo.spaces.families.inverted_residuals.mobilenet import HEAD_MULTIPLIERS, MULTIPLIERS, scaled
from rbflex_evo.spaces.space import SearchSpace

SPACE = create_space("mobilenet")
DEPTHS = (1, 2, 3, 4, 3, 3, 1)


def mobilenet_v2(width: float) -> str:
    stages = [f"{width}: {' '.join(['k3e6' if i else 'k3e1'] * depth)}" for i, depth in enumerate(DEPTHS)]
    return " | ".join([f"stem {width}", *stages, f"head {max(1.0, width)}"])


def test_mobilenet_v2_has_its_published_parameters_and_multiply_accumulates():
    costs = SPACE.costs(SPACE.parse(mobilenet_v2(1.0)))
    assert costs.params == 3_504_872
    assert costs.flops == pytest.approx(300e6, rel=0.01)  # Sandler et al. 2018, table 4: 3.4 M and 300 M
    wide = SPACE.costs(SPACE.parse(mobilenet_v2(1.4)))
    assert (wide.params / 1e6, wide.flops / 1e6) == (pytest.approx(6.9, rel=0.12), pytest.approx(585, rel=0.01))


def test_genotypes_have_one_key_exactly_if_their_layers_are_equal():
    (first, *_), rng = SPACE.encoding.split(SPACE.parse(mobilenet_v2(1.0))), np.random.default_rng(0)
    for _ in range(20):
        plain, blocks = SPACE.encoding.split(SPACE.encoding.sample(rng))
        for position in range(len(first)):
            genotypes = [
                SPACE.encoding.join([*plain[:position], gene, *plain[position + 1 :]], blocks)
                for gene in range(len(HEAD_MULTIPLIERS if position == len(first) - 1 else MULTIPLIERS))
            ]
            for one, other in itertools.combinations(genotypes, 2):
                assert (SPACE.key(one) == SPACE.key(other)) == (SPACE.layout(one) == SPACE.layout(other))
            assert all(SPACE.layout(SPACE.representative(SPACE.key(one))) == SPACE.layout(one) for one in genotypes)


def test_a_factor_makes_every_network_narrower_and_keeps_genotypes_and_identity():
    half, whole = create_space("mobilenet", width=0.5), create_space("mobilenet", width=1.0)
    assert half.layout(half.parse(mobilenet_v2(1.0))).blocks[-1].outputs == 160
    assert whole.identity == SPACE.identity and "width" not in whole.identity and half.identity != whole.identity
    rng = np.random.default_rng(0)
    for _ in range(10):
        genotype = SPACE.encoding.sample(rng)
        assert half.notation(genotype) == SPACE.notation(genotype)
        assert half.costs(genotype).flops < SPACE.costs(genotype).flops
        assert half.layout(half.representative(half.key(genotype))) == half.layout(genotype)


@pytest.mark.parametrize("width", MULTIPLIERS)
def test_mobilenet_v2_is_torchvision_s_at_every_width(width):
    from torchvision import models

    genotype = SPACE.parse(mobilenet_v2(width))
    theirs = models.mobilenet_v2(width_mult=width).eval()
    ours = SPACE.build(genotype).eval()
    assert [p.shape for p in ours.parameters()] == [p.shape for p in theirs.parameters()]
    assert SPACE.costs(genotype).params == sum(parameter.numel() for parameter in theirs.parameters())
    # Given its weights, it is the same function.
    weights = dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True))
    ours.load_state_dict(weights)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images))


def test_multiply_accumulates_equal_torchvision_s_by_torch_s_counter():
    from torch.utils.flop_counter import FlopCounterMode
    from torchvision import models

    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        models.mobilenet_v2().eval()(torch.empty(1, 3, 224, 224))
    assert SPACE.costs(SPACE.parse(mobilenet_v2(1.0))).flops == counter.get_total_flops() / 2


@pytest.mark.parametrize("shape", [(3, 224, 224), (3, 64, 64), (3, 33, 47)])
def test_costs_equal_those_of_the_built_network(shape):
    rng = np.random.default_rng(0)
    for _ in range(4):
        genotype = SPACE.encoding.sample(rng)
        assert SPACE.costs(genotype, shape) == SearchSpace.costs(SPACE, genotype, shape)


def test_the_papers_budgets_lie_within_the_space():
    stages = [(["k7e6"] * (1 if i in (0, 6) else 4), ["k3e3"] if i else ["k3e1"]) for i in range(7)]
    largest = " | ".join(["stem 1.4", *(f"1.4: {' '.join(most)}" for most, _ in stages), "head 1.4"])
    smallest = " | ".join(["stem 0.35", *(f"0.35: {' '.join(least)}" for _, least in stages), "head 1.0"])
    assert SPACE.costs(SPACE.parse(smallest)).flops < 100e6
    assert SPACE.costs(SPACE.parse(largest)).flops > 1000e6


@pytest.mark.parametrize(("width", "multiplier", "expected"), [(32, 0.35, 16), (16, 0.35, 8), (24, 0.75, 24), (320, 1.4, 448)])
def test_widths_are_multiples_of_8_and_never_much_too_small(width, multiplier, expected):
    assert scaled(width, multiplier) == expected


def test_notation_is_read_as_it_is_written():
    rng = np.random.default_rng(0)
    for _ in range(50):
        genotype = SPACE.encoding.sample(rng)
        assert SPACE.parse(SPACE.notation(genotype)) == genotype
    assert SPACE.notation(SPACE.parse(mobilenet_v2(0.5))) == mobilenet_v2(0.5)


STAGES = " | ".join(["1.0: k3e3"] * 7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected 'stem W', 7 stages"),
        ("stem 1.0 | 1.0: k3e3 | head 1.0", "expected 'stem W', 7 stages"),
        (f"stem 1.1 | {STAGES} | head 1.0", "'stem 1.1' is no width; expected one as 'stem 0.35' with a multiplier of 0.35, 0.5"),
        (f"stem 1.0 | {STAGES} | head 0.5", "'head 0.5' is no width"),
        (f"stam 1.0 | {STAGES} | head 1.0", "'stam 1.0' is no width"),
        (f"stem 1.0 | {STAGES.replace('k3e3', 'k3e1')} | head 1.0", "stage 2 has no block 'k3e1'; did you mean 'k3e"),
        (f"stem 1.0 | {STAGES.replace('k3e3', 'k9')} | head 1.0", "stage 1 has no block 'k9'"),
        (f"stem 1.0 | {STAGES.replace(':', '')} | head 1.0", "stage 1 is '1.0 k3e3'; expected a width and blocks"),
        (f"stem 1.0 | {STAGES.replace('k3e3', 'k3e3 k3e3')} | head 1.0", r"stage 1 must have 1..1 blocks, but it has 2"),
        (f"stem 1.0 | {STAGES.replace('k3e3', '')} | head 1.0", r"stage 1 must have 1..1 blocks, but it has 0"),
    ],
)
def test_malformed_notation_is_refused_in_one_line(text, message):
    with pytest.raises(GenotypeError, match=message) as caught:
        SPACE.parse(text)
    assert "\n" not in str(caught.value)


def test_images_that_it_does_not_take_are_refused():
    with pytest.raises(ConfigError, match=r"expected images of shape \[3, height, width\]"):
        SPACE.costs(SPACE.encoding.sample(np.random.default_rng(0)), (1, 64, 64))


def test_the_image_size_is_the_space_s():
    small = create_space("mobilenet", size=64)
    genotype = small.encoding.sample(np.random.default_rng(0))
    assert small.input_shape == (3, 64, 64)
    assert small.costs(genotype).flops == SPACE.costs(genotype, (3, 64, 64)).flops


def test_the_drawing_is_the_chain_of_blocks():
    drawing = SPACE.drawing(SPACE.parse(mobilenet_v2(1.0)))
    assert len(drawing.nodes) == 1 + 1 + sum(DEPTHS) + 1 + 1
    assert drawing.nodes[:4] == ("input", "stem\n32 /2", "k3 e1\n16", "k3 e6\n24 /2")
