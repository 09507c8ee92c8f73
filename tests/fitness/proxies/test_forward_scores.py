"""DAS, SWAP, MeCo and linear regions equal literal forms of their papers, on built networks and on planned forwards."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from rbflex_evo.fitness import CandidateFailed, create_proxy
from rbflex_evo.fitness.data.batch import Batch, create_batch
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import Evaluator
from rbflex_evo.fitness.measuring.measurer import Measurer
from rbflex_evo.fitness.passes.subject import Subject
from rbflex_evo.fitness.passes.watch import run_observed
from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised, draw
from rbflex_evo.fitness.proxies.meco import MecoObserver, least_eigenvalues
from rbflex_evo.fitness.proxies.swap import SwapObserver
from rbflex_evo.spaces import ConfigError, create_space
from tests.support.calls import calls_of

CELLS = [0, 11, 284, 9930]


@pytest.fixture(scope="module")
def space():
    return create_space("nats_tss", channels=4, cells=1)


def noise(n, size=16, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, 3, size, size)))


def network_of(space, index):
    return build_initialised(space, space.at(index), WeightParameters()).double()


def scored(proxy, network, images):
    observer = proxy.observer()
    run_observed(network, images, [observer], network.classifier, proxy.statistics_of, proxy.layers)
    return proxy.score(observer.finish())


def activations(network, images, one_by_one):
    """The outputs of every ReLU in training mode, [N, units] side by side."""
    rows, seen = [], []
    handles = [m.register_forward_hook(lambda m, i, o: seen.append(o)) for m in network.modules() if isinstance(m, nn.ReLU)]
    network.train()
    with torch.no_grad():
        for part in images.split(1) if one_by_one else [images]:
            seen.clear()
            network(part)
            rows.append(torch.cat([output.flatten(1) for output in seen], dim=1))
    for handle in handles:
        handle.remove()
    return torch.cat(rows).numpy()


def literal_das(network, images, weight, one_by_one):
    """Distinguishing term: log|1 - share of units that differ|; activation term: N log of the number of units."""
    codes = activations(network, images, one_by_one) > 0
    n, units = codes.shape
    alike = np.array([[np.mean(codes[i] == codes[j]) for j in range(n)] for i in range(n)])
    return np.log(np.linalg.det(alike)) + weight * n * np.log(units)


@pytest.mark.parametrize("statistics", ["image", "batch"])
@pytest.mark.parametrize("index", CELLS)
def test_das_equals_its_literal_form(space, statistics, index):
    network, images = network_of(space, index), noise(6)
    proxy = create_proxy("das", statistics=statistics, activation_weight=0.3)
    expected = literal_das(network, images, 0.3, statistics == "image")
    assert scored(proxy, network, images) == pytest.approx(expected, rel=1e-9)


def test_das_with_the_activation_term_counted_whole_is_naswot(space):
    network, images = network_of(space, 9930), noise(6)
    naswot = scored(create_proxy("naswot"), network, images)
    assert scored(create_proxy("das", activation_weight=1), network, images) == pytest.approx(naswot, rel=1e-12)


def test_das_of_images_with_equal_codes_fails(space):
    with pytest.raises(CandidateFailed, match="equal activation codes"):
        scored(create_proxy("das"), network_of(space, 0), noise(1).repeat(3, 1, 1, 1))


def literal_swap(network, images, one_by_one):
    """Distinct columns of the matrix of images by units."""
    return len({tuple(column) for column in (activations(network, images, one_by_one) > 0).T})


@pytest.mark.parametrize("n", [3, 16, 17, 50])  # a table of patterns, one word, two words
@pytest.mark.parametrize("statistics", ["image", "batch"])
def test_swap_equals_its_literal_form(space, statistics, n):
    images = noise(n, 8)
    for index in CELLS:
        network = network_of(space, index)
        found = scored(create_proxy("swap", statistics=statistics), network, images)
        assert found == literal_swap(network, images, statistics == "image")


def test_regularised_swap_falls_off_with_the_distance_from_a_size(space):
    genotype = space.representative(space.key(space.at(9930)))
    proxy = create_proxy("swap", mu=7.0, sigma=30.0)
    measurer = Measurer(Conditions.of(space, Batch(noise(8).float()), device="cpu"))
    statistics = measurer.measure([(genotype, {"swap": proxy})])[0].statistics["swap"]
    thousands = sum(parameter.numel() for parameter in space.build(genotype).parameters()) / 1000
    plain = create_proxy("swap").score(statistics)
    assert 0 < proxy.score(statistics) < plain
    assert proxy.score(statistics) == pytest.approx(plain * np.exp(-((thousands - 7) ** 2) / 30))


def test_regularised_swap_needs_both_of_its_parameters():
    with pytest.raises(ConfigError, match="both mu and sigma"):
        create_proxy("swap", mu=500)


@pytest.mark.parametrize("n", [4, 20])
def test_swap_of_nan_fails_and_of_one_pattern_too(n):
    observer = SwapObserver()
    observer.activation("layer", torch.full((n, 10), float("nan")))
    with pytest.raises(CandidateFailed, match="NaN"):
        observer.finish()
    observer = SwapObserver()
    observer.activation("layer", torch.ones(n, 10))
    with pytest.raises(CandidateFailed, match="alike"):
        create_proxy("swap").score(observer.finish())


def literal_meco(network, images):
    """The first image alone in training mode; numpy's Pearson correlations of each ReLU's channels."""
    maps = []
    handles = [
        m.register_forward_hook(lambda m, i, o: maps.append(o[0].flatten(1).numpy())) for m in network.modules()
        if isinstance(m, nn.ReLU)
    ]  # fmt: skip
    network.train()
    with torch.no_grad():
        network(images[:1])
    for handle in handles:
        handle.remove()
    total = 0.0
    for channels in maps:
        with np.errstate(invalid="ignore", divide="ignore"):
            correlations = np.nan_to_num(np.corrcoef(channels), nan=0.0)
        total += np.linalg.eigvalsh(correlations)[0]
    return total


@pytest.mark.parametrize("size", [8, 24])
@pytest.mark.parametrize("index", CELLS)
def test_meco_equals_its_literal_form(space, index, size):
    network, images = network_of(space, index), noise(3, size)
    assert scored(create_proxy("meco"), network, images) == pytest.approx(literal_meco(network, images), abs=1e-8)


def test_meco_reads_the_first_image_only(space):
    network = network_of(space, 9930)
    first, others = noise(4), noise(4, seed=1)
    mixed = torch.cat([first[:1], others[1:]])
    assert scored(create_proxy("meco"), network, mixed) == pytest.approx(scored(create_proxy("meco"), network, first), rel=1e-10)


def test_a_constant_channel_or_too_few_positions_make_an_eigenvalue_zero():
    maps = torch.randn(1, 5, 40, generator=torch.Generator().manual_seed(0))
    assert float(least_eigenvalues(maps)) > 0
    constant = maps.clone()
    constant[0, 2] = 0.1
    assert float(least_eigenvalues(constant)) == 0
    assert float(least_eigenvalues(maps[..., :5])) == 0
    copies = maps.clone()
    copies[0, 3] = 2 * copies[0, 1] + 1
    assert float(least_eigenvalues(copies)) == 0


def test_meco_of_nan_fails_and_of_a_dead_network_too():
    observer = MecoObserver()
    observer.activation("layer", torch.full((2, 3, 4, 4), float("nan")))
    with pytest.raises(CandidateFailed, match="NaN"):
        observer.finish()
    observer = MecoObserver()
    observer.activation("layer", torch.zeros(2, 3, 4, 4))
    with pytest.raises(CandidateFailed, match="linearly independent"):
        create_proxy("meco").score(observer.finish())


@pytest.mark.parametrize("n", [5, 18])
@pytest.mark.parametrize("backend", ["eager", "auto"])
@pytest.mark.parametrize("name", ["das", "swap", "meco"])
def test_a_planned_forward_and_a_walk_give_the_statistics_of_the_built_network(name, backend, n):
    space = create_space("nats_tss", channels=6, cells=2)
    rng = np.random.default_rng(2)
    genotypes = sorted({space.representative(space.key(space.encoding.sample(rng))) for _ in range(6)} - {(0,) * 6})
    images, proxy = noise(n), create_proxy(name)
    measurer = Measurer(Conditions.of(space, Batch(images), device="cpu", precision="float64", backend=backend))
    alone = [measurer.measure([(genotype, {name: proxy})])[0] for genotype in genotypes]
    walked = measurer.walk(genotypes, {name: proxy})
    for genotype, one, other in zip(genotypes, alone, walked, strict=True):
        network = build_initialised(space, genotype, WeightParameters()).double()
        expected = scored(proxy, network, images)
        for measured in (one, other):
            # A unit that is zero but for rounding may fall on either side.
            assert proxy.score(measured.statistics[name]) == pytest.approx(expected, rel=1e-4 if name == "swap" else 1e-8)


def test_scores_that_watch_a_forward_share_one_pass(space):
    names = ("rbflex", "naswot", "das", "swap", "meco")
    proxies = {name: create_proxy(name, **({"gamma": "flat"} if name == "rbflex" else {})) for name in names}
    images, genotype = noise(6).float(), (3, 2, 4, 1, 3, 2)
    # New ones each time, since a measurer keeps what candidates begin with.
    measurers = [Measurer(Conditions.of(space, Batch(images), device="cpu", backend="eager")) for _ in range(2)]
    convolutions = [
        calls_of(lambda one=one, wanted=wanted: one.measure([(genotype, wanted)]))["conv2d"]
        for one, wanted in zip(measurers, ({"meco": proxies["meco"]}, proxies), strict=True)
    ]
    assert convolutions[0] == convolutions[1] > 0
    together = measurers[0].measure([(genotype, proxies)])[0]
    for name, proxy in proxies.items():
        alone = measurers[1].measure([(genotype, {name: proxy})])[0]
        assert proxy.score(together.statistics[name]) == proxy.score(alone.statistics[name])


def literal_linear_regions(space, genotype, inputs, batches, size, initialisations):
    """Codes of every ReLU of the network at width 1, one cell a stage, of all inputs in batches in training mode; distinct ones."""
    thin = create_space("nats_tss", channels=1, cells=1)
    counts = []
    for seed in range(initialisations):
        network = build_initialised(thin, genotype, WeightParameters(seed=seed))
        patterns = set()
        for i in range(batches):
            batch = torch.from_numpy(draw(0, f"noise/linear regions {i}", (inputs, 3, size, size), True))
            patterns |= {tuple(code) for code in activations(network, batch, False) > 0}
        counts.append(len(patterns))
    return np.mean(counts)


@pytest.mark.parametrize("index", CELLS)
def test_linear_regions_equal_their_literal_form(space, index):
    genotype = space.representative(space.key(space.at(index)))
    values = {"inputs": 60, "batches": 2, "size": 3, "initialisations": 2}
    proxy = create_proxy("linear_regions", **values)
    statistics = proxy.measure(Subject(space, genotype, noise(2).float()))
    assert proxy.score(statistics) == literal_linear_regions(space, genotype, **values)


def test_linear_regions_of_a_space_without_thin_networks_are_refused_before_anything_is_measured():
    with pytest.raises(ConfigError, match=r"linear_regions counts on thin networks, and nats_sss has none"):
        Evaluator(Conditions.of(create_space("nats_sss"), create_batch("noise")), {"lr": create_proxy("linear_regions")})


def test_linear_regions_are_other_statistics_for_other_inputs():
    assert create_proxy("linear_regions", size=4).identity != create_proxy("linear_regions").identity
