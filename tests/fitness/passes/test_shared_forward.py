"""Networks with common first stages run them once, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from rbflex_evo.fitness import create_proxy
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.measurer import Measurer
from rbflex_evo.fitness.passes.chains.shared_forward import SharedForward, common
from rbflex_evo.fitness.passes.watch import run_observed
from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.spaces import SPACES, ConfigError, create_space
from rbflex_evo.spaces.architecture.chain import Stage, chain_of, run_chain
from tests.support.families import SMALL_FAMILIES
from tests.support.transformers import SMALL_TRANSFORMERS

PROXIES = {name: create_proxy(name) for name in ("rbflex", "naswot", "swap", "meco", "synflow")}
PROXIES["batch"] = create_proxy("naswot", statistics="batch")
SMALL = {
    **SMALL_FAMILIES,
    **SMALL_TRANSFORMERS,
    "darts": {"channels": 4, "layers": 4},
    "nasbench_macro": {"channels": 4},
    "nds_resnet": {"depths": [1, 2], "widths": [8, 16]},
    "mobilenet": {"size": 32},
    "fbnet": {"size": 16},
    "nafbee_bert": {"per_layer": True, "layers": 3, "hidden": 12, "heads": 3, "length": 8, "vocabulary": 50},
    "nafbee_vgg11": {"per_layer": True, "channels": 4},
    "nafbee_vgg19": {"per_layer": True, "channels": 4},
    "transnas_macro": {"channels": 4, "task": "segmentsemantic"},
    "transnas_micro": {"channels": 4, "task": "jigsaw"},
} | {f"nds_{name}": {"depths": [4, 6], "widths": [4]} for name in ("amoeba", "darts", "enas", "nasnet", "pnas")}
SHARING = (
    "autoformer_tiny",
    "pit",
    "flexibert",
    "darts",
    "nasbench_macro",
    "nds_resnet",
    "mobilenet",
    "fbnet",
    "nafbee_vgg11",
    "nafbee_bert",
    "transnas_macro",
    "transnas_micro",
)


def images():
    return torch.from_numpy(np.random.default_rng(0).standard_normal((4, 3, 32, 32)).astype("float32"))


def neighbours(space, count):
    """Genotypes a gene or two from one another, and some that are far from all."""
    rng = np.random.default_rng(3)
    start = space.encoding.sample(rng)
    near = [space.encoding.mutate(start, rng, 0.1) for _ in range(count - 2)]
    return [start, space.encoding.sample(rng), *near]


@pytest.mark.parametrize("name", SHARING)
def test_a_candidate_has_the_same_statistics_among_others_as_alone(name):
    space = create_space(name, **SMALL[name])
    requests = [(genotype, PROXIES) for genotype in neighbours(space, 3)]
    inputs = space.example_inputs(4)
    together = Measurer(Conditions.of(space, Batch(inputs), device="cpu")).measure(requests)
    for request, found in zip(requests, together, strict=True):
        alone = Measurer(Conditions.of(space, Batch(inputs), device="cpu")).measure([request])[0]
        assert found.failures == alone.failures
        assert found.statistics.keys() == alone.statistics.keys()
        for proxy, statistics in alone.statistics.items():
            for part, array in statistics.items():
                np.testing.assert_array_equal(found.statistics[proxy][part], array)


def test_scores_of_one_name_and_other_settings_share_no_forward():
    space = create_space("nasbench_macro", **SMALL["nasbench_macro"])
    genotype = (1, 0, 0, 0, 0, 0, 0, 0)
    requests = [(genotype, {"score": create_proxy("naswot", statistics=kind)}) for kind in ("image", "batch")]
    together = Measurer(Conditions.of(space, Batch(images()), device="cpu")).measure(requests)
    for request, found in zip(requests, together, strict=True):
        alone = Measurer(Conditions.of(space, Batch(images()), device="cpu")).measure([request])[0]
        np.testing.assert_array_equal(found.statistics["score"]["matches"], alone.statistics["score"]["matches"])
    assert not np.array_equal(*[found.statistics["score"]["matches"] for found in together])


@pytest.mark.parametrize("name", [name for name in SPACES.names() if name != "toy"])
def test_stages_of_equal_identity_hold_equal_weights_and_modules(name):
    space = create_space(name, **SMALL.get(name, {}))
    genotypes = neighbours(space, 4)
    with torch.device("meta"):
        chains = [chain_of(space.build(genotype)) for genotype in genotypes]
    if len(chains[0]) == 1:
        assert common(*[[stage.identity for stage in chain] for chain in chains[:2]]) == 0
        return
    networks = [build_initialised(space, genotype, WeightParameters()).eval() for genotype in genotypes]
    chains = [chain_of(network) for network in networks]
    shared = 0
    for chain, network in zip(chains[1:], networks[1:], strict=True):
        states = [space.example_inputs(1)] * 2
        prefix = common(*[[stage.identity for stage in one] for one in (chains[0], chain)])
        for first, second in zip(chains[0][:prefix], chain[:prefix], strict=True):
            with torch.no_grad():
                states = [first.run(states[0]), second.run(states[1])]
            for one, other in zip(*[state if isinstance(state, tuple) else (state,) for state in states], strict=True):
                assert torch.equal(one, other)
            shared += 1
        with torch.no_grad():
            assert torch.equal(network(space.example_inputs(1)), run_chain(chain, space.example_inputs(1)))
    assert shared > 0


class Counting(nn.Module):
    """Three stages of one convolution each, which note when they run."""

    def __init__(self, codes, ran):
        super().__init__()
        self.codes, self.ran = codes, ran
        self.layers = nn.ModuleDict({f"{i}_{code}": nn.Conv2d(3, 3, 3, padding=1) for i, code in enumerate(codes)})
        self.classifier = nn.Linear(3, 2)

    def as_stages(self):
        def run(name):
            def stage(x):
                if len(x) == len(images()):  # a few images run alone before, as evidence of the layout
                    self.ran.append(name)
                return torch.relu(self.layers[name](x))

            return stage

        return [*(Stage(name, run(name)) for name in self.layers), Stage("head", lambda x: self.classifier(x.mean((2, 3))))]

    def forward(self, x):
        return run_chain(self.as_stages(), x)


def counted(codes, ran):
    network = Counting(codes, ran)
    with torch.no_grad():
        for name, layer in network.layers.items():
            layer.bias.zero_()
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=torch.Generator().manual_seed(sum(map(ord, name)))))
    return network


def test_what_neighbours_have_in_common_is_run_once():
    ran: list[str] = []
    codes = ["aaa", "aab", "aba", "abb", "bbb"]
    shared = SharedForward({"naswot": PROXIES["naswot"].observer()}, images())
    found = []
    for code, following in zip(codes, [*codes[1:], ""], strict=True):
        network = counted(code, ran)
        ahead = [stage.identity for stage in chain_of(counted(following, []))] if following else ()
        found.append(shared.run(network, network.classifier, ahead)["naswot"].finish())
    assert ran == ["0_a", "1_a", "2_a", "2_b", "1_b", "2_a", "2_b", "0_b", "1_b", "2_b"]
    assert len(shared.path) == 1  # nothing is kept for a next one that is not there
    for code, statistics in zip(codes, found, strict=True):
        network, observer = counted(code, []), PROXIES["naswot"].observer()
        run_observed(network, images(), [observer], network.classifier)
        for part, array in observer.finish().items():
            np.testing.assert_array_equal(statistics[part], array)


def test_a_stage_that_changes_what_others_read_is_an_error():
    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.classifier = nn.Linear(3, 2)

        def as_stages(self):
            return [Stage("in place", lambda x: x.mul_(2)), Stage("head", lambda x: self.classifier(x.mean((2, 3))))]

        def forward(self, x):
            return run_chain(self.as_stages(), x)

    network = InPlace()
    with pytest.raises(ConfigError, match=r"stage 'in place' changes its input in place"):
        SharedForward({"naswot": PROXIES["naswot"].observer()}, images()).run(network, network.classifier)
