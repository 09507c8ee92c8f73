"""Repaired forwards equal literal ones, are apart from the plain forward, and depend on no order and no process."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from rbflex_evo.fitness import create_proxy
from rbflex_evo.fitness.data.batch import Batch, create_batch
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.measurer import Measurer, by_plan
from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised, draw
from rbflex_evo.spaces import ConfigError, create_space

SPACE = create_space("nats_tss", channels=4, cells=1)
CELLS = [6111, 9930, 284]
REPAIRS = ["masked_inputs", "layer_norm", "both"]
SCORES = {"naswot": {}, "swap": {}, "rbflex": {"gamma": "flat"}}


def noise(n=6):
    return create_batch("noise", shape=[3, 16, 16], n=n)


def measurer(space=SPACE, images=None, seed=0, precision="float64"):
    weights = WeightParameters(seed=seed)
    return Measurer(Conditions.of(space, images or noise(), weights=weights, device="cpu", precision=precision))


def literal_activations(network, images, repair, share, seed=0):
    """Runs images one by one with hooks and replaced modules; returns the ReLU outputs [N, L]."""
    network = copy.deepcopy(network).double()

    def mask(name, module, inputs):
        uniform = torch.from_numpy(draw(seed, f"mask/{name}.weight", inputs[0].shape[1:], False))
        return (inputs[0] * (uniform >= 2 * share - 1),)

    def over_all_values(module, inputs, output):
        x = inputs[0]
        centred = x - x.mean(dim=(1, 2, 3), keepdim=True)
        x = centred / (centred.square().mean(dim=(1, 2, 3), keepdim=True) + module.eps).sqrt()
        return x * module.weight[:, None, None] + module.bias[:, None, None]

    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and repair != "layer_norm":
            module.register_forward_pre_hook(partial(mask, name))
        if isinstance(module, nn.BatchNorm2d) and repair != "masked_inputs":
            module.register_forward_hook(over_all_values)
    found = []
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(lambda m, i, o: found.append(o.flatten()))
    rows = []
    network.train()
    with torch.no_grad():
        for image in images.double().split(1):
            found.clear()
            network(image)
            rows.append(torch.cat(found))
    return torch.stack(rows)


def literal_score(name, rows):
    codes = (rows > 0).numpy()
    if name == "swap":
        return len({column.tobytes() for column in codes.T.copy()})
    matches = [[float((one == other).sum()) for other in codes] for one in codes]
    return np.linalg.slogdet(matches)[1]


@pytest.mark.parametrize("repair", REPAIRS)
@pytest.mark.parametrize("name", ["naswot", "swap"])
def test_a_score_of_a_repaired_forward_equals_its_literal_form(name, repair):
    proxy = create_proxy(name, repair=repair, **({} if repair == "layer_norm" else {"masked": 0.5}))
    for index in CELLS:
        genotype = SPACE.at(index)
        network = build_initialised(SPACE, genotype, WeightParameters())
        (measured,) = measurer().measure([(genotype, {name: proxy})])
        expected = literal_score(name, literal_activations(network, noise().images, repair, 0.5))
        assert proxy.score(measured.statistics[name]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", SCORES)
def test_forms_of_one_score_share_no_forward_and_do_not_change_each_other(name):
    proxies = {repair: create_proxy(name, repair=repair, **SCORES[name]) for repair in ("none", *REPAIRS)}
    assert len({proxy.forward_kind for proxy in proxies.values()}) == len(proxies)
    assert len({str(proxy.identity) for proxy in proxies.values()}) == len(proxies)
    assert [repair for repair, proxy in proxies.items() if by_plan(proxy)] == ["none"]
    (together,) = measurer().measure([(SPACE.at(6111), proxies)])
    for repair, proxy in proxies.items():
        (alone,) = measurer().measure([(SPACE.at(6111), {repair: proxy})])
        assert proxy.score(alone.statistics[repair]) == pytest.approx(proxy.score(together.statistics[repair]), rel=1e-12)
    scores = [proxy.score(together.statistics[repair]) for repair, proxy in proxies.items()]
    assert name == "swap" or len(set(scores)) == len(scores)


@pytest.mark.parametrize("name", SCORES)
def test_without_a_repair_nothing_says_that_there_could_be_one(name):
    plain = create_proxy(name)
    assert not {"repair", "masked"} & (plain.identity.keys() | plain.parameters.model_dump().keys())


@pytest.mark.parametrize("repair", ["none", "layer_norm"])
@pytest.mark.parametrize("name", SCORES)
def test_a_share_of_masked_inputs_is_refused_where_nothing_is_masked(name, repair):
    with pytest.raises(ConfigError, match=r"masked 0.5 has no effect with repair '.*', which masks nothing; leave it out"):
        create_proxy(name, masked=0.5, repair=repair)


def test_masks_depend_on_the_seed_of_the_weights_and_on_no_order():
    proxies = {"swap": create_proxy("naswot", repair="masked_inputs")}
    first = [measured.statistics["swap"]["matches"] for measured in measurer().measure([(SPACE.at(i), proxies) for i in CELLS])]
    again = [measurer().measure([(SPACE.at(i), proxies)])[0].statistics["swap"]["matches"] for i in CELLS]
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    (other,) = measurer(seed=1).measure([(SPACE.at(CELLS[0]), proxies)])
    assert not np.array_equal(first[0], other.statistics["swap"]["matches"])


@pytest.mark.parametrize("repair", REPAIRS)
def test_each_image_is_repaired_alone(repair):
    proxies = {"rbflex": create_proxy("rbflex", repair=repair, gamma="flat")}
    images = noise(6).images
    (whole,) = measurer(images=Batch(images)).measure([(SPACE.at(6111), proxies)])
    (part,) = measurer(images=Batch(images[:3])).measure([(SPACE.at(6111), proxies)])
    np.testing.assert_allclose(part.statistics["rbflex"]["k_sums"], whole.statistics["rbflex"]["k_sums"][:3], rtol=1e-12)


@pytest.mark.parametrize("name", ["naswot", "swap", "rbflex"])
def test_spaces_of_words_are_refused_in_one_line(name):
    with pytest.raises(ConfigError, match=f"{name} with a repair .* do not have; leave out repair"):
        create_proxy(name, repair="both").check(create_space("nafbee_bert"))
    create_proxy(name).check(create_space("nafbee_bert"))


@pytest.mark.parametrize("name", ["naswot", "rbflex"])
def test_the_published_form_is_refused_with_a_repair(name):
    with pytest.raises(ConfigError, match="mode 'published' has no repaired form; leave out repair"):
        create_proxy(name, mode="published", repair="layer_norm")


def test_functional_forms_are_repaired_as_modules_are():
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(5, 3, 3, 3))
            self.classifier = nn.Linear(5, 2)

        def forward(self, x):
            x = functional.conv2d(x, self.weight, padding=1)
            x = torch.batch_norm(x, None, None, None, None, True, 0.1, 1e-5, False)
            return self.classifier(functional.relu(x).mean(dim=(2, 3)))

    from rbflex_evo.fitness.passes.chains.shared_forward import SharedForward
    from rbflex_evo.fitness.passes.repair import Repair

    network, images = Network().double(), noise(4).images.double()
    observer = create_proxy("naswot").observer()
    seen = SharedForward({"naswot": observer}, images, repair=Repair(0.5, True), seed=3).run(network, network.classifier)
    mask = torch.from_numpy(draw(3, "mask/weight", (3, 16, 16), False)) >= 0
    with torch.no_grad():
        x = functional.conv2d(images * mask, network.weight, padding=1)
    codes = functional.layer_norm(x, x.shape[1:]).flatten(1) > 0
    expected = [[float((one == other).sum()) for other in codes] for one in codes]
    np.testing.assert_array_equal(seen["naswot"].finish()["matches"], expected)
