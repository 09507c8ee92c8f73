"""Every predictor: what it learns, that equal seeds give equal predictors, and that its file gives it back or one clear line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from rbflex_evo.fitness.costs.metric import CostSubject, create_metric
from rbflex_evo.fitness.costs.predictors.cutting import Kernel, cut
from rbflex_evo.fitness.costs.predictors.errors import cross_validated, errors_of
from rbflex_evo.fitness.costs.predictors.layers import Layers
from rbflex_evo.fitness.costs.predictors.least_squares import ridge
from rbflex_evo.fitness.costs.predictors.predictor import PREDICTORS, Predictor
from rbflex_evo.fitness.costs.predictors.saved import DOCUMENT, Provenance, load_predictor, save_predictor
from rbflex_evo.fitness.costs.predictors.transfer import KnownDevices
from rbflex_evo.fitness.passes.observer import CandidateFailed
from rbflex_evo.spaces import ConfigError, Genotype, SearchSpace, TableError, create_space

SPACE = create_space("toy", genes=4, choices=3, channels=4)
EVERY = list(SPACE.encoding.enumerate())
MILLISECONDS = np.array([1.0, 3.0, 0.5])
PROVENANCE = Provenance("phone", "latency", "ms", 40, "2025-01-01", {"device": "cpu"}, {"python": "3"}, {})


def additive(genotypes: list[Genotype]) -> np.ndarray:
    """Milliseconds of a device that computes one gene after another."""
    return np.array([2 + sum(MILLISECONDS[gene] for gene in genotype) for genotype in genotypes])


def devices() -> KnownDevices:
    """Six devices of four chips, which weigh the genes differently."""
    rng = np.random.default_rng(5)
    weights = MILLISECONDS * rng.uniform(0.5, 1.5, (6, 4, 3))
    costs = np.array([[1 + sum(w[i, gene] for i, gene in enumerate(genotype)) for w in weights] for genotype in EVERY])
    return KnownDevices(tuple("abcdef"), ("x", "x", "y", "y", "z", "w"), costs, EVERY)


def kernel_time(kernel: Kernel) -> float:
    """Milliseconds of a kernel that depend on its shape in no simple way."""
    return 0.01 + len(kernel.label) % 7 + 1e-6 * kernel.flops


def kernel_times() -> dict[Genotype, list[float]]:
    return {genotype: [kernel_time(kernel) for kernel in cut(SPACE, genotype, "eager")] for genotype in EVERY}


def made(name: str, space: SearchSpace = SPACE) -> Predictor:
    if name in ("ridge", "forest"):
        pytest.importorskip("sklearn", reason="needs the extra predict")
    kind = PREDICTORS.get(name)
    if name == "transfer":
        return cast(Predictor, kind(space, 0, known=devices()))
    return cast(Predictor, kind(space, 0, times=kernel_times()) if name == "layers" else kind(space, 0))


def learnt(name: str, count: int = 40) -> Predictor:
    predictor = made(name)
    rows = np.random.default_rng(0).permutation(len(EVERY))[:count]
    genotypes = [EVERY[row] for row in rows]
    predictor.fit(genotypes, additive(genotypes))
    return predictor


# A sum of kernels knows nothing of positions, so it is held against costs that are sums of kernels, below.
@pytest.mark.parametrize("name", [name for name in PREDICTORS.names() if name not in ("kernels", "layers")])
def test_a_predictor_orders_architectures_that_it_has_not_seen(name: str) -> None:
    predictor = learnt(name)
    assert predictor.name == name
    assert predictor.description
    errors = errors_of(additive(EVERY), predictor.predict(EVERY))
    assert errors.spearman > 0.8
    assert errors.median < 0.2
    assert len(predictor.predict([])) == 0


@pytest.mark.parametrize("name", ["lookup", "layers", "kernels", "ridge", "forest", "transfer"])
def test_equal_seeds_give_equal_predictors(name: str) -> None:
    first, second = (learnt(name).predict(EVERY) for _ in range(2))
    assert (first == second).all()


def test_a_graph_convolution_is_equal_for_equal_seeds_and_changes_no_random_state() -> None:
    import torch

    torch.manual_seed(3)
    before = torch.get_rng_state()
    predictors = [PREDICTORS.get("gcn")(SPACE, 0, steps=20) for _ in range(2)]
    for predictor in predictors:
        predictor.fit(EVERY[:20], additive(EVERY[:20]))
    assert (predictors[0].predict(EVERY) == predictors[1].predict(EVERY)).all()
    assert (torch.get_rng_state() == before).all()


@pytest.mark.parametrize("name", PREDICTORS.names())
def test_a_file_gives_the_predictor_back_without_the_library_that_fitted_it(name: str, tmp_path: Path) -> None:
    predictor = learnt(name)
    save_predictor(tmp_path / "saved.npz", predictor, PROVENANCE)
    for space in (SPACE, None):
        restored, provenance = load_predictor(tmp_path / "saved.npz", space)
        assert provenance == PROVENANCE
        np.testing.assert_allclose(restored.predict(EVERY), predictor.predict(EVERY), rtol=1e-9)
    assert [file.name for file in tmp_path.iterdir()] == ["saved.npz"]


def test_a_lookup_table_of_an_additive_device_is_exact() -> None:
    np.testing.assert_allclose(learnt("lookup").predict(EVERY), additive(EVERY), rtol=1e-3)


@pytest.mark.parametrize("name", ["lookup", "kernels"])
def test_networks_of_any_depth_are_sums_of_kernels(name: str) -> None:
    space = create_space("mobilenet", size=32, classes=10)
    rng = np.random.default_rng(0)
    genotypes = [space.encoding.sample(rng) for _ in range(26)]
    predictor = made(name, space)
    costs = np.array([1 + space.costs(genotype).flops / 1e7 for genotype in genotypes])
    predictor.fit(genotypes[:20], costs[:20])
    assert errors_of(costs[20:], predictor.predict(genotypes[20:])).median < 0.05


def test_timed_layers_add_up_to_networks_that_were_not_measured() -> None:
    times = kernel_times()
    # A forward takes a fifth more than its kernels, a bit for each of them, and a bit by itself.
    latencies = np.array([1.2 * sum(taken) + 0.05 * len(taken) + 0.3 for taken in times.values()])
    predictor = made("layers")
    predictor.fit(EVERY[:20], latencies[:20])
    assert predictor.predict(EVERY) == pytest.approx(latencies, rel=1e-6)


def test_a_layer_that_was_never_timed_has_the_time_of_its_kind() -> None:
    small, large = (create_space("toy", genes=4, choices=3, channels=channels) for channels in (4, 8))
    genotype = (1, 1, 1, 1)
    times = {one: [1e-3 + 1e-6 * kernel.traffic for kernel in cut(small, one, "eager")] for one in EVERY}
    predictor = Layers(small, times=times)
    predictor.fit(EVERY, np.array([sum(times[one]) for one in EVERY]))
    predictor.space, predictor._kernels = large, {}
    expected = sum(1e-3 + 1e-6 * kernel.traffic for kernel in cut(large, genotype, "eager"))
    assert predictor.predict([genotype])[0] == pytest.approx(expected, rel=0.3)


def test_layers_without_times_are_one_line() -> None:
    with pytest.raises(ConfigError, match="'layers' is fitted to the times of kernels; measure them"):
        Layers(SPACE).fit(EVERY[:9], additive(EVERY[:9]))


def test_a_forest_is_read_without_scikit_learn_as_it_was_fitted() -> None:
    ensemble = pytest.importorskip("sklearn.ensemble", reason="needs the extra predict")
    from rbflex_evo.fitness.costs.predictors.baselines import TREES

    predictor = learnt("forest")
    genotypes = [EVERY[row] for row in np.random.default_rng(0).permutation(len(EVERY))[:40]]
    theirs = ensemble.RandomForestRegressor(TREES, random_state=0, max_features=0.5)
    theirs.fit(predictor.features(genotypes), np.log(additive(genotypes)))  # type: ignore[attr-defined]
    np.testing.assert_allclose(np.log(predictor.predict(EVERY)), theirs.predict(predictor.features(EVERY)))  # type: ignore[attr-defined]


def test_leave_one_out_is_what_leaving_each_row_out_gives() -> None:
    rng = np.random.default_rng(0)
    features, values = rng.standard_normal((12, 4)), rng.standard_normal(12)
    fitted = ridge(features, values, (0.1,))
    scale = float((np.linalg.svd(features - features.mean(axis=0), compute_uv=False) ** 2).mean())
    for row in range(12):
        rest = np.arange(12) != row
        x, y = features[rest] - features[rest].mean(axis=0), values[rest] - values[rest].mean()
        weights = np.linalg.solve(x.T @ x + 0.1 * scale * np.eye(4), x.T @ y)
        expected = values[rest].mean() + (features[row] - features[rest].mean(axis=0)) @ weights
        assert fitted.left_out[row] == pytest.approx(expected, abs=1e-9)


def test_every_architecture_is_predicted_from_the_other_folds() -> None:
    genotypes = EVERY[::2]
    errors = cross_validated(lambda: made("lookup"), genotypes, additive(genotypes))
    assert errors.rows == len(genotypes)
    assert errors.low <= errors.median <= errors.high < 0.01
    noise = np.random.default_rng(1).uniform(1, 2, len(genotypes))
    assert cross_validated(lambda: made("lookup"), genotypes, noise).spearman < 0.5


def test_errors_of_constant_costs_have_no_rank_correlation() -> None:
    errors = errors_of(np.ones(10), np.linspace(1, 2, 10))
    assert np.isnan(errors.spearman)
    assert errors.median == pytest.approx(0.5)
    assert json.loads(json.dumps(errors.as_values()))["rows"] == 10


def test_a_known_device_of_the_same_chip_is_not_asked() -> None:
    known = devices()
    assert known.without("x").names == ("c", "d", "e", "f")
    assert known.without("x").costs.shape == (len(EVERY), 4)
    with pytest.raises(ConfigError, match="needs at least two devices of other chips than 'z', but there are 0"):
        KnownDevices(("e",), ("z",), known.costs[:, 4:5], EVERY).without("z")


def test_a_device_that_is_a_mixture_of_known_ones_is_found_from_ten_measurements() -> None:
    known = devices()
    costs = np.sqrt(known.costs[:, 0] * known.costs[:, 4])
    rows = np.random.default_rng(0).permutation(len(EVERY))[:10]
    predictor = made("transfer")
    predictor.fit([EVERY[row] for row in rows], costs[rows])
    assert errors_of(costs, predictor.predict(EVERY)).spearman > 0.9
    with pytest.raises(CandidateFailed, match="the known devices have no cost of"):
        PREDICTORS.get("transfer")(SPACE, 0, known=KnownDevices(known.names, known.chips, known.costs[:20], EVERY[:20])).fit(
            EVERY[15:25], costs[15:25]
        )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones(3), "is fitted to at least 5 architectures, but there are 3"),
        (np.array([1.0, 2, 3, 4, -1]), "is fitted to finite values above 0, but the smallest is -1"),
        (np.array([1.0, 2, 3, 4, np.nan]), "is fitted to finite values above 0"),
        (np.ones((5, 2)), "expected one value for each of 5 architectures"),
    ],
)
def test_what_cannot_be_fitted_is_one_line(values: np.ndarray, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        made("lookup").fit(EVERY[: len(values)], values)


def test_a_predictor_that_is_not_fitted_does_not_predict() -> None:
    with pytest.raises(RuntimeError, match=r"predict\(\) was called without calling fit\(\)"):
        made("lookup").predict(EVERY)
    with pytest.raises(ConfigError, match="is fitted beside known devices"):
        PREDICTORS.get("transfer")(SPACE).fit(EVERY[:10], additive(EVERY[:10]))


def changed(path: Path, **changes: object) -> None:
    """Changes the document of a file."""
    with np.load(path) as stored:
        arrays = dict(stored)
    document = json.loads(str(arrays.pop(DOCUMENT)))
    document.update(changes)
    np.savez(path, **arrays, **{DOCUMENT: np.array(json.dumps(document))})


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9, 0.999])
def test_a_file_that_was_cut_short_is_one_line(part: float, tmp_path: Path) -> None:
    path = tmp_path / "saved.npz"
    save_predictor(path, learnt("lookup"), PROVENANCE)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(TableError, match="is no predictor, or it was cut short") as error:
        load_predictor(path, SPACE)
    assert "\n" not in str(error.value)


def test_a_file_of_another_version_space_or_kind_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "saved.npz"
    save_predictor(path, learnt("lookup"), PROVENANCE)
    with pytest.raises(TableError, match=r"was fitted for toy \(.*genes 4.*\), but the space is nats_tss"):
        load_predictor(path, create_space("nats_tss"))
    with pytest.raises(TableError, match=r"was fitted for toy \(.*genes 4.*\), but the space is toy \(.*genes 5"):
        load_predictor(path, create_space("toy", genes=5, choices=3, channels=4))
    changed(path, predictor="oracle")
    with pytest.raises(TableError, match=r"is a damaged predictor .*unknown predictor 'oracle'"):
        load_predictor(path, SPACE)
    changed(path, predictor="lookup", state={})
    with pytest.raises(TableError, match="is a damaged predictor"):
        load_predictor(path, SPACE)
    changed(path, version=99)
    with pytest.raises(TableError, match="is of version 99, but version 1 is read here; fit it again"):
        load_predictor(path, SPACE)
    with pytest.raises(TableError, match="no predictor file"):
        load_predictor(tmp_path / "missing.npz", SPACE)


@pytest.mark.parametrize("name", PREDICTORS.names())
def test_a_file_of_damaged_numbers_is_one_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / "saved.npz"
    save_predictor(path, learnt(name), PROVENANCE)
    with np.load(path) as stored:
        whole = dict(stored)
    for wrong in (lambda array: array[:1], lambda array: np.full_like(array, np.nan)):
        damaged = {
            key: wrong(array) if key != DOCUMENT and np.issubdtype(array.dtype, np.floating) else array
            for key, array in whole.items()
        }
        np.savez(path, **damaged)
        with pytest.raises(TableError, match="is a damaged predictor") as error:
            load_predictor(path, SPACE)
        assert "\n" not in str(error.value)


def test_a_predictor_is_a_cost_by_its_path(tmp_path: Path) -> None:
    paths = {}
    for name, factor in (("predicted", 1.0), ("predicted:twice", 2.0)):
        predictor = made("lookup")
        predictor.fit(EVERY, factor * additive(EVERY))
        paths[name] = tmp_path / f"{factor}.npz"
        save_predictor(paths[name], predictor, PROVENANCE)
    metrics = {name: create_metric(name, SPACE, {"path": str(path)}) for name, path in paths.items()}
    subject = CostSubject(SPACE, EVERY[7])
    once, twice = (metric.cost(subject) for metric in metrics.values())
    assert twice == pytest.approx(2 * once, rel=1e-3)
    assert once == float(f"{once:.6g}")
    files = {metric.file for metric in metrics.values()}
    assert len(files) == 2
    assert None not in files
