"""`check_source` accepts what keeps the contract of `Source`, and says in one line what is wrong with what does not."""

import numpy as np
import pytest
import torch

from rbflex_evo.fitness.conformance.check_source import check_source
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.data.random_inputs import Noise
from rbflex_evo.spaces import ConfigError, DataError, Parameters
from rbflex_evo.spaces.conformance.checking import CheckFailed


def test_registered_sources_pass(tmp_path):
    check_source("noise", shape=[3, 4, 4], n=3)
    check_source("words", length=5, n=3)
    np.savez(tmp_path / "images.npz", x=np.random.default_rng(0).standard_normal((9, 3, 4, 4)), y=np.arange(9))
    check_source("file", path=str(tmp_path / "images.npz"), array="x", labels="y", n=4)


def images(n=2):
    return torch.arange(n * 12, dtype=torch.float32).reshape(n, 3, 2, 2)


def giving(*parts, parameters=Parameters):
    """A source that gives one batch."""
    return type("Broken", (Noise,), {"Parameters": parameters, "batch": lambda self: Batch(*parts)})


def broken(**methods):
    return type("Broken", (Noise,), methods)


class Numbered(Parameters):
    n: int = 2


class Seeded(Parameters):
    seed: int = 0


class Located(Parameters):
    root: str = "."


def drawn(self):
    return Batch(torch.randn(2, 3, 2, 2), None, "noise")


def opened(self):
    with open(self.parameters.root):
        return Batch(images(), None, "file")


BROKEN = {
    "no source": (dict, "dict is no Source; derive it from rbflex_evo.fitness.data.batch.Source"),
    "no name": (broken(name=None), "has no name"),
    "foreign parameters": (broken(Parameters=dict), "must derive from rbflex_evo.spaces.Parameters"),
    "draws globally": (broken(batch=drawn), r"changed global random state \(torch\); draw from a numpy generator"),
    "raises": (broken(batch=lambda self: {}["x"]), r"batch\(\) raised KeyError.*raise DataError where"),
    "doubles": (giving(images().double(), None, "x"), "images of torch.float64; give float32"),
    "an array": (broken(batch=lambda self: images()), "gave Tensor; return a rbflex_evo.fitness.data.batch.Batch"),
    "no images": (giving(images(0), None, "x"), r"images of Tensor \[0, 3, 2, 2\]; give a tensor \[N, ...\]"),
    "NaN": (giving(images() / 0, None, "x"), "gave NaN or infinity"),
    "labels of floats": (giving(images(), torch.zeros(2), "x"), r"labels that are not int64 \[2\], counted from 0"),
    "labels from -1": (giving(images(), torch.tensor([-1, 0]), "x"), "counted from 0"),
    "too few labels": (giving(images(), torch.tensor([0]), "x"), r"not int64 \[2\]"),
    "no description": (giving(images(), None, " "), "describes its batch as ' '; say in one line"),
    "another number": (giving(images(), None, "x", parameters=Numbered), "gives 2 images for n = 1; give as many as are asked for"),
    "no seed": (giving(images(), None, "x", parameters=Seeded), "the same images for two seeds"),
    "no folder": (giving(images(), None, "x", parameters=Located), "takes root = 'no/such/file', which is not there"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_source_is_found(what):
    source, message = BROKEN[what]
    with pytest.raises(CheckFailed, match=message) as caught:
        check_source(source)
    assert "\n" not in str(caught.value)


def test_wrong_parameters_are_told():
    with pytest.raises(ConfigError, match=r"unknown key 'data.shap'; did you mean 'shape'"):
        check_source("noise", shap=[1])
    with pytest.raises(DataError, match="no folder"):
        check_source("cifar10", root="nowhere")
