"""Existing models are selected by names and wildcards, built without weights, and refused in one line where they do not fit."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models as torchvision_models

from rbflex_evo.fitness import create_proxy
from rbflex_evo.fitness.data.batch import create_batch
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.measurer import Measurer
from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.spaces import CandidateFailed, ConfigError, GenotypeError, create_space
from rbflex_evo.spaces.families.models import libraries
from rbflex_evo.spaces.families.models.network import classifier_of
from rbflex_evo.spaces.families.models.space import SMALL_MODELS

needs_timm = pytest.mark.skipif(find_spec("timm") is None, reason="timm is not installed")


def test_the_default_models_are_torchvisions_and_need_no_look_up():
    assert set(SMALL_MODELS) <= set(libraries.model_names("torchvision"))
    program = (
        "import sys; from rbflex_evo.spaces import create_space; create_space('models'); sys.exit('torchvision' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("patterns", "selected"),
    [
        (["resnet18"], ["resnet18"]),
        (["resnet*", "!resnet1*"], ["resnet34", "resnet50"]),
        (["!resnet1*", "resnet18", "resnet34", "resnet*"], ["resnet34", "resnet50"]),
        (["wide_resnet50_?", "resnet18", "resnet1?"], ["wide_resnet50_2", "resnet18"]),
    ],
)
def test_patterns_select_models_in_their_order(patterns, selected, monkeypatch):
    known = ["resnet101", "resnet18", "resnet34", "resnet50", "wide_resnet50_2"]
    monkeypatch.setattr(libraries, "model_names", lambda library: known)
    assert libraries.chosen_models(patterns, "auto") == ("torchvision", selected)


def test_wildcards_select_torchvisions_models():
    space = create_space("models", **{"from": ["regnet_y_*", "!*gf"], "size": 32})
    assert space.models == ["regnet_y_400mf", "regnet_y_800mf"]
    assert space.encoding.size == 2 and space.notation((1,)) == "regnet_y_800mf"
    assert space.parse(" regnet_y_800mf ") == (1,)
    assert space.parse("regnet_y_400mf.tv2_in1k") == (0,)
    assert create_space("models", **space.parameters.model_dump(mode="json")).identity == space.identity
    assert space.identity["library"].startswith("torchvision ")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"from": ["resnet19"], "library": "torchvision"},
            "no model of torchvision is called 'resnet19'; did you mean 'resnet18'?",
        ),
        ({"from": ["resnet*", "!resnett*"], "library": "torchvision"}, "no model of torchvision is called '!resnett*'"),
        ({"from": ["resnet18", "!resnet*"]}, "'from' selects no model of torchvision"),
        ({"from": ["!resnet*"]}, "only leaves models out"),
        ({"form": ["resnet18"]}, "unknown key 'space.models.form'; did you mean 'from'?"),
        ({"from": "resnet18"}, "'space.models.from': input should be a valid list"),
    ],
)
def test_what_selects_nothing_is_refused_in_one_line(values, said):
    with pytest.raises(ConfigError) as caught:
        create_space("models", **values)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_model_of_another_list_is_no_notation():
    space = create_space("models", **{"from": ["resnet18", "resnet34"]})
    with pytest.raises(GenotypeError, match="'resnet50' is not a model of this space; did you mean"):
        space.parse("resnet50")


def test_a_missing_library_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(libraries, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"library 'timm' needs the package 'timm': pip install \"rbflex-evo\[models\]\""):
        create_space("models", **{"from": ["vit_*"], "library": "timm"})
    with pytest.raises(ConfigError, match=r"no model of torchvision is called 'deit_\*'.* needs the package 'timm'"):
        create_space("models", **{"from": ["deit_*"]})


def test_a_model_takes_its_size_where_its_constructor_does():
    space = create_space("models", **{"from": ["vit_b_32", "resnet18"], "size": 32, "classes": 7})
    with torch.device("meta"):
        network = space.build((0,))
        assert network.image_size == 32 and network.heads.head.out_features == 7
        assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 7)


def test_a_model_that_does_not_take_the_size_fails_alone_with_a_reason():
    space = create_space("models", **{"from": ["maxvit_t", "resnet18"], "size": 32, "classes": 2})
    with pytest.raises(
        CandidateFailed, match=r"^maxvit_t of torchvision cannot be built for images like \[3, 32, 32\]: ValueError: Input size"
    ):
        space.costs((0,))
    measurer = Measurer(Conditions.of(space, create_batch("noise", shape=[3, 32, 32], n=3), device="cpu"))
    proxies = {"naswot": create_proxy("naswot"), "params": create_proxy("params"), "synflow": create_proxy("synflow")}
    failed, measured = measurer.measure([((0,), proxies), ((1,), {"naswot": create_proxy("naswot")})])
    assert set(failed.failures) == set(proxies) and not failed.statistics
    assert all(reason.startswith("maxvit_t of torchvision cannot be built") for reason in failed.failures.values())
    assert not measured.failures


def test_costs_are_those_of_the_library():
    space = create_space("models", **{"from": ["resnet18"]})
    costs = space.costs((0,))
    assert costs.params == 11_689_512
    assert costs.flops == pytest.approx(1.814e9, rel=1e-3)


def test_auxiliary_classifiers_are_left_out():
    space = create_space("models", **{"from": ["googlenet"], "size": 64})
    with torch.device("meta"):
        network = space.build((0,))
    assert network.aux1 is None and space.classifier(network) is network.fc


def test_the_classifier_is_the_last_layer():
    with torch.device("meta"):
        squeezenet, vgg = torchvision_models.squeezenet1_1(), torchvision_models.vgg11()
    assert classifier_of(squeezenet) is squeezenet.classifier[1]
    assert classifier_of(vgg) is vgg.classifier[6]
    with pytest.raises(CandidateFailed, match="ReLU has no linear layer or convolution"):
        classifier_of(nn.ReLU())


def test_the_code_of_a_model_builds_the_same_network_without_this_package():
    space = create_space("models", **{"from": ["shufflenet_v2_x0_5"], "size": 32, "classes": 3})
    made = {}
    exec(space.snippet((0,)), made)
    assert "rbflex_evo" not in space.snippet((0,))
    wanted = space.build((0,)).state_dict()
    assert {name: value.shape for name, value in made["network"].state_dict().items()} == {n: v.shape for n, v in wanted.items()}


def test_the_drawing_has_the_blocks_of_the_model():
    drawing = create_space("models", **{"from": ["resnet18"], "size": 64}).drawing((0,))
    assert drawing.nodes == ("input", "Conv2d", "8 x\nBasicBlock", "classifier")


# timm.


@needs_timm
def test_models_that_torchvision_has_not_are_timms():
    space = create_space("models", **{"from": ["vit_tiny_*", "deit_tiny*"], "size": 64})
    assert space.library == "timm" and {"vit_tiny_patch16_224", "deit_tiny_patch16_224"} <= set(space.models)
    assert space.identity["library"].startswith("timm ")
    assert create_space("models", **{"from": ["resnet18"], "library": "timm"}).library == "timm"


@needs_timm
def test_costs_of_a_model_that_expands_a_parameter_are_counted():
    space = create_space("models", **{"from": ["pit_ti_224"], "library": "timm", "size": 96})
    assert space.costs((0,)).params == pytest.approx(4.85e6, rel=0.05)


@needs_timm
@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "resnet10t", "lcnet_035"])
def test_a_model_of_timm_is_built_for_its_images_and_scored(name):
    space = create_space("models", **{"from": [name], "library": "timm", "size": 64, "classes": 5})
    network = build_initialised(space, (0,), WeightParameters()).eval()
    classifier = space.classifier(network)
    assert isinstance(classifier, nn.Linear) and classifier.out_features == 5
    batch = create_batch("noise", shape=[3, 64, 64], n=4)
    with torch.no_grad():
        assert network(batch.images).shape == (4, 5)
    proxies = {"layered": create_proxy("layered"), "rbflex": create_proxy("rbflex", gamma="flat")}
    (measured,) = Measurer(Conditions.of(space, batch, device="cpu")).measure([((0,), proxies)])
    assert not measured.failures
    assert all(np.isfinite(proxy.score(measured.statistics[key])) for key, proxy in proxies.items())


@needs_timm
def test_a_model_of_timm_has_the_code_that_builds_it():
    space = create_space("models", **{"from": ["vit_tiny_patch16_224"], "library": "timm", "size": 64})
    assert space.snippet((0,)) == (
        "import timm\n\nnetwork = timm.create_model('vit_tiny_patch16_224', pretrained=False, num_classes=1000, img_size=64)\n"
    )
