"""A network as an ONNX file, written by torch's exporter and held against torch by ONNX Runtime. Needs the extra ``onnx``."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

from rbflex_evo.fitness.network_files import WRITERS, check_onnx, save_onnx
from rbflex_evo.spaces import ConfigError, RunError

if TYPE_CHECKING:
    from torch import Tensor, nn

PACKAGES = (*WRITERS, "onnxruntime")
# Largest allowed difference, as a share of the largest output.
TOLERANCE = 1e-4


def check_packages() -> None:
    """Makes sure that the extra is installed.

    Raises:
        ConfigError: if it is not.
    """
    check_onnx(PACKAGES)


def write_onnx(network: nn.Module, inputs: Tensor, path: str | Path) -> None:
    """Writes a network in evaluation mode, for any number of inputs, and checks the file with 1 and with all of `inputs`.

    Args:
        network: Network to write; it is not changed.
        inputs: At least 2 examples [n, ...] of what the network reads; the file's input is called ``input``, its output ``output``.
        path: File to write.

    Raises:
        ConfigError: if the extra is not installed, or there are fewer than 2 examples.
        RunError: if an output differs from torch's by more than `TOLERANCE` of the largest one.
    """
    check_packages()
    if len(inputs) < 2:
        raise ConfigError(f"an ONNX file is written from at least 2 examples, but there are {len(inputs)}")
    save_onnx(network, inputs, path)
    evaluated = copy.deepcopy(network).eval()
    difference = largest_difference(evaluated, inputs, path)
    if not difference <= TOLERANCE:
        raise RunError(f"{path} differs from torch by {difference:.1e} of the largest output, more than {TOLERANCE:g}")


def largest_difference(network: nn.Module, inputs: Tensor, path: str | Path) -> float:
    """Returns the largest difference between a file's outputs and the network's, as a share of the largest output."""
    import numpy as np
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    telling = telling_inputs(network, inputs)
    worst = 0.0
    for given in (telling, telling[:1]):
        with torch.no_grad():
            wanted = network(given).numpy()
        (found,) = session.run(None, {"input": given.numpy()})
        if found.shape != wanted.shape:
            return float("inf")
        share = np.abs(found - wanted).max() / max(float(np.abs(wanted).max()), np.finfo(np.float32).tiny)
        worst = max(worst, float(share)) if np.isfinite(share) else float("inf")
    return worst


def telling_inputs(network: nn.Module, inputs: Tensor) -> Tensor:
    """Returns inputs, scaled up where need be, for which the network's outputs differ by more than a tenth of the largest.

    Before training, normalisation by running statistics does nothing, and each layer makes its input smaller: behind many layers
    only biases are left, and any two networks with the same biases would agree.
    """
    import torch

    if not inputs.is_floating_point():
        return inputs
    for power in range(0, 31, 3):
        scaled = inputs * 10.0**power
        with torch.no_grad():
            outputs = network(scaled)
        if not torch.isfinite(outputs).all():
            break
        if (outputs - outputs[:1]).abs().max() > 0.1 * outputs.abs().max():
            return scaled
    return inputs
