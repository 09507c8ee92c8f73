"""Untrained weights as a pure function of the seed and the parameter's name.

Every parameter is drawn by a counter-based generator (Philox) with a hash of the seed and its name as the key. It is drawn at the
largest shape of that name in the space, sliced to the network's shape and scaled by fan-in. A score therefore does not depend on
the order, the batch, the process or the machine, and candidates share random numbers, which makes their comparison less noisy.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from rbflex_evo.spaces import Genotype, Parameters, SearchSpace

from .byte_cache import ByteCache

if TYPE_CHECKING:
    from torch import nn

Distribution = Literal[
    "pytorch", "kaiming_normal", "kaiming_uniform", "xavier_normal", "xavier_uniform", "normal", "standard_normal"
]


class WeightParameters(Parameters):
    """How weights are drawn: ``pytorch`` is PyTorch's default, ``normal`` is N(0, 0.02^2), ``standard_normal`` N(0, 1).

    Attributes:
        seed: Seed of the weights.
        distribution: Distribution that weights are drawn from.
    """

    seed: int = Field(default=0, ge=0)
    distribution: Distribution = "pytorch"


# The most recent raw draws of this process: values of a pure function, so that dropping one costs only time.
_draws: ByteCache[np.ndarray] = ByteCache(128 * 2**20)


def _drawn(seed: int, name: str, shape: tuple[int, ...], normal: bool) -> np.ndarray:
    """Returns `draw` of the same arguments, from the cache if it is there."""
    key = (seed, name, shape, normal)
    values = _draws.get(key)
    if values is None:
        values = draw(seed, name, shape, normal)
        _draws.keep(key, values, values.nbytes)
    return values


def _generator(seed: int, name: str) -> np.random.Generator:
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))


def draw(seed: int, name: str, shape: Sequence[int], normal: bool) -> np.ndarray:
    """Returns float32 values of `shape`, N(0, 1) or uniform in [-1, 1), a pure function of (seed, name)."""
    rng = _generator(seed, name)
    if normal:
        return rng.standard_normal(shape, dtype=np.float32)
    values = rng.random(shape, dtype=np.float32)
    values *= 2
    values -= 1
    return values


def draw_signs(seed: int, name: str, shape: Sequence[int]) -> np.ndarray:
    """Returns float32 values of `shape`, -1 or +1 with equal probability (Rademacher), a pure function of (seed, name)."""
    count = math.prod(shape)
    bits = np.unpackbits(np.frombuffer(_generator(seed, name).bytes((count + 7) // 8), np.uint8), count=count)
    return (2 * bits.astype(np.float32) - 1).reshape(tuple(shape))


def draw_words(seed: int, name: str, shape: Sequence[int], vocabulary: int) -> np.ndarray:
    """Returns int64 word ids of `shape`, uniform in 1 .. vocabulary - 1 (0 is padding), a pure function of (seed, name)."""
    return _generator(seed, f"words/{name}").integers(1, vocabulary, tuple(shape))


def initialise(network: nn.Module, weights: WeightParameters, largest: Mapping[str, Sequence[int]] | None = None) -> None:
    """Sets every weight and bias of `network` in place; vectors of normalisation layers are unchanged.

    An embedding is not scaled by a fan, since it sums nothing: it is N(0, 1) as in PyTorch, or N(0, 0.02^2) if the distribution is
    ``normal``, and its row for padding is zero.

    Args:
        network: Any module; its parameters' names select the draws.
        weights: Seed and distribution.
        largest: Shapes by name at which parameters are drawn, if they are larger than the network's.
    """
    import torch
    from torch import nn

    embeddings = {f"{name}.weight": m for name, m in network.named_modules() if isinstance(m, nn.Embedding)}
    parameters = dict(network.named_parameters())
    shapes = {name: tuple(tensor.shape) for name, tensor in parameters.items()}
    with torch.no_grad():
        for name, tensor in parameters.items():
            module = name.rpartition(".")[0]
            matrix = shapes.get(f"{module}.weight" if module else "weight", ())
            looked_up = weights.distribution != "normal" and name in embeddings
            how = weights.model_copy(update={"distribution": "standard_normal"}) if looked_up else weights
            values = parameter_values(name, shapes[name], how, largest, matrix)
            if values is not None:
                tensor.copy_(torch.from_numpy(values))
        for embedding in embeddings.values():
            if embedding.padding_idx is not None:
                embedding.weight[embedding.padding_idx] = 0


def parameter_values(
    name: str,
    shape: Sequence[int],
    weights: WeightParameters,
    largest: Mapping[str, Sequence[int]] | None = None,
    matrix: Sequence[int] = (),
) -> np.ndarray | None:
    """Returns the float32 values of one parameter, or None for a vector of a normalisation layer.

    Args:
        name: Name of the parameter in its network.
        shape: Shape of the parameter.
        weights: Seed and distribution.
        largest: Shapes by name at which parameters are drawn, if they are larger than `shape`.
        matrix: Shape of the weight of the same layer, which scales a bias; empty if there is none.
    """
    if len(shape) > 1:
        scale, normal = _scale(weights.distribution, *_fans(shape))
    elif len(matrix) > 1:  # The bias of a layer with a matrix of weights.
        if weights.distribution != "pytorch":
            return np.zeros(tuple(shape), np.float32)
        scale, normal = 1 / math.sqrt(_fans(matrix)[0]), False
    else:  # A vector without a matrix belongs to a normalisation or a PReLU.
        return None
    values = _drawn(weights.seed, name, tuple((largest or {}).get(name, shape)), normal)
    return values[tuple(slice(size) for size in shape)] * np.float32(scale)


def _fans(shape: Sequence[int]) -> tuple[int, int]:
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def _scale(distribution: Distribution, fan_in: int, fan_out: int) -> tuple[float, bool]:
    """Returns the factor of a raw draw, and whether the draw is normal rather than uniform."""
    return {
        # kaiming_uniform with a = sqrt(5), as in torch.nn.Conv2d and torch.nn.Linear: a bound of 1 / sqrt(fan_in).
        "pytorch": (1 / math.sqrt(fan_in), False),
        "kaiming_uniform": (math.sqrt(6 / fan_in), False),
        "kaiming_normal": (math.sqrt(2 / fan_in), True),
        "xavier_uniform": (math.sqrt(6 / (fan_in + fan_out)), False),
        "xavier_normal": (math.sqrt(2 / (fan_in + fan_out)), True),
        "normal": (0.02, True),
        "standard_normal": (1.0, True),
    }[distribution]


def build_initialised(space: SearchSpace, genotype: Genotype, weights: WeightParameters) -> nn.Module:
    """Builds the genotype's network with its weights on the CPU; no global random state is read or changed.

    Torch's initialisation of matrices is skipped, since they are set afterwards. Other draws of a module's constructor come from a
    generator that is seeded here and restored afterwards.
    """
    import torch
    from torch.nn import Parameter, init
    from torch.overrides import TorchFunctionMode

    draws = {
        torch.Tensor.uniform_, torch.Tensor.normal_, init.uniform_, init.normal_, init.trunc_normal_, init.orthogonal_,
        init.kaiming_uniform_, init.kaiming_normal_, init.xavier_uniform_, init.xavier_normal_,
    }  # fmt: skip

    class WithoutDrawing(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            if func in draws:
                tensor = args[0] if args else kwargs["tensor"]
                if isinstance(tensor, Parameter) and tensor.dim() > 1:
                    return tensor
            return func(*args, **(kwargs or {}))

    with torch.random.fork_rng(devices=[]), WithoutDrawing():
        torch.manual_seed(weights.seed)
        network = space.build(genotype)
    initialise(network, weights, space.weight_shapes())
    known = space.known_weights()
    if known:
        network.load_state_dict(dict(known), strict=False)
    return network
