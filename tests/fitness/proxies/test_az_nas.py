"""The scores of AZ-NAS equal a literal form of the paper, from one pass, and a dead network fails with a reason."""

from __future__ import annotations

import copy
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models

from rbflex_evo.fitness import CandidateFailed, create_proxy
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.measurer import Measurer
from rbflex_evo.fitness.passes.subject import Subject
from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised, draw_signs
from rbflex_evo.fitness.planned.native import find_compiler
from rbflex_evo.spaces import SearchSpace, VectorEncoding, create_space
from tests.support.transformers import FORM

NAMES = ("az_expressivity", "az_progressivity", "az_trainability")
SKIP_ALONE = (0, 0, 0, 1, 0, 0)


@pytest.fixture(scope="module")
def space():
    return create_space("nats_tss", channels=6, cells=1)


def subject_of(space, genotype, size=12):
    return Subject(space, genotype, torch.zeros(2, 3, size, size))


def scores_of(subject, **parameters):
    proxies = {name: create_proxy(name, **parameters) for name in NAMES}
    return {name: proxy.score(proxy.measure(subject)) for name, proxy in proxies.items()}


def literal_entropy(feature):
    """Entropy of the eigenvalues, divided by their sum, of the channels' covariance; a pixel is an observation."""
    places = np.ndindex(len(feature), *feature.shape[2:])
    observations = [feature[n, :, i, j] for n, i, j in places]
    values = np.linalg.eigvalsh(np.cov(np.array(observations).T, bias=True))
    shares = values[values > 1e-12 * values.max()] / values.sum()
    return -sum(p * np.log(p) for p in shares)


def literal_gain(before, after, signs):
    """Largest singular value of the mean over pixels of (gradient before the block) x (random signs after it)."""
    signs = signs.reshape(len(after), *after.shape[2:], after.shape[1])
    (gradient,) = torch.autograd.grad(after, before, torch.from_numpy(signs).double().permute(0, 3, 1, 2), retain_graph=True)
    stride = before.shape[2] // after.shape[2]
    total, count = 0, 0
    for n in range(len(after)):
        for i in range(after.shape[2]):
            for j in range(after.shape[3]):
                patch = gradient[n, :, i * stride : (i + 1) * stride, j * stride : (j + 1) * stride]
                total = total + np.outer(patch.numpy().ravel(), signs[n, i, j])
                count += 1
    return np.linalg.svd(total / count)[1][0]


def literal_az_nas(subject, images):
    """The whole network in float64 and training mode, every map kept, one gradient a block."""
    network = copy.deepcopy(subject.network).double().train()
    maps = [network.stem(subject.normal("az_nas/images", (images, *subject.images.shape[1:])).double())]
    for block in network.blocks:
        maps.append(block(maps[-1]))
    entropies = [literal_entropy(feature.detach().numpy()) for feature in maps]
    gains = []
    for position, (before, after) in enumerate(pairwise(maps)):
        observations = images * after.shape[2] * after.shape[3]
        gains.append(literal_gain(before, after, draw_signs(0, f"signs/az_nas/{position}", (observations, after.shape[1]))))
    return {
        "az_expressivity": sum(entropies),
        "az_progressivity": min(b - a for a, b in pairwise(entropies)),
        "az_trainability": np.mean([-s - 1 / s + 2 for s in gains]),
    }


@pytest.mark.parametrize("index", [11, 284, 6111, 9930])
def test_the_three_scores_equal_their_literal_form(space, index):
    subject = subject_of(space, space.at(index))
    expected = literal_az_nas(subject, 3)
    # float32 maps against float64 ones; a progressivity is a difference of entropies of about 1.
    for name, score in scores_of(subject, images=3).items():
        assert score == pytest.approx(expected[name], rel=2e-5, abs=2e-6), name


