"""Pretrained weights of BERT, read from a state dictionary of the transformers library.

The file is read with torch's restricted unpickler, which admits tensors and plain containers and runs no code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rbflex_evo.spaces.errors import ConfigError, reason

if TYPE_CHECKING:
    import torch
    from torch import nn

# Names of our modules and of those of the transformers library; {} is the number of a layer.
NAMES = {
    "embeddings.words": "bert.embeddings.word_embeddings",
    "embeddings.positions": "bert.embeddings.position_embeddings",
    "embeddings.segments": "bert.embeddings.token_type_embeddings",
    "embeddings.norm": "bert.embeddings.LayerNorm",
    "layers.{}.attention.query": "bert.encoder.layer.{}.attention.self.query",
    "layers.{}.attention.key": "bert.encoder.layer.{}.attention.self.key",
    "layers.{}.attention.value": "bert.encoder.layer.{}.attention.self.value",
    "layers.{}.attention.output": "bert.encoder.layer.{}.attention.output.dense",
    "layers.{}.attention_norm": "bert.encoder.layer.{}.attention.output.LayerNorm",
    "layers.{}.widen": "bert.encoder.layer.{}.intermediate.dense",
    "layers.{}.narrow": "bert.encoder.layer.{}.output.dense",
    "layers.{}.output_norm": "bert.encoder.layer.{}.output.LayerNorm",
    "pooler.linear": "bert.pooler.dense",
    "classifier": "classifier",
}
# Names of the vectors of a normalisation in early checkpoints.
OLD_NAMES = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}


def read_weights(path: str, network: nn.Module, which: Literal["all", "published"]) -> dict[str, torch.Tensor]:
    """Returns the weights of a file by the parameter names of our network.

    A checkpoint from before fine-tuning has no classifier, whose weights are then omitted and so drawn.

    Args:
        path: Path of the file.
        network: A network of the expected size, on any device.
        which: ``all`` weights, or without the matrices of linear layers (``published``).

    Raises:
        ConfigError: If the file is not a state dictionary, a weight is missing, or its shape differs.
    """
    from torch import nn

    found = _read(path)
    modules = dict(network.named_modules())
    weights: dict[str, torch.Tensor] = {}
    for name, parameter in network.named_parameters():
        module, _, kind = name.rpartition(".")
        if which == "published" and kind == "weight" and isinstance(modules[module], nn.Linear):
            continue
        theirs = official_name(name)
        tensor = next((found[known] for known in _also_called(theirs) if known in found), None)
        if tensor is None and module == "classifier":
            continue
        if tensor is None:
            raise ConfigError(f"{path!r} has no {theirs!r}; space.weights takes the state dictionary of transformers' BERT")
        if tuple(tensor.shape) != tuple(parameter.shape):
            raise ConfigError(
                f"{theirs!r} of {path!r} has shape {list(tensor.shape)}, but the space's is {list(parameter.shape)}; "
                "set the space's size to the file's"
            )
        weights[name] = tensor
    return weights


def official_name(name: str) -> str:
    """Returns the name of our parameter `name` in the transformers library."""
    module, _, kind = name.rpartition(".")
    number = re.search(r"\d+", module)
    pattern = module if number is None else module.replace(number[0], "{}", 1)
    return f"{NAMES[pattern].format(number[0] if number else '')}.{kind}"


def _also_called(name: str) -> list[str]:
    """Returns the name, the name without the prefix that networks without a head lack, and both as in early checkpoints."""
    names = [name, name.removeprefix("bert.")]
    for new, old in OLD_NAMES.items():
        names += [known.replace(new, old) for known in names if new in known]
    return names


def _read(path: str) -> Mapping[str, Any]:
    import torch

    if not Path(path).is_file():
        raise ConfigError(f"no file {path!r}; space.weights names the state dictionary of transformers' BERT")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ConfigError(f"{path!r} is not a state dictionary that torch.load reads safely: {reason(error)}") from None
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise ConfigError(f"{path!r} is not a state dictionary; expected tensors by name")
    return found
