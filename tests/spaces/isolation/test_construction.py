"""A built network depends on the seed and the genotype alone: nothing is computed from memory that was not initialised."""

from __future__ import annotations

import copy
import random
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, spectral_norm, weight_norm

from rbflex_evo.fitness import CandidateFailed, create_proxy, rbflex_score
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.measurer import Measurer
from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised, parameter_values
from rbflex_evo.spaces import GenotypeError, Parameters, SearchSpace, VectorEncoding, create_space
from rbflex_evo.spaces.conformance.check_space import CheckFailed, check_space
from rbflex_evo.spaces.isolation.postponed import Postponing
from rbflex_evo.spaces.isolation.random_state import RandomState, global_generators

IMAGES = torch.from_numpy(np.random.default_rng(0).standard_normal((6, 3, 10, 10)).astype("float32"))


class Layered(nn.Module):
    """A convolution, what `wrap` makes of it, and a classifier."""

    def __init__(self, wrap):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3), nn.Linear(8, 5)
        wrap(self)

    def forward(self, x):
        return self.b((torch.relu(self.a(x)) * getattr(self, "scale", 1.0)).mean((2, 3)))


class OneNetwork(SearchSpace):
    name, description, encoding, input_shape, Parameters = "one_network", "", VectorEncoding([2]), (3, 10, 10), Parameters

    def __init__(self, wrap):
        super().__init__()
        self.wrap = wrap

    def build(self, genotype):
        return Layered(self.wrap)

    def notation(self, genotype):
        return str(genotype[0])

    def parse(self, text):
        if text not in ("0", "1"):
            raise GenotypeError(f"expected 0 or 1, but it is {text!r}")
        return (int(text),)


def built(wrap, seed=0):
    return build_initialised(OneNetwork(wrap), (0,), WeightParameters(seed=seed))


def _wrap(norm, network):
    network.a = norm(network.a)


def wrapped(norm):
    return partial(_wrap, norm)


def scaled(network):
    network.scale = network.a.weight.norm().item()


def scaled_by_buffer(network):
    network.register_buffer("scale", network.a.weight.detach().mean() + 1)


def copied(network):
    network.a = copy.deepcopy(network.a)
    network.kept = [network.a.weight.clone().detach()]
    network.scale = network.kept[0].abs().max()


def held_in_a_list(network):
    network.hidden = [nn.Parameter(torch.empty(8, 1, 1))]
    nn.init.uniform_(network.hidden[0])
    network.scale = network.hidden[0]
    del network._parameters["scale"]
    network.__dict__["scale"] = network.hidden[0]


def drawn_by_others(network):
    network.scale = random.random() + np.random.rand()


def truncated(network):
    nn.init.trunc_normal_(network.a.weight)
    network.scale = float(network.a.weight[0].sum())


READERS = {
    "spectral norm": wrapped(parametrizations.spectral_norm),
    "spectral norm by a hook": wrapped(spectral_norm),
    "weight norm": wrapped(parametrizations.weight_norm),
    "weight norm by a hook": wrapped(weight_norm),
    "orthogonal": wrapped(parametrizations.orthogonal),
    "a number of a weight": scaled,
    "a buffer of a weight": scaled_by_buffer,
    "a copy of a layer": copied,
    "a parameter that is not registered": held_in_a_list,
    "draws of python and numpy": drawn_by_others,
    "a truncated normal": truncated,
}


@pytest.mark.parametrize("how", READERS)
@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated")
def test_what_a_constructor_reads_of_a_weight_is_the_same_each_time(how):
    before = RandomState.of(global_generators())
    found = []
    for junk in (1e-3, 1.0, 1e6, float("nan")):
        dirt = [torch.full((size,), junk) for size in (8, 24, 40, 216, 4096) for _ in range(20)]
        del dirt
        network = built(READERS[how])
        state = {name: value.clone() for name, value in network.state_dict().items()}
        found.append((state, rbflex_score(network, IMAGES)))
    assert not before.moved()
    state, score = found[0]
    assert np.isfinite(score)
    for other, again in found[1:]:
        assert again == score
        assert all(torch.equal(value, other[name]) for name, value in state.items())