def passes_of(space, names):
    """How often the stem runs with and without gradients if a search asks for these scores, in this order."""
    calls = []
    proxies = {name: create_proxy(name) for name in names}
    conditions = Conditions.of(space, Batch(torch.zeros(2, 3, 12, 12)), device="cpu")
    build = space.build

    def counting(genotype):
        network = build(genotype)
        network.stem.register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
        return network

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(space, "build", counting)
        found = Measurer(conditions).measure([(space.at(9930), proxies)])[0]
    assert list(proxies) == [name for name in names if name in found.statistics]
    return calls


@pytest.mark.parametrize("names", [NAMES, NAMES[::-1]])
def test_the_three_scores_share_one_pass(space, names):
    assert passes_of(space, names) == [True]


def test_the_two_scores_of_entropies_share_one_forward_without_gradients(space):
    assert passes_of(space, NAMES[:2]) == [False]


def test_a_forward_alone_gives_the_entropies_of_the_pass_with_gradients(space):
    subjects = [subject_of(space, space.at(9930)) for _ in range(2)]
    create_proxy("az_trainability").measure(subjects[0])
    shared, alone = (create_proxy("az_expressivity").measure(subject) for subject in subjects)
    for name in ("variances", "entropies"):
        np.testing.assert_array_equal(shared[name], alone[name])


def test_more_images_are_another_measurement_and_another_key_of_the_cache(space):
    subject = subject_of(space, space.at(9930))
    few, many = (create_proxy("az_expressivity", images=images) for images in (4, 8))
    assert few.score(few.measure(subject)) != many.score(many.measure(subject))
    assert few.identity != many.identity


@pytest.mark.parametrize("name", NAMES)
def test_a_network_without_a_path_fails(space, name):
    proxy = create_proxy(name)
    with pytest.raises(CandidateFailed, match="block 1 of 5 is constant"):
        proxy.score(proxy.measure(subject_of(space, (0,) * 6)))


def test_a_skip_connection_alone_has_no_trainability_but_an_expressivity(space):
    subject = subject_of(space, SKIP_ALONE)
    trainability, expressivity = create_proxy("az_trainability"), create_proxy("az_expressivity")
    with pytest.raises(CandidateFailed, match="block 1 of 5 hands its gradient on unchanged"):
        trainability.score(trainability.measure(subject))
    assert np.isfinite(expressivity.score(expressivity.measure(subject)))


def test_a_skip_connection_that_is_taken_twice_has_a_gain_of_two(space):
    # 0>1 and 1>3 skip, 0>3 skip: the output is twice the input, which is not an unchanged gradient.
    statistics = create_proxy("az_trainability").measure(subject_of(space, (1, 0, 0, 1, 1, 0)))
    assert not statistics["unchanged"].any()
    # The signs of different channels are not quite uncorrelated over 2,304 pixels.
    assert statistics["gains"][0] == pytest.approx(2, rel=0.15)


class Chain(SearchSpace):
    """A fixed chain of blocks, given as modules, on images of 2 channels."""

    name = "chain"
    input_shape = (2, 9, 9)

    def __init__(self, *parts):
        super().__init__()
        self.encoding = VectorEncoding([1])
        self.parts = parts

    def build(self, genotype):
        network = nn.Module()
        network.parts = nn.ModuleList(self.parts)
        network.classifier = nn.Linear(3, 2)

        def forward(images):
            for part in network.parts:
                images = part(images)
            return network.classifier(images.mean((2, 3)))

        network.forward = forward
        return network

    def notation(self, genotype):
        return "0"

    def parse(self, text):
        return (0,)


class OutOfNothing(nn.Module):
    """Depends on no input."""

    def forward(self, x):
        return torch.arange(x.numel(), dtype=x.dtype).reshape(x.shape)


class NotANumber(nn.Module):
    def forward(self, x):
        return x * float("nan")


def subject_of_chain(*parts):
    return Subject(Chain(nn.Conv2d(2, 3, 1), *parts), (0,), torch.zeros(2, 2, 9, 9))


