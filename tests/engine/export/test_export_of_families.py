"""Networks of other libraries are exported as programs, as ONNX files, and with the code that builds them without this package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from rbflex_evo.engine.export.export import write_network
from rbflex_evo.engine.export.exported import Run, load_network
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.passes.weights import WeightParameters
from rbflex_evo.spaces import create_space

FOUND = Run(name="run", finished=True, evaluations=1, place=1, scores={}, costs={})
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "models": ("resnet18", {"from": ["resnet18"], "size": 32, "classes": 3}),
    "family": ("num_layers=1,hidden_dim=16,num_heads=2,mlp_dim=32", {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_a_network_of_a_library_is_exported_in_every_form(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    notation, values = FAMILIES[name]
    space = create_space(name, **values)
    genotype = space.parse(notation)
    evaluation = Evaluation(genotype, space.key(genotype), {})
    # The ONNX file is compared with torch as it is written.
    write_network(tmp_path / "1", space, evaluation, FOUND, WeightParameters(), program=True, onnx=True)
    inputs = space.example_inputs(2)
    network = load_network(tmp_path / "1").eval()
    program = torch.export.load(tmp_path / "1" / "network.pt2").module()
    with torch.no_grad():
        wanted = network(inputs)
        torch.testing.assert_close(program(inputs), wanted)
    page = (tmp_path / "1" / "README.md").read_text()
    code = page.partition("To build it without rbflex-evo:\n\n```python\n")[2].partition("```")[0]
    made: dict[str, Any] = {}
    exec(code.replace('"state_dict.pt"', repr(str(tmp_path / "1" / "state_dict.pt"))), made)
    with torch.no_grad():
        assert torch.equal(made["network"].eval()(inputs), wanted)
