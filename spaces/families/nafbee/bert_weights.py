"""Weights of a BERT that somebody trained, from the state dictionary that the transformers library saves.

Read with torch's restricted unpickler: a file can hold tensors and plain containers, and runs nothing.
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

# Modules of our network and what that library calls them; {} is a layer's number.
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
# What the first checkpoints call a normalisation's vectors.
OLD_NAMES = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}


def read_weights(path: str, network: nn.Module, which: Literal["all", "published"]) -> dict[str, torch.Tensor]:
    """Returns the file's weights by the names of our network's parameters.

    A checkpoint from before fine-tuning has no classifier, which is then left out, to be drawn.

    Args:
        network: of the size that is wanted, on any device.
        which: ``all`` of them, or without the matrices of linear layers (``published``).

    Raises:
        ConfigError: if the file is none, lacks a weight, or has one of another shape.
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
    """Returns what the transformers library calls our parameter `name`."""
    module, _, kind = name.rpartition(".")
    number = re.search(r"\d+", module)
    pattern = module if number is None else module.replace(number[0], "{}", 1)
    return f"{NAMES[pattern].format(number[0] if number else '')}.{kind}"


def _also_called(name: str) -> list[str]:
    """Returns the name, without the prefix that a network without a head lacks, and both as the first checkpoints have them."""
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
        raise ConfigError(f"{path!r} is no state dictionary that torch.load reads safely: {reason(error)}") from None
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise ConfigError(f"{path!r} is no state dictionary; expected tensors by name")
    return found