@pytest.mark.parametrize("norm", [parametrizations.spectral_norm, spectral_norm])
def test_spectral_norm_divides_by_the_norm_of_the_drawn_matrix(norm):
    network = built(wrapped(norm)).eval()
    network(IMAGES)
    assert torch.linalg.matrix_norm(network.a.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("norm", [parametrizations.weight_norm, weight_norm])
@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated")
def test_weight_norm_leaves_the_drawn_matrix_as_it_is(norm):
    network = built(wrapped(norm)).eval()
    network(IMAGES)
    direction = next(p for name, p in network.a.named_parameters() if name.endswith(("weight_v", "original1")))
    torch.testing.assert_close(network.a.weight, direction)
    # As of a plain layer, the bias is scaled by the fan-in of the matrix.
    name = "a.bias"
    np.testing.assert_array_equal(network.a.bias.detach(), parameter_values(name, (8,), WeightParameters(), matrix=(8, 3, 3, 3)))


def test_other_weights_give_another_state_of_spectral_norm():
    first, second = (built(wrapped(parametrizations.spectral_norm), seed).a.parametrizations.weight[0]._u for seed in (0, 1))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("name", ["toy", "nats_tss", "darts", "nasbench101", "mobilenet"])
def test_no_draw_of_a_registered_space_is_made_for_nothing(name):
    space = create_space(name)
    genotype = space.encoding.sample(np.random.default_rng(0))
    with Postponing() as postponing:
        network = space.build(genotype)
    matrices = [p for p in network.parameters() if p.dim() > 1]
    assert len(postponing._waiting) == len(matrices)


def uninitialised_vector(network):
    network.register_parameter("scale", nn.Parameter(torch.empty(8, 1, 1).flatten()))
    network.scale = nn.Parameter(torch.empty(1))


def uninitialised_buffer(network):
    network.register_buffer("scale", torch.empty(8, 1, 1))


def uninitialised_attribute(network):
    network.scale = float(torch.empty(1))


def uninitialised_in_a_closure(network):
    secret = torch.empty(8, 1, 1)
    network.a.register_forward_hook(lambda module, inputs, output: output + secret)


BROKEN = {
    "a vector": uninitialised_vector,
    "a buffer": uninitialised_buffer,
    "a number": uninitialised_attribute,
    "a closure": uninitialised_in_a_closure,
}


@pytest.mark.parametrize("how", BROKEN)
def test_the_kit_reports_a_network_that_reads_uninitialised_memory(how):
    with pytest.raises(CheckFailed, match="uninitialised"):
        check_space(OneNetwork(BROKEN[how]), samples=2)


@pytest.mark.parametrize("how", BROKEN)
def test_a_network_that_reads_uninitialised_memory_fails_instead_of_scoring(how):
    measurer = Measurer(Conditions.of(OneNetwork(BROKEN[how]), Batch(IMAGES), device="cpu"))
    (measured,) = measurer.measure([((0,), {"rbflex": create_proxy("rbflex")})])
    assert "NaN" in measured.failures["rbflex"]


def test_the_kit_reports_a_network_that_is_another_one_each_time():
    def fresh(network):
        network.scale = float(np.random.default_rng().random())

    with pytest.raises(CheckFailed, match=r"gives 'scale' another value the second time"):
        check_space(OneNetwork(fresh), samples=2)


def test_a_network_with_noise_of_its_own_is_refused_when_it_is_scored():
    def noisy(network):
        network.a.register_forward_hook(lambda module, inputs, output: output + torch.randn_like(output))

    with pytest.raises(CandidateFailed, match="draws random numbers"):
        rbflex_score(built(noisy), IMAGES)


@pytest.mark.parametrize("how", ["spectral norm", "a buffer of a weight", "a copy of a layer"])
def test_the_kit_accepts_a_network_that_reads_initialised_weights(how):
    check_space(OneNetwork(READERS[how]), samples=2)
