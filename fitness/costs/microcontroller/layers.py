"""The layers of a network as a microcontroller runs them, with the sizes of their outputs and weights.

Only operations that depend on the input and that the result depends on are layers. Normalisations, activations and sums with a
constant belong to the layer before them if nothing else reads its output; a folded normalisation leaves one bias for each channel.
One that cannot be folded keeps a scale and a shift for each channel, which are stored as weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from rbflex_evo.fitness.passes.graph import INPUT
from rbflex_evo.fitness.passes.recorded import Recorded, recorded
from rbflex_evo.spaces import Genotype, SearchSpace

from .order import Layer

NORMS = {"native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm", "batch_norm"}
# Operations that replace every element by a function of itself.
ELEMENTWISE = {
    *("relu", "hardtanh", "gelu", "silu", "hardswish", "sigmoid", "hardsigmoid", "tanh", "elu", "leaky_relu", "clamp"),
    *("add", "sub", "mul", "div", "neg", "pow"),
}
FOLDING = {"convolution", "addmm", "mm", "linear"}


@dataclass(frozen=True)
class Weights:
    """Sizes of the weights of a network after folding.

    Attributes:
        values: Number of weights, which are stored in the precision of the network.
        biases: Number of biases of convolutions and linear layers, which int8 networks store in 32 bits.
    """

    values: int
    biases: int


@dataclass(frozen=True)
class Deployed:
    """A network as a microcontroller runs it.

    Attributes:
        layers: Layers with the number of elements of their outputs; the last one gives the result.
        input_size: Number of elements of the network's input.
        weights: Sizes of its weights.
    """

    layers: tuple[Layer, ...]
    input_size: int
    weights: Weights


def deployed(space: SearchSpace, genotype: Genotype) -> Deployed:
    """Returns the network of a genotype as a microcontroller runs it, for one input.

    Raises:
        CandidateFailed: If the network cannot be built, or its forward draws random numbers.
    """
    operations, result = recorded(space, genotype)
    needed = _needed(operations, result)
    readers = dict.fromkeys((INPUT, *needed), 0)
    for position in needed:
        for source in _inner(operations, position):
            readers[source] += 1
    # The layer that each operation belongs to.
    places: dict[int, int] = {INPUT: INPUT}
    layers: list[Layer] = []
    normalised: set[int] = set()
    roots: dict[int, int] = {}
    for position in needed:
        operation = operations[position]
        sources = _inner(operations, position)
        host = places[sources[0]] if len(sources) == 1 else INPUT
        if host != INPUT and readers[sources[0]] == 1 and sources[0] != result and _foldable(operation):
            places[position] = host
            if operation.name in NORMS and operations[roots[host]].name in FOLDING:
                normalised |= {position, roots[host]}
        else:
            places[position] = len(layers)
            roots[len(layers)] = position
            layers.append(Layer(frozenset(places[source] for source in sources), prod(operation.output)))
    return Deployed(tuple(layers), prod(space.example_inputs(1).shape), _weights(operations, needed, normalised))


def _inner(operations: Sequence[Recorded], position: int) -> list[int]:
    """Returns the sources of an operation that depend on the network's input."""
    return [source for source in operations[position].sources if source == INPUT or operations[source].reached]


def _needed(operations: Sequence[Recorded], result: int) -> list[int]:
    """Returns the positions of the operations between input and result."""
    found: set[int] = set()
    waiting = [result]
    while waiting:
        position = waiting.pop()
        if position != INPUT and position not in found and operations[position].reached:
            found.add(position)
            waiting += _inner(operations, position)
    return sorted(found)


def _foldable(operation: Recorded) -> bool:
    same = any(shape == operation.output for shape in operation.inputs)
    return same and (operation.name in NORMS or operation.name.rstrip("_") in ELEMENTWISE)


def _weights(operations: Sequence[Recorded], needed: Sequence[int], normalised: set[int]) -> Weights:
    values: dict[int, int] = {}
    biases: dict[int, int] = {}
    for position in needed:
        operation = operations[position]
        folding = operation.name in FOLDING
        if operation.name in NORMS:
            # Running statistics and affine parameters become one scale and one shift for each channel.
            if position not in normalised:
                values[-position - 1] = 2 * operation.weights[0][0]
            continue
        for shape, identity in zip(operation.weights, operation.shared, strict=True):
            (biases if folding and len(shape) == 1 else values)[identity] = prod(shape)
        if position in normalised:
            outputs = operation.weights[0][0] if operation.name == "convolution" else operation.output[-1]
            biased = [identity for shape, identity in zip(operation.weights, operation.shared, strict=True) if len(shape) == 1]
            biases[biased[0] if biased else -position - 1] = outputs
    return Weights(sum(values.values()), sum(biases.values()))