def test_the_gain_of_a_convolution_is_the_largest_singular_value_of_its_matrix():
    subject = subject_of_chain(nn.Conv2d(3, 3, 1, bias=False))
    statistics = create_proxy("az_trainability", images=400).measure(subject)
    matrix = subject.network.parts[1].weight.detach()[:, :, 0, 0]
    # Estimated from 32,400 pixels.
    assert statistics["gains"] == pytest.approx([float(torch.linalg.matrix_norm(matrix, 2))], rel=0.02)


def test_a_stride_that_does_not_divide_the_map_is_filled_up_with_zeros():
    subject = subject_of_chain(nn.Conv2d(3, 3, 3, stride=2, padding=1, bias=False))
    statistics = create_proxy("az_trainability", images=2).measure(subject)
    network = copy.deepcopy(subject.network).double()
    before = network.parts[0](subject.normal("az_nas/images", (2, 2, 9, 9)).double())
    before = nn.functional.pad(before.detach(), (0, 1, 0, 1)).requires_grad_()
    after = network.parts[1](before[:, :, :9, :9])
    expected = literal_gain(before, after, draw_signs(0, "signs/az_nas/0", (2 * 5 * 5, 3)))
    assert statistics["gains"] == pytest.approx([expected], rel=1e-5)


def test_a_block_may_work_in_place():
    statistics = create_proxy("az_trainability").measure(subject_of_chain(nn.ReLU(inplace=True), nn.Conv2d(3, 3, 1)))
    assert len(statistics["gains"]) == 2


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (OutOfNothing(), "no gradient passes block 1 of 1"),
        (NotANumber(), "block 1 of 1 holds NaN or infinity"),
    ],
)
def test_blocks_that_cannot_be_scored_give_the_reason(part, reason):
    proxy = create_proxy("az_trainability")
    with pytest.raises(CandidateFailed, match=reason):
        proxy.score(proxy.measure(subject_of_chain(part)))


def test_one_block_has_nothing_to_be_compared_with():
    proxy = create_proxy("az_progressivity")
    with pytest.raises(CandidateFailed, match="at least 2 blocks"):
        proxy.score(proxy.measure(subject_of_chain()))


def test_signs_are_balanced_and_a_function_of_seed_and_name():
    signs = draw_signs(0, "a", (1001, 7))
    assert set(np.unique(signs)) == {-1.0, 1.0}
    assert abs(signs.mean()) < 5 / np.sqrt(signs.size)
    np.testing.assert_array_equal(signs, draw_signs(0, "a", (1001, 7)))
    assert not np.array_equal(signs, draw_signs(1, "a", (1001, 7)))
    assert not np.array_equal(signs, draw_signs(0, "b", (1001, 7)))


def test_weights_are_the_configured_ones(space):
    proxy = create_proxy("az_expressivity")
    images = torch.zeros(2, 3, 12, 12)
    subjects = [Subject(space, space.at(9930), images, None, WeightParameters(seed=seed)) for seed in (0, 1)]
    assert proxy.score(proxy.measure(subjects[0])) != proxy.score(proxy.measure(subjects[1]))


SHARED = {"statistics": "image", "inputs": "data"}
BACKENDS = [
    "eager",
    pytest.param("compiled", marks=pytest.mark.skipif(find_compiler() is None, reason="this machine has no C compiler")),
]
# Blocks that return their input, two that do, a pooled sum, and no path.
CELLS = [(3, 2, 4, 1, 3, 2), (0, 0, 0, 1, 0, 0), (1, 0, 0, 3, 2, 0), (4, 0, 0, 2, 4, 0), (0,) * 6]


class Unplanned:
    """A space without plans."""

    def __init__(self, space):
        self.space = space

    def __getattr__(self, name):
        return getattr(self.space, name)

    def plan(self, genotype, input_shape):
        return None


def data(size=12, n=5):
    return torch.from_numpy(np.random.default_rng(2).standard_normal((n, 3, size, size)))


def literal_shared(space, genotype, images):
    """Entropies of the blocks for the images themselves, each normalised alone: one image at a time in training mode."""
    network = build_initialised(space, genotype, WeightParameters()).double().train()
    maps = [network.stem(image[None]) for image in images]
    found = []
    for block in [None, *network.blocks]:
        maps = maps if block is None else [block(one) for one in maps]
        found.append(torch.cat(maps).detach().numpy())
    return found


