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
from rbflex_evo.spaces.isolation.memory import marked_memory
from rbflex_evo.spaces.isolation.random_state import own_random_state
from rbflex_evo.spaces.isolation.settings import own_settings

from .byte_cache import ByteCache

if TYPE_CHECKING:
    import torch
    from torch import nn

    from rbflex_evo.spaces.architecture.lean import LeanNetwork

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


# Names of the matrix whose fan-in scales the bias of the same layer: its own, or that of a normalised or parametrized weight.
MATRICES = ("weight", "parametrizations.weight.original", "parametrizations.weight.original1", "weight_orig", "weight_v")
# Power iterations of spectral normalisation for a new matrix, as in torch.
POWER_ITERATIONS = 15

# The most recent raw draws of this process: values of a pure function, so that dropping one costs only time.
_draws: ByteCache[np.ndarray] = ByteCache(128 * 2**20)


# The most recent parameters of lean networks, which candidates share.
_parameters: ByteCache[nn.Parameter] = ByteCache(128 * 2**20)


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
            matrix = next((shapes[there] for form in MATRICES if (there := f"{module}.{form}" if module else form) in shapes), ())
            looked_up = weights.distribution != "normal" and name in embeddings
            how = weights.model_copy(update={"distribution": "standard_normal"}) if looked_up else weights
            values = parameter_values(name, shapes[name], how, largest, matrix)
            if values is not None:
                tensor.copy_(torch.from_numpy(values))
        for embedding in embeddings.values():
            if embedding.padding_idx is not None:
                embedding.weight[embedding.padding_idx] = 0
        _settle(network)


def _settle(network: nn.Module) -> None:
    """Makes weights that are computed from parameters, as by spectral or weight normalisation, those of the drawn matrices.

    Lengths of weight normalisation become those of the matrix, so that it is the weight. Power iterations of spectral normalisation
    start again from the matrix, as many as torch makes for a new layer.
    """
    import torch
    from torch.nn.utils.parametrize import ParametrizationList
    from torch.nn.utils.spectral_norm import SpectralNorm
    from torch.nn.utils.weight_norm import WeightNorm

    for module in network.modules():
        if isinstance(module, ParametrizationList):
            modes = {part: part.training for part in module.modules()}
            last = getattr(module, f"original{module.ntensors - 1}", None)
            # Weight normalisation has a length and a matrix of the weight's shape.
            if last is not None and last.shape == module().shape and all(hasattr(part, "right_inverse") for part in module):
                module.right_inverse(last.clone())
            if next(module.buffers(), None) is not None:
                module.train()
                for _ in range(POWER_ITERATIONS):
                    module()
            for part, training in modes.items():
                part.training = training
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, WeightNorm):
                matrix = getattr(module, f"{hook.name}_v")
                getattr(module, f"{hook.name}_g").copy_(torch.norm_except_dim(matrix, 2, hook.dim))
            elif isinstance(hook, SpectralNorm):
                for _ in range(POWER_ITERATIONS):
                    hook.compute_weight(module, do_power_iteration=True)


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
    """Builds the genotype's network with its weights on the CPU, in float32; no global random state is read or changed.

    Torch's initialisation of matrices is postponed until the constructor reads them, and omitted if it does not, because they are
    set afterwards. All other draws of a constructor come from generators that are seeded here and restored afterwards. Memory that
    a constructor never initialises holds NaN, so that it cannot influence a score unnoticed.
    """
    from rbflex_evo.spaces.isolation.postponed import Postponing

    with own_settings(), own_random_state(weights.seed):
        with marked_memory(), Postponing() as postponing:
            network = space.build(genotype)
        postponing.finish(network)
        initialise(network, weights, space.weight_shapes())
        known = space.known_weights()
        if known:
            network.load_state_dict(dict(known), strict=False)
    return network


def build_lean(
    space: SearchSpace,
    genotype: Genotype,
    weights: WeightParameters,
    device: torch.device,
    dtype: torch.dtype,
    absolute: bool = False,
) -> LeanNetwork | None:
    """Returns the genotype's lean network with the weights of `build_initialised`, or None if it has no lean form.

    Its parameters are shared with other candidates, so nothing may change them.

    Args:
        space: Space of the genotype.
        genotype: Genotype of the network.
        weights: Seed and distribution.
        device: Device of the parameters.
        dtype: Precision of the parameters.
        absolute: Whether each parameter is its absolute value.
    """
    import torch
    from torch import nn

    if space.known_weights():
        return None
    network = space.lean(genotype)
    if network is not None:
        largest = space.weight_shapes()
        for name, shape in network.shapes.items():
            # The matrix of the same layer, which scales a bias.
            matrix = network.shapes.get(f"{name.rpartition('.')[0]}.weight", ())
            key = (weights.seed, weights.distribution, name, shape, matrix, largest.get(name), device, dtype, absolute)
            parameter = _parameters.get(key)
            if parameter is None:
                values = parameter_values(name, shape, weights, largest, matrix)
                if values is None:
                    values = np.full(tuple(shape), float(name.endswith("weight")), np.float32)
                values = np.abs(values) if absolute else values
                parameter = nn.Parameter(torch.from_numpy(np.array(values)).to(device, dtype))
                _parameters.keep(key, parameter, parameter.nbytes)
            network.place(name, parameter)
    return network
