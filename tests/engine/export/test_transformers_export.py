"""Transformers of images and of words run without this package: programs of torch.export and ONNX give what torch gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rbflex_evo.engine.export.onnx_file import TOLERANCE, write_onnx
from rbflex_evo.fitness.network_files import save_program
from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.spaces import SearchSpace, create_space
from tests.support.transformers import SMALL_TRANSFORMERS

NETWORKS = {
    "autoformer": ("autoformer_tiny", "24: h2r4 h1r3.5"),
    "pit": ("pit", "4r3: d2h1 d1h2 d1h4"),
    "attention and transforms": ("flexibert", "16: SA-SDP-2-12-1;SA-WMA-4-16-3;LT-DFT-2-12-1;LT-DCT-4-16-3"),
    "span convolutions": ("flexibert", "8: DSC-5-2-12-1;DSC-9-4-16-3"),
}


def built(what: str) -> tuple[SearchSpace, nn.Module]:
    name, text = NETWORKS[what]
    space = create_space(name, **SMALL_TRANSFORMERS[name])
    return space, build_initialised(space, space.parse(text), WeightParameters()).eval()


def some(space: SearchSpace, n: int) -> Tensor:
    """Returns `n` inputs; a sentence ends with padding."""
    inputs = space.example_inputs(n, seed=n)
    if space.inputs == "words":
        inputs[0, 6:] = 0
    return inputs


@pytest.mark.parametrize("what", NETWORKS)
def test_a_program_gives_what_torch_gives_for_any_number_of_inputs(what: str, tmp_path: Path) -> None:
    space, network = built(what)
    save_program(network, space.example_inputs(3), tmp_path / "network.pt2")
    program = torch.export.load(tmp_path / "network.pt2").module()
    for n in (1, 4):
        with torch.no_grad():
            torch.testing.assert_close(program(some(space, n)), network(some(space, n)))


@pytest.mark.slow
@pytest.mark.parametrize("what", NETWORKS)
def test_onnx_gives_what_torch_gives_for_any_number_of_inputs(what: str, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    space, network = built(what)
    write_onnx(network, space.example_inputs(3), tmp_path / "network.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "network.onnx"))
    for n in (1, 4):
        with torch.no_grad():
            wanted = network(some(space, n)).numpy()
        (found,) = session.run(None, {"input": some(space, n).numpy()})
        assert np.abs(found - wanted).max() <= TOLERANCE * np.abs(wanted).max()