def measured(space, genotypes, images, backend, proxies=None):
    chosen = proxies or {name: create_proxy(name, **SHARED) for name in NAMES[:2]}
    conditions = Conditions.of(space, Batch(images), device="cpu", precision="float64", backend=backend)
    return Measurer(conditions), [(genotype, chosen) for genotype in genotypes], chosen


@pytest.mark.parametrize("backend", BACKENDS)
def test_entropies_in_the_shared_forward_equal_their_literal_form(space, backend):
    images = data()
    measurer, requests, proxies = measured(space, CELLS[:-1], images, backend)
    for genotype, found in zip(CELLS, measurer.measure(requests), strict=False):
        entropies = [literal_entropy(one) for one in literal_shared(space, genotype, images)]
        expected = {"az_expressivity": sum(entropies), "az_progressivity": min(b - a for a, b in pairwise(entropies))}
        for name, score in expected.items():
            assert proxies[name].score(found.statistics[name]) == pytest.approx(score, rel=1e-6, abs=1e-9)


def observed_by(interpreter, plans, images):
    observers = [[create_proxy(NAMES[0], **SHARED).observer()] for _ in plans]
    interpreter.run(plans, images, observers)
    return [one[0].finish() for one in observers]


@pytest.mark.parametrize("backend", BACKENDS)
def test_blocks_of_built_planned_grouped_and_walked_networks_are_the_same(space, backend):
    images = data()
    measurer, requests, proxies = measured(space, CELLS, images, backend)
    unplanned, _, _ = measured(Unplanned(space), CELLS, images, backend)
    plans = [space.plan(genotype, (3, 12, 12)) for genotype in CELLS]
    forms = {
        "built": [one.statistics[NAMES[0]] for one in unplanned.measure(requests)],
        "grouped": observed_by(measurer.interpreter, plans, images),
        "walked": [one.statistics[NAMES[0]] for one in measurer.walk(CELLS, proxies)],
    }
    planned = [one.statistics[NAMES[0]] for one in measurer.measure(requests)]
    for form, found in forms.items():
        for genotype, one, expected in zip(CELLS, found, planned, strict=True):
            for part in ("variances", "entropies"):
                np.testing.assert_allclose(one[part], expected[part], rtol=1e-9, err_msg=f"{form} {genotype}")


def test_reading_blocks_changes_no_digit_of_other_scores_and_needs_no_more_steps(space):
    images = data()
    rbflex = {"rbflex": create_proxy("rbflex", gamma="flat")}
    beside = rbflex | {NAMES[0]: create_proxy(NAMES[0], **SHARED)}
    alone, together = (
        measurer.measure(requests)
        for measurer, requests, _ in (measured(space, CELLS[:4], images, "eager", proxies) for proxies in (rbflex, beside))
    )
    for one, other in zip(alone, together, strict=True):
        for part, array in one.statistics["rbflex"].items():
            np.testing.assert_array_equal(other.statistics["rbflex"][part], array)


def test_blocks_are_read_in_a_forward_with_the_statistics_of_the_batch(space):
    images = data()
    proxies = {"batch": create_proxy(NAMES[0], statistics="batch", inputs="data")}
    measurer, requests, _ = measured(space, CELLS[:1], images, "eager", proxies)
    network = build_initialised(space, CELLS[0], WeightParameters()).double().train()
    maps = [network.stem(images)]
    for block in network.blocks:
        maps.append(block(maps[-1]))
    expected = [literal_entropy(one.detach().numpy()) for one in maps]
    np.testing.assert_allclose(measurer.measure(requests)[0].statistics["batch"]["entropies"], expected, rtol=1e-6)


def test_noise_normalised_image_by_image_is_a_forward_of_its_own(space):
    subject = subject_of(space, space.at(9930))
    proxies = [create_proxy(NAMES[0], statistics=statistics) for statistics in ("image", "batch")]
    assert [proxy.needs for proxy in proxies] == ["network"] * 2
    assert len({proxy.score(proxy.measure(subject)) for proxy in proxies}) == 2


