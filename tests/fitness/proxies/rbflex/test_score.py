"""RBFleX equals its paper, whatever gamma or kernel is read from the statistics afterwards."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.shared import literal_rbflex
from rbflex_evo.fitness import CandidateFailed, create_batch, create_proxy
from rbflex_evo.fitness.evaluation import keyed
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import Evaluator
from rbflex_evo.fitness.passes.watch import run_observed
from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.fitness.proxies.rbflex.kernels import Rbf
from rbflex_evo.fitness.proxies.rbflex.score import PUBLISHED_GAMMAS, RbflexObserver
from rbflex_evo.spaces import ConfigError, create_space

N = 16


def noise(n=N, size=16, dtype=torch.float64, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, 3, size, size))).to(dtype)


def statistics_of(space, genotype, images, proxy, seed=0):
    network = build_initialised(space, genotype, WeightParameters(seed=seed)).to(images.dtype)
    observer = proxy.observer()
    run_observed(network, images, [observer], space.classifier(network), proxy.statistics_of, proxy.layers)
    return observer.finish()


def literal_vectors(space, genotype, images, published=False, seed=0):
    network = build_initialised(space, genotype, WeightParameters(seed=seed)).double()
    chosen = [m for m in network.modules() if ("ReLU" in type(m).__name__ if published else isinstance(m, nn.ReLU))]
    return literal_rbflex.raw_vectors(network, images, space.classifier(network), chosen)


def scored_cells(count):
    space = create_space("nats_tss")
    rng = np.random.default_rng(5)
    cells = []
    while len(cells) < count:
        cell = space.representative(space.key(space.encoding.sample(rng)))
        if any(cell):
            cells.append(cell)
    return space, cells


@pytest.mark.slow
def test_twenty_cells_equal_the_literal_paper_in_float64():
    space, cells = scored_cells(20)
    images = noise()
    literal = [literal_vectors(space, cell, images) for cell in cells]
    gammas = [literal_rbflex.gamma([pair[part] for pair in literal[:10]]) for part in (0, 1)]
    proxy = create_proxy("rbflex")
    ours = [statistics_of(space, cell, images, proxy) for cell in cells]
    values = proxy.calibrate(ours[:10], np.random.default_rng(0))
    assert [values["gamma_k"], values["gamma_q"]] == pytest.approx(gammas, rel=1e-6)
    proxy = proxy.calibrated(values)
    for statistics, (x, y) in zip(ours, literal, strict=True):
        assert proxy.score(statistics) == pytest.approx(literal_rbflex.score(x, y, *gammas), rel=1e-6)


def test_twenty_size_networks_equal_the_literal_paper_in_float64():
    space = create_space("nats_sss")
    rng = np.random.default_rng(6)
    images = noise(size=8)
    proxy = create_proxy("rbflex", gamma=[1e-6, 1e-4])
    for _ in range(20):
        genotype = (*(int(g) for g in rng.integers(0, 8, 4)), int(rng.integers(2, 8)))
        expected = literal_rbflex.score(*literal_vectors(space, genotype, images), 1e-6, 1e-4)
        assert proxy.score(statistics_of(space, genotype, images, proxy)) == pytest.approx(expected, rel=1e-6)


def test_published_mode_equals_the_literal_published_layers():
    space = create_space("nats_tss", channels=8, cells=1)
    proxy = create_proxy("rbflex", mode="published")
    assert proxy.kernels == dict(zip("kq", map(Rbf, PUBLISHED_GAMMAS), strict=True))
    images = noise()
    for genotype in (space.at(0), space.at(11), space.at(284)):
        x, y = literal_vectors(space, genotype, images, published=True)
        statistics = statistics_of(space, genotype, images, proxy)
        assert statistics["k_length"] == x.shape[1]
        # At the published gammas a plain determinant has lost most digits; at larger ones the same statistics must agree.
        larger = create_proxy("rbflex", gamma=[1e-5, 1e-3])
        assert larger.score(statistics) == pytest.approx(literal_rbflex.score(x, y, 1e-5, 1e-3), rel=1e-6)


@pytest.mark.parametrize("space_name", ["nats_tss", "nats_sss"])
def test_statistics_are_those_of_the_literal_matrices(space_name):
    space = create_space(space_name)
    genotype = space.at(284)
    images = noise(n=6, size=8)
    found = statistics_of(space, genotype, images, create_proxy("rbflex"))
    for part, rows in zip("kq", literal_vectors(space, genotype, images), strict=True):
        normalised = literal_rbflex.normalise(rows)
        np.testing.assert_allclose(found[f"{part}_gram"], normalised @ normalised.T, rtol=1e-9)
        np.testing.assert_allclose(found[f"{part}_normalised_sums"], normalised.sum(axis=1), rtol=1e-9)
        np.testing.assert_allclose(found[f"{part}_sums"], rows.sum(axis=1), rtol=1e-9)
        np.testing.assert_allclose(found[f"{part}_squares"], (rows**2).sum(axis=1), rtol=1e-9)
        assert found[f"{part}_length"] == rows.shape[1]
        assert found[f"{part}_live"] == (rows.max(axis=0) > rows.min(axis=0)).sum()


def test_float32_orders_cells_as_float64_does():
    from scipy.stats import kendalltau

    space = create_space("nats_tss", channels=8, cells=1)
    proxy = create_proxy("rbflex", gamma="flat")
    rng = np.random.default_rng(2)
    cells = [space.representative(space.key(space.encoding.sample(rng))) for _ in range(40)]
    cells = [cell for cell in cells if any(cell)]
    scores = [
        [proxy.score(statistics_of(space, cell, noise(size=32, dtype=dtype), proxy)) for cell in cells]
        for dtype in (torch.float32, torch.float64)
    ]
    assert kendalltau(*scores).statistic >= 0.999
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-4)


@pytest.mark.parametrize(
    "options", [{"gamma": "flat"}, {"kernel": "linear"}, {"kernel": "psnr"}, {"kernel": "ssim"}, {"gamma": [1e-3, 0.1]}]
)
def test_every_kernel_and_gamma_reads_the_same_statistics(options):
    space = create_space("nats_sss")
    first, other = (statistics_of(space, space.at(i), noise(size=8), create_proxy("rbflex")) for i in (20000, 32767))
    proxy = create_proxy("rbflex", **options)
    assert proxy.identity == create_proxy("rbflex").identity
    assert proxy.calibration_networks == 0
    assert np.isfinite(proxy.score(first))
    assert proxy.score(first) != proxy.score(other)


def test_random_gammas_come_from_the_generator_within_the_papers_range():
    proxy = create_proxy("rbflex", gamma="random")
    values = [proxy.calibrate([], np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert values[0] == values[1] != values[2]
    assert all(1e-20 <= v <= 1e-1 for value in values for v in value.values())


def test_hda_maximum_is_larger_than_the_minimum():
    space = create_space("nats_sss")
    samples = [statistics_of(space, space.at(i), noise(size=8), create_proxy("rbflex")) for i in (10000, 20000)]
    low, high = (create_proxy("rbflex", gamma=rule).calibrate(samples, np.random.default_rng(0)) for rule in ("hda", "hda_max"))
    assert low["gamma_k"] < high["gamma_k"]
    assert low["gamma_q"] < high["gamma_q"]


def test_a_network_without_a_path_fails_with_that_reason():
    space = create_space("nats_tss", channels=4, cells=1)
    with pytest.raises(CandidateFailed, match="no path from input to output"):
        statistics_of(space, (0,) * 6, noise(size=8), create_proxy("rbflex"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_network_that_gives_nan_or_infinity_fails_with_that_reason(value):
    observer = RbflexObserver()
    rows = torch.rand(4, 10)
    rows[2, 3] = value
    observer.activation("layer", rows)
    observer.features(torch.rand(4, 5), torch.tensor(1.0))
    with pytest.raises(CandidateFailed, match="NaN or infinity"):
        observer.finish()


def test_round_off_left_by_pooling_counts_as_constant():
    observer = RbflexObserver()
    observer.activation("layer", torch.rand(4, 10))
    observer.features(torch.rand(4, 5) * 1e-7, torch.tensor(3.0))
    with pytest.raises(CandidateFailed, match=r"features of all images are equal up to round-off.*features=False"):
        observer.finish()


def test_multiplicity_counts_a_layer_as_often_as_it_is_used():
    block = torch.rand(5, 30)
    once, twice, multiple = RbflexObserver(), RbflexObserver(), RbflexObserver()
    for observer, repeats, multiplicity in ((once, 1, 1), (twice, 2, 1), (multiple, 1, 2)):
        for _ in range(repeats):
            observer.activation("layer", block, multiplicity)
        observer.features(block, torch.tensor(1.0))
    for name, value in twice.finish().items():
        np.testing.assert_allclose(multiple.finish()[name], value)
    assert once.finish()["k_length"] == 30


def test_a_block_of_any_length_gives_the_gram_of_its_rows():
    for length in (1, 7, 4096, 10000, 40000):
        rows = torch.rand(5, length, dtype=torch.float64, generator=torch.Generator().manual_seed(length))
        observer = RbflexObserver()
        observer.activation("layer", rows)
        observer.features(rows, torch.tensor(1.0))
        normalised = literal_rbflex.normalise(rows.numpy())
        np.testing.assert_allclose(observer.finish()["k_gram"], normalised @ normalised.T, rtol=1e-12)


def test_a_column_is_constant_by_the_largest_value_of_the_whole_layer():
    rows = torch.rand(5, 40000, generator=torch.Generator().manual_seed(0)) * 1e-7
    rows[:, -10:] += torch.arange(5.0)[:, None]
    observer = RbflexObserver("k")
    observer.activation("layer", rows)
    assert observer.finish()["k_live"] == 10


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gamma": "hdaa"}, "gamma"),
        ({"gamma": [1.0]}, "gamma"),
        ({"gamma": [1.0, -1.0]}, "gamma"),
        ({"networks": 0}, "networks"),
        ({"kernal": "rbf"}, "did you mean 'kernel'"),
    ],
)
def test_wrong_parameters_are_one_line_errors(values, message):
    with pytest.raises(ConfigError, match=message) as caught:
        create_proxy("rbflex", **values)
    assert "\n" not in str(caught.value)


# Normal cells of DARTS without pooling, and with it on one edge of the last node.
UNPOOLED = (
    "('sep_conv_3x3', 0), ('skip_connect', 1), ('dil_conv_3x3', 0), ('skip_connect', 2), "
    "('sep_conv_5x5', 1), ('skip_connect', 3), ('skip_connect', 0)"
)
CELLS = {edge: f"[{UNPOOLED}, ('{edge}', 1)]" for edge in ("sep_conv_3x3", "max_pool_3x3")}


def darts_network(edge):
    space = create_space("darts", channels=4, layers=4)
    concat = "range(2, 6)"
    text = f"Genotype(normal={CELLS[edge]}, normal_concat={concat}, reduce={CELLS[edge]}, reduce_concat={concat})"
    genotype = space.parse(text)
    return space, space.representative(space.key(genotype))


@pytest.mark.parametrize(("edge", "live"), [("sep_conv_3x3", 0), ("max_pool_3x3", 16)])
def test_features_of_cells_are_round_off_but_for_what_pools(edge, live):
    space, genotype = darts_network(edge)
    observer = RbflexObserver()
    network = build_initialised(space, genotype, WeightParameters())
    run_observed(network, noise(dtype=torch.float32), [observer], space.classifier(network))
    assert int(observer.parts["q"].finish()["live"]) == live


@pytest.mark.parametrize("edge", CELLS)
def test_a_space_of_round_off_features_is_scored_by_activations_alone(edge):
    space, genotype = darts_network(edge)
    images = noise(n=6, size=12)
    proxy = create_proxy("rbflex", gamma=[1e-5, 1e-3]).for_space(space)
    statistics = statistics_of(space, genotype, images, proxy)
    x, _ = literal_vectors(space, genotype, images)
    k = literal_rbflex.kernel(literal_rbflex.normalise(x), 1e-5)
    assert proxy.score(statistics) == pytest.approx(6 * np.linalg.slogdet(k)[1], rel=1e-6)
    assert proxy.score_many({name: array[None] for name, array in statistics.items()}) == pytest.approx([proxy.score(statistics)])
    assert not any(name.startswith("q") for name in statistics)


def test_gammas_of_activations_alone_are_detected_as_with_features():
    space, genotype = darts_network("max_pool_3x3")
    both = create_proxy("rbflex")
    alone = both.for_space(space)
    images = noise(n=6, size=12)
    rng = np.random.default_rng(0)
    detected = alone.calibrate([statistics_of(space, genotype, images, alone)], rng)
    assert detected == {"gamma_k": both.calibrate([statistics_of(space, genotype, images, both)], rng)["gamma_k"]}
    assert alone.calibrated(detected).kernels == {"k": Rbf(detected["gamma_k"])}
    assert alone.identity != both.identity
    assert both.for_space(create_space("nats_tss")).identity == both.identity


def test_an_evaluator_scores_what_has_no_features():
    space, genotype = darts_network("sep_conv_3x3")
    batch = create_batch("noise", shape=[3, 16, 16], n=4, seed=0)
    with Evaluator(Conditions.of(space, batch), {"rbflex": create_proxy("rbflex", gamma="flat")}, workers=1) as evaluator:
        (evaluation,) = evaluator.evaluate(keyed(evaluator, [genotype]))
    assert not evaluation.failures
    assert np.isfinite(evaluation.scores["rbflex"])


def test_a_score_of_activations_alone_has_another_identity_and_the_default_has_the_earlier_one():
    plain, alone = create_proxy("rbflex", gamma="flat"), create_proxy("rbflex", gamma="flat", features=False)
    assert plain.identity != alone.identity
    # Runs from before the parameter have the same configuration.
    assert "features" not in plain.parameters.model_dump(mode="json")
    assert alone.parameters.model_dump(mode="json")["features"] is False


def test_a_search_space_is_scored_by_activations_alone_where_asked():
    space = create_space("toy", channels=4)
    proxy = create_proxy("rbflex", gamma="flat", features=False).for_space(space)
    assert proxy.parts == "k"
    assert set(proxy.observer().parts) == {"k"}
