"""Networks as files that other programs read: ONNX, and a program of `torch.export`."""

from __future__ import annotations

import copy
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rbflex_evo.spaces import ConfigError

if TYPE_CHECKING:
    from torch import Tensor, nn

WRITERS = ("onnx", "onnxscript")
# Protocol buffers are limited to 2 GiB; the weights of a larger network are written to a separate file.
LARGEST = 2**31 - 2**27


def check_onnx(packages: tuple[str, ...] = WRITERS) -> None:
    """Makes sure that packages of the extra ``onnx`` are installed.

    Raises:
        ConfigError: If one is not.
    """
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise ConfigError(f'ONNX needs the package {missing[0]!r}: pip install "rbflex-evo[onnx]"')


def save_onnx(network: nn.Module, inputs: Tensor, path: str | Path, *, any_batch: bool = True) -> None:
    """Writes a network in evaluation mode as ONNX with one input, ``input``, and one output, ``output``.

    Args:
        network: Network to write; it is not changed.
        inputs: Examples [n, ...] of what the network reads; at least 2 if the file takes any number of inputs.
        path: File to write.
        any_batch: True if the file takes any number of inputs, False if it takes as many as `inputs` holds.

    Raises:
        ConfigError: If a package of the extra ``onnx`` is not installed.
    """
    import torch

    check_onnx()
    evaluated = copy.deepcopy(network).eval()
    size = sum(tensor.numel() * tensor.element_size() for tensor in evaluated.state_dict().values())
    torch.onnx.export(
        evaluated,
        (inputs,),
        str(path),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},) if any_batch else None,
        input_names=["input"],
        output_names=["output"],
        external_data=size > LARGEST,
        verbose=False,
    )


def save_program(network: nn.Module, inputs: Tensor, path: str | Path, *, any_batch: bool = True) -> None:
    """Writes a network in evaluation mode as a program of `torch.export`; the arguments are those of `save_onnx`."""
    import torch

    shapes = ({0: torch.export.Dim("batch", min=1)},) if any_batch else None
    exported = torch.export.export(copy.deepcopy(network).eval(), (inputs,), dynamic_shapes=shapes)
    torch.export.save(exported, path)
