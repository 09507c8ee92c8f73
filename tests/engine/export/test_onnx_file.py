"""Files that run without this package: ONNX, held against torch, and programs of torch.export."""

from __future__ import annotations

import copy
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rbflex_evo.engine.commands.app import run
from rbflex_evo.engine.export.export import export_run
from rbflex_evo.engine.export.exported import load_network
from rbflex_evo.engine.export.onnx_file import TOLERANCE, largest_difference, telling_inputs, write_onnx
from rbflex_evo.fitness.network_files import save_program
from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.spaces import ConfigError, RunError, SearchSpace, create_space
from tests.support.instant import instant_search, toy_config

onnxruntime = pytest.importorskip("onnxruntime")

FORMS = [
    ("toy", {"choices": 8}),
    pytest.param("nds_darts", {"depths": [3], "widths": [4]}, marks=pytest.mark.slow),
    pytest.param("mobilenet", {"size": 64, "classes": 10}, marks=pytest.mark.slow),
    pytest.param("fbnet", {"size": 16, "classes": 10}, marks=pytest.mark.slow),
]


def network_of(space: SearchSpace, inputs: Tensor) -> nn.Module:
    """Returns a network that has gathered running statistics, as one does in training, so that its outputs are telling."""
    genotype = space.encoding.sample(np.random.Generator(np.random.PCG64(2)))
    network = build_initialised(space, genotype, WeightParameters())
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        for _ in range(20):
            network(inputs)
    return network


def given(path: Path, inputs: Tensor) -> np.ndarray:
    (found,) = onnxruntime.InferenceSession(str(path)).run(None, {"input": inputs.numpy()})
    return np.asarray(found)


@pytest.mark.parametrize(("name", "values"), FORMS)
def test_onnx_gives_what_torch_gives_for_any_number_of_images(name: str, values: dict[str, Any], tmp_path: Path) -> None:
    space = create_space(name, **values)
    network = network_of(space, space.example_inputs(8))
    write_onnx(network, space.example_inputs(3), tmp_path / "network.onnx")
    assert network.training
    for n in (1, 2, 5):
        inputs = space.example_inputs(n, seed=n)
        with torch.no_grad():
            wanted = copy.deepcopy(network).eval()(inputs).numpy()
        found = given(tmp_path / "network.onnx", inputs)
        assert found.shape == wanted.shape
        assert np.abs(found - wanted).max() <= TOLERANCE * np.abs(wanted).max()
        assert n == 1 or np.ptp(wanted, axis=0).max() > 10 * TOLERANCE * np.abs(wanted).max()


class Deep(nn.Module):
    """A network that forgets its input as untrained ones do: all but its last layer make it smaller."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.classifier = nn.Linear(4, 3)
        nn.init.ones_(self.classifier.weight)
        nn.init.constant_(self.classifier.bias, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.relu(x) * self.scale)


def test_a_difference_is_found_where_an_untrained_network_forgets_its_input(tmp_path: Path) -> None:
    inputs = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    network, other = Deep(1e-12), Deep(2e-12)
    assert torch.equal(network(inputs), other(inputs))
    telling = telling_inputs(network, inputs)
    assert not torch.allclose(network(telling), other(telling), rtol=0.1)
    write_onnx(network, inputs, tmp_path / "network.onnx")
    assert largest_difference(network, inputs, tmp_path / "network.onnx") <= TOLERANCE
    assert largest_difference(other, inputs, tmp_path / "network.onnx") > 0.1


def test_inputs_that_tell_already_stay_as_they_are() -> None:
    inputs = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    assert telling_inputs(Deep(1.0), inputs) is not None and torch.equal(telling_inputs(Deep(1.0), inputs), inputs)
    words = torch.tensor([[1, 2], [3, 4]])
    assert telling_inputs(nn.Embedding(5, 2), words) is words


class Shuffling(nn.Module):
    """A network that no file can hold: it gives something else each time."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.calls


def test_a_file_that_differs_from_torch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"differs from torch by .* of the largest output, more than 0\.0001"):
        write_onnx(Shuffling(), torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), tmp_path / "network.onnx")
    with pytest.raises(ConfigError, match="at least 2 examples, but there are 1"):
        write_onnx(Deep(1.0), torch.ones(1, 4), tmp_path / "network.onnx")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = toy_config(tmp_path_factory.mktemp("runs"), space={"name": "toy", "channels": 4}, budget={"evaluations": 20})
    return instant_search(config)[0].run().folder


def test_an_export_holds_the_files_that_were_asked_for_and_leaves_every_generator_alone(folder: Path, tmp_path: Path) -> None:
    before = random.getstate(), repr(np.random.get_state(legacy=False)), torch.random.get_rng_state()
    (done,) = export_run(folder, onnx=True, program=True, into=tmp_path / "networks", quiet=True)
    after = random.getstate(), repr(np.random.get_state(legacy=False)), torch.random.get_rng_state()
    assert before[:2] == after[:2] and torch.equal(before[2], after[2])
    assert set(done.architecture.checksums) == {"architecture.png", "network.onnx", "network.pt2", "state_dict.pt"}
    page = (done.folder / "README.md").read_text()
    assert "`network.onnx` is the network in evaluation mode" in page and "torch.export.load('network.pt2')" in page
    inputs = done.architecture.create_space().example_inputs(4, seed=9)
    with torch.no_grad():
        wanted = load_network(done.folder).eval()(inputs).numpy()
    np.testing.assert_allclose(given(done.folder / "network.onnx", inputs), wanted, atol=TOLERANCE * np.abs(wanted).max())


@pytest.mark.slow
def test_a_program_runs_where_this_package_is_not(tmp_path: Path) -> None:
    space = create_space("toy")
    network = network_of(space, space.example_inputs(8))
    save_program(network, space.example_inputs(3), tmp_path / "network.pt2")
    inputs = space.example_inputs(5, seed=2)
    torch.save(inputs, tmp_path / "inputs.pt")
    program = (
        "import sys\n"
        "sys.modules['rbflex_evo'] = None\n"
        "import torch\n"
        "inputs = torch.load('inputs.pt', weights_only=True)\n"
        "torch.save(torch.export.load('network.pt2').module()(inputs).detach(), 'outputs.pt')\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path)
    with torch.no_grad():
        wanted = network.eval()(inputs)
    assert torch.equal(torch.load(tmp_path / "outputs.pt", weights_only=True), wanted)


def test_without_the_extra_one_line_says_what_to_install(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert run(["export", str(folder), "--onnx", "--into", str(tmp_path / "networks")]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err == "error: ONNX needs the package 'onnxscript': pip install \"rbflex-evo[onnx]\"\n"
    assert not list(tmp_path.iterdir())
