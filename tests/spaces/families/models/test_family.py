"""The arguments of a constructor are choices; wrong names are found before a search, and refused combinations fail alone."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch import nn

from rbflex_evo.fitness import create_proxy
from rbflex_evo.fitness.data.batch import create_batch
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.measurer import Measurer
from rbflex_evo.spaces import CandidateFailed, ConfigError, create_space
from rbflex_evo.spaces.families.models.family import path_of_family

needs_timm = pytest.mark.skipif(find_spec("timm") is None, reason="timm is not installed")
VIT = {
    "of": "torchvision.vision_transformer",
    "size": 32,
    "classes": 3,
    "choices": {"hidden_dim": [12, 16], "num_heads": [2, 3], "num_layers": [1, 2]},
    "arguments": {"patch_size": 8, "mlp_dim": 16},
}


def test_the_class_of_a_module_is_built_from_its_arguments():
    space = create_space("family", **VIT)
    assert space.encoding.size == 8 and space.parameters.build == "torchvision.models.vision_transformer:VisionTransformer"
    genotype = space.parse("hidden_dim=16,num_heads=2,num_layers=2")
    network = space.build(genotype)
    assert network.hidden_dim == 16 and len(network.encoder.layers) == 2 and network.image_size == 32
    assert space.classifier(network) is network.heads.head and network.heads.head.out_features == 3
    assert space.notation(genotype) == "hidden_dim=16,num_heads=2,num_layers=2"
    assert create_space("family", **space.parameters.model_dump(mode="json")).identity == space.identity


def test_a_combination_that_the_constructor_refuses_fails_with_its_reason():
    space = create_space("family", **VIT)
    refused = space.parse("hidden_dim=16,num_heads=3,num_layers=1")
    with pytest.raises(
        CandidateFailed, match=r"torchvision.vision_transformer with hidden_dim=16,num_heads=3.*divisible by num_heads"
    ):
        space.build(refused)
    measurer = Measurer(Conditions.of(space, create_batch("noise", shape=[3, 32, 32], n=3), device="cpu"))
    proxies = {"naswot": create_proxy("naswot")}
    failed, measured = measurer.measure([(refused, proxies), (space.parse("hidden_dim=12,num_heads=3,num_layers=1"), proxies)])
    assert "divisible" in failed.failures["naswot"] and np.isfinite(proxies["naswot"].score(measured.statistics["naswot"]))


def test_a_rule_leaves_refused_combinations_out():
    space = create_space("family", **VIT, forbidden=["hidden_dim % num_heads != 0"])
    assert space.encoding.size == 6
    with torch.device("meta"):
        for genotype in space.encoding.enumerate():
            space.build(genotype)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"choices": {"hidden_dims": [8]}}, "takes no argument 'hidden_dims'; did you mean 'hidden_dim'?"),
        ({"arguments": {"patch_size": 8, "mlp_dims": 16}}, "takes no argument 'mlp_dims'; did you mean 'mlp_dim'?"),
        ({"arguments": {"patch_size": 8}}, "needs the argument 'mlp_dim'; make it a choice"),
        ({"of": "torchvision.vision_transformr"}, "has no 'vision_transformr'; did you mean 'vision_transformer'?"),
        ({"of": "torchvision.resnet.ResNets"}, "has no 'ResNets'; did you mean 'ResNet'?"),
        ({"of": "torch.nn.Linear"}, "expected a name of timm or torchvision"),
        ({"of": "no_such_module:Net"}, "there is no module 'no_such_module'"),
        ({"build": "a:b"}, "build follows from of; leave it out"),
        ({"arguments": {"weights": "DEFAULT"}}, "weights are never loaded"),
    ],
)
def test_what_the_constructor_does_not_take_is_found_before_a_search(changes, said):
    with pytest.raises(ConfigError) as caught:
        create_space("family", **VIT | changes)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_function_takes_the_arguments_of_the_class_that_it_returns():
    space = create_space(
        "family", of="torchvision.resnet50", size=16, classes=2, choices={"width_per_group": [32, 64], "groups": [1]}
    )
    with torch.device("meta"):
        assert isinstance(space.build((0, 0)), nn.Module)
    with pytest.raises(ConfigError, match="takes no argument 'width'"):
        create_space("family", of="torchvision.resnet18", choices={"width": [32]})


def test_the_code_of_a_network_builds_it_without_this_package():
    space = create_space("family", **VIT)
    genotype = space.parse("hidden_dim=16,num_heads=2,num_layers=2")
    made = {}
    exec(space.snippet(genotype), made)
    assert "rbflex_evo" not in space.snippet(genotype)
    assert sum(parameter.numel() for parameter in made["network"].parameters()) == space.costs(genotype).params


@needs_timm
def test_a_family_of_timm_is_found_by_its_module():
    assert path_of_family("timm.vision_transformer") == "timm.models.vision_transformer:VisionTransformer"
    assert path_of_family("timm.models.swin_transformer") == "timm.models.swin_transformer:SwinTransformer"
    space = create_space(
        "family",
        of="timm.vision_transformer",
        size=32,
        classes=5,
        choices={"embed_dim": [24, 48], "depth": [1, 2], "num_heads": [2, 3]},
        arguments={"patch_size": 8},
    )
    with torch.device("meta"):
        network = space.build((1, 1, 1))
    assert network.patch_embed.img_size == (32, 32) and space.classifier(network).out_features == 5
    with pytest.raises(ConfigError, match="takes no argument 'embed_dims'; did you mean 'embed_dim'"):
        create_space("family", of="timm.vision_transformer", choices={"embed_dims": [24]})


@needs_timm
def test_a_function_of_timm_takes_the_arguments_of_its_class():
    space = create_space(
        "family", of="timm.vit_tiny_patch16_224", size=64, classes=5, choices={"depth": [1, 2], "embed_dim": [48, 96]}
    )
    with torch.device("meta"):
        assert len(space.build((1, 0)).blocks) == 2
    with pytest.raises(ConfigError, match="weights are never loaded"):
        create_space("family", of="timm.vit_tiny_patch16_224", choices={"depth": [1]}, arguments={"pretrained": True})