def test_settings_that_came_later_change_no_known_identity():
    assert create_proxy(NAMES[0]).parameters.model_dump() == {"images": 16}
    assert create_proxy(NAMES[0]).identity == {
        "proxy": NAMES[0], "version": 1, "of": "image", "layers": "activations", "images": 16,
    }  # fmt: skip
    assert create_proxy(NAMES[0], **SHARED).identity != create_proxy(NAMES[0], statistics="image").identity


class Silent(nn.Module):
    """A block that returns no tensor first."""

    def forward(self, x):
        return {"nothing": None, "map": x}


def test_a_block_that_cannot_be_read_fails_no_score_that_reads_no_blocks():
    class Hiding(Chain):
        def build(self, genotype):
            network = super().build(genotype)
            network.forward = lambda images: network.classifier(
                network.parts[1](network.parts[0](images).relu())["map"].mean((2, 3))
            )
            return network

    proxies = {"naswot": create_proxy("naswot"), NAMES[0]: create_proxy(NAMES[0], **SHARED)}
    space = Hiding(nn.Conv2d(2, 3, 1), Silent())
    found = Measurer(Conditions.of(space, Batch(torch.randn(4, 2, 9, 9)), device="cpu")).measure([((0,), proxies)])[0]
    assert set(found.statistics) == {"naswot"}
    assert "block 1 returns dict" in found.failures[NAMES[0]]


class Tokens(nn.Module):
    """Patches of 3 channels as words, with a token of the class before them, after a matrix of weights."""

    def __init__(self):
        super().__init__()
        self.matrix = nn.Linear(3, 4, bias=False)

    def forward(self, x):
        words = self.matrix(x.flatten(2).mT)
        return torch.cat([words.sum(1, keepdim=True), words], dim=1)


class Words(Chain):
    """A chain whose last part gives words."""

    def build(self, genotype):
        network = super().build(genotype)

        def forward(images):
            for part in network.parts:
                images = part(images)
            return network.classifier(images.mean(1))

        network.forward = forward
        return network


def test_a_token_before_those_of_the_patches_is_compared_with_none():
    subject = Subject(Words(nn.Conv2d(2, 3, 1), Tokens(), nn.Linear(4, 3)), (0,), torch.zeros(2, 2, 9, 9))
    statistics = create_proxy("az_trainability", images=2).measure(subject)
    before, tokens = (part.double() for part in copy.deepcopy(subject.network).parts[:2])
    maps = before(subject.normal("az_nas/images", (2, 2, 9, 9)).double()).detach().requires_grad_()
    signs = torch.from_numpy(draw_signs(0, "signs/az_nas/0", (2 * 82, 4))).double().view(2, 82, 4)
    (gradient,) = torch.autograd.grad(tokens(maps), maps, signs)
    total = sum(np.outer(gradient[n, :, i // 9, i % 9], signs[n, 1 + i]) for n in range(2) for i in range(81))
    assert statistics["gains"][0] == pytest.approx(np.linalg.svd(total / 162)[1][0], rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_transformers_of_images_and_words_have_a_number(name):
    vit = models.VisionTransformer(image_size=32, patch_size=8, num_layers=3, num_heads=2, hidden_dim=16, mlp_dim=32)
    images, words = torch.zeros(2, 3, 32, 32), torch.zeros(2, 128, dtype=torch.long)
    spaces = [(Given(vit), images), (create_space("autoformer_tiny", **FORM), images)]
    spaces += [(create_space("nafbee_bert", hidden=24, layers=2, vocabulary=50), words)]
    for space, inputs in spaces:
        proxy = create_proxy(name)
        assert np.isfinite(proxy.score(proxy.measure(Subject(space, space.encoding.sample(np.random.default_rng(0)), inputs))))


class Given(Chain):
    """A network that is given."""

    input_shape = (3, 32, 32)

    def build(self, genotype):
        return self.parts[0]
