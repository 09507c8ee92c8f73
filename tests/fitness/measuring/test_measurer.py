"""Measuring takes a plan where there is one and the built network elsewhere, and gives the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rbflex_evo.fitness import Evaluator, create_batch, create_proxy
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.measurer import Measurer
from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.fitness.planned.native import find_compiler
from rbflex_evo.spaces import ConfigError, SearchSpace, create_space
from tests.support.transformers import FORM


class Unplanned:
    """A space whose plans are hidden."""

    def __init__(self, space: SearchSpace):
        self.space = space

    def __getattr__(self, name):
        return getattr(self.space, name)

    def plan(self, genotype, input_shape):
        return None


def images():
    return torch.from_numpy(np.random.default_rng(0).standard_normal((4, 3, 16, 16)).astype("float32"))


def measurer(kind, **settings):
    return Measurer(Conditions.of(kind, Batch(images()), device="cpu", **settings))


def space():
    return create_space("nats_tss", channels=4, cells=1)


PROXIES = {
    "rbflex": create_proxy("rbflex"),
    "naswot": create_proxy("naswot"),
    "paper": create_proxy("naswot", statistics="batch"),
    "synflow": create_proxy("synflow"),
}
GENOTYPES = [(3, 2, 4, 1, 3, 2), (0, 0, 0, 1, 0, 0), (0,) * 6, (0, 0, 0, 4, 0, 0)]


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_plans_and_built_networks_give_the_same_statistics_of_every_proxy(precision):
    requests = [(genotype, PROXIES) for genotype in GENOTYPES]
    found = [measurer(kind, precision=precision, backend="eager").measure(requests) for kind in (space(), Unplanned(space()))]
    tolerance = 1e-9 if precision == "float64" else 1e-3
    for planned, built in zip(*found, strict=True):
        assert planned.failures == built.failures
        assert planned.statistics.keys() == built.statistics.keys()
        for name, statistics in built.statistics.items():
            for part, array in statistics.items():
                scale = np.abs(array).max()
                np.testing.assert_allclose(planned.statistics[name][part], array, rtol=tolerance, atol=tolerance * scale)


def test_an_unknown_backend_names_the_near_one():
    with pytest.raises(ConfigError, match=r"'compild'.*compiled"):
        measurer(space(), backend="compild")


def test_the_compiled_backend_without_a_compiler_says_so(monkeypatch):
    from rbflex_evo.fitness.planned import native

    native.load.cache_clear()
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(ConfigError, match=r"no C compiler.*backend: auto"):
        measurer(space(), backend="compiled")
    assert measurer(space()).interpreter.backend.name == "eager"


@pytest.mark.skipif(find_compiler() is None, reason="this machine has no C compiler")
def test_kernels_are_compiled_once_into_the_users_cache(monkeypatch, tmp_path):
    from rbflex_evo.fitness.planned import native

    monkeypatch.setenv("RBFLEX_EVO_CACHE", str(tmp_path))
    for _ in range(2):
        native.load.cache_clear()
        native.load("float")
    assert [path.suffix for path in (tmp_path / "native").iterdir()] == [".so"]


def test_the_backend_is_part_of_what_a_cached_statistic_depends_on():
    batch = create_batch("noise", shape=[3, 16, 16], n=4)
    conditions = Conditions.of(space(), batch, device="cpu", backend="eager")
    with Evaluator(conditions, {"naswot": PROXIES["naswot"]}, workers=1) as evaluator:
        assert conditions.identity(PROXIES["naswot"])["backend"] == "eager"
        assert evaluator.facts()["backend"] == "eager"


def test_bfloat16_lowers_convolutions_alike_in_plans_and_built_networks():
    requests = [((3, 2, 4, 1, 3, 2), {"rbflex": PROXIES["rbflex"]})]
    grams = [
        measurer(kind, precision=precision, backend="eager").measure(requests)[0].statistics["rbflex"]["k_gram"]
        for kind, precision in ((space(), "bfloat16"), (Unplanned(space()), "bfloat16"), (space(), "float32"))
    ]
    lowered, built, full = grams
    difference = np.abs(lowered - full).max() / full.max()
    assert 1e-5 < difference < 0.05
    assert np.abs(lowered - built).max() / full.max() < 0.05


def test_the_networks_weights_are_those_that_a_plan_draws():
    from rbflex_evo.fitness.passes.weights import parameter_values

    weights = WeightParameters(seed=5)
    network = build_initialised(space(), GENOTYPES[0], weights)
    for name, parameter in network.named_parameters():
        matrix = (10, 16) if name.endswith("bias") else ()
        values = parameter_values(name, parameter.shape, weights, space().weight_shapes(), matrix)
        if name.startswith("classifier") or parameter.dim() > 1:
            np.testing.assert_array_equal(parameter.detach().numpy(), values)


BUILT = {
    "nasbench_macro": (create_space("nasbench_macro", channels=4), (3, 32, 32)),
    "autoformer": (create_space("autoformer_tiny", **FORM), (3, 32, 32)),
}


@pytest.mark.skipif(find_compiler() is None, reason="no C compiler here")
@pytest.mark.parametrize("name", BUILT)
def test_layers_of_built_networks_are_reduced_by_the_kernels_of_the_compiled_backend(name):
    kind, shape = BUILT[name]
    shared = {"statistics": "image", "inputs": "data"}
    proxies = {
        **{score: create_proxy(score) for score in ("rbflex", "layered", "naswot", "swap")},
        "az_expressivity": create_proxy("az_expressivity", **shared),
    }
    batch = Batch(torch.from_numpy(np.random.default_rng(0).standard_normal((6, *shape)).astype("float32")))
    genotype = kind.encoding.sample(np.random.default_rng(1))
    eager, compiled = (
        Measurer(Conditions.of(kind, batch, device="cpu", precision="float64", backend=backend)).measure([(genotype, proxies)])[0]
        for backend in ("eager", "compiled")
    )
    assert not eager.failures and not compiled.failures
    for score, statistics in eager.statistics.items():
        for key, value in statistics.items():
            found = compiled.statistics[score][key]
            assert np.allclose(found, value, rtol=1e-9, atol=1e-9 * max(1, np.abs(value).max())), (score, key)
