"""Counts of a network's layers that a table of scores should show beside them: widths, weighted depths, ratios of MLPs.

    log_channels   sum over layers of log(output channels)
    depth_width    depth times the mean number of output channels
    early_depth    most of sum log(positions) / log(positions of the input) on a path from input to output
    late_depth     most of sum 1 - log(positions) / log(positions of the input) on such a path
    mlp_ratio      sum over Transformer blocks of hidden width / embedding width

Layers are convolutions and linear layers on paths from input to output, the classifier included. Positions are the pixels that a
layer reads, or its rows for words and patches. A layer that reads the input's resolution counts 1 for early depth and 0 for late
depth, and the classifier of a pooled vector the reverse. The definitions of the weighted depths are this project's own, without a
number that could be fitted. We had seen that early depth correlates with the accuracies of NAS-Bench-Macro.

Such counts beat published scores on several benchmarks: depth times width on FlexiBERT, MLP ratios on AutoFormer (Chen et al., ICCV
2021), early-weighted depth on NAS-Bench-Macro. `n_conv` counts convolutions by the size of their kernels.
"""

from __future__ import annotations

from abc import abstractmethod
from math import log, prod
from typing import TYPE_CHECKING

import numpy as np

from rbflex_evo.fitness.passes.observer import CandidateFailed, Statistics
from rbflex_evo.spaces import ConfigError, SearchSpace

from .counts import operations
from .proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rbflex_evo.fitness.passes.graph import Operation
    from rbflex_evo.fitness.passes.subject import Subject

NO_PATH = "no path from input to output has a layer"


class _LayerCount(Proxy):
    needs = "network"
    cost = "data-free"
    is_count = True

    def measure(self, subject: Subject) -> Statistics:
        """Returns ``count`` [], float64.

        Raises:
            CandidateFailed: If there is no path from input to output.
        """
        from rbflex_evo.fitness.passes.graph import depth

        found = operations(subject)
        if not depth(found):
            raise CandidateFailed(NO_PATH)
        return {"count": np.array(self.count(found, subject), float)}

    @abstractmethod
    def count(self, operations: Sequence[Operation], subject: Subject) -> float:
        """Returns the count of a network that has a path from input to output."""

    def score(self, statistics: Statistics) -> float:
        """Returns the count."""
        return float(statistics["count"])


class LogChannels(_LayerCount):
    """Sum of the logarithms of the layers' output channels; higher is better.

    Cost class: data-free. Pitfalls: it sees neither kernels nor resolution, and a depthwise convolution counts as another one.
    """

    name = "log_channels"
    description = "sum of the logarithms of the layers' output channels"

    def count(self, operations: Sequence[Operation], subject: Subject) -> float:
        """Returns the sum."""
        return sum(log(outputs) for outputs in _outputs(operations))


class DepthWidth(_LayerCount):
    """Depth times the mean number of output channels of the layers; higher is better.

    Cost class: data-free. Pitfalls: layers beside the longest path count for the width but not for the depth.
    """

    name = "depth_width"
    description = "weighted layers on the longest path times the layers' mean output channels"

    def count(self, operations: Sequence[Operation], subject: Subject) -> float:
        """Returns the product."""
        from rbflex_evo.fitness.passes.graph import depth

        return depth(operations) * float(np.mean(_outputs(operations)))


class EarlyDepth(_LayerCount):
    """Depth in which layers of high resolution count more; higher is better.

    Cost class: data-free. Pitfalls: if all layers have the resolution of the input, as in a Transformer of words, it is the depth.
    """

    name = "early_depth"
    description = "depth weighted from the input: layers of high resolution count more"

    def count(self, operations: Sequence[Operation], subject: Subject) -> float:
        """Returns the largest sum of weights on a path."""
        from rbflex_evo.fitness.passes.graph import longest_path

        whole = _log_positions(subject)
        return longest_path(operations, lambda layer: log(layer.positions) / whole)


class LateDepth(_LayerCount):
    """Depth in which layers of low resolution count more; higher is better.

    Cost class: data-free. Pitfalls: networks of words tie, because only their last layers have less than the input's resolution.
    """

    name = "late_depth"
    description = "depth weighted from the output: layers of low resolution count more"

    def count(self, operations: Sequence[Operation], subject: Subject) -> float:
        """Returns the largest sum of weights on a path."""
        from rbflex_evo.fitness.passes.graph import longest_path

        whole = _log_positions(subject)
        return longest_path(operations, lambda layer: 1 - log(layer.positions) / whole)


class MlpRatio(_LayerCount):
    """Sum over Transformer blocks of the width of the MLP's hidden layer relative to the embedding; higher is better.

    An MLP is a chain of linear layers, each of which reads nothing but the one before, that ends in the width that it begins with.
    Cost class: data-free. Pitfalls: there are few values, so many ties. Gated MLPs, in which two layers are multiplied, are not
    recognised.
    """

    name = "mlp_ratio"
    description = "sum over Transformer blocks of the MLP's hidden width relative to the embedding"

    def check(self, space: SearchSpace) -> None:
        """Refuses a space without Transformer blocks, judged by one random network.

        Raises:
            ConfigError: If the network has no attention or no MLP.
        """
        from rbflex_evo.fitness.passes.graph import traced

        genotype = space.representative(space.key(space.encoding.sample(np.random.default_rng(0))))
        planned = space.plan(genotype, space.input_shape) is not None
        if planned or not mlp_ratios(traced(space, genotype, space.input_shape)):
            raise ConfigError(
                f"{self.name} adds up the MLPs of Transformer blocks, and a network of {space.name} has none; leave {self.name} out"
            )

    def count(self, operations: Sequence[Operation], subject: Subject) -> float:
        """Returns the sum.

        Raises:
            CandidateFailed: If the network has no Transformer block.
        """
        ratios = mlp_ratios(operations)
        if not ratios:
            raise CandidateFailed("the network has no Transformer block: no attention, or no MLP after it")
        return sum(ratios)


def mlp_ratios(operations: Sequence[Operation]) -> list[float]:
    """Returns hidden width / embedding width of the MLPs of a network with attention, in order; none without attention."""
    from rbflex_evo.fitness.passes.graph import live_positions, nearest

    live = live_positions(operations)
    if not any(operations[position].head_width for position in live):
        return []
    reads = nearest(operations)
    found = []
    used: set[int] = set()
    for position in live:
        last = operations[position]
        first = _first_of_mlp(position, operations, reads) if _is_linear(last) else None
        if first is not None and first not in used:
            used |= {first, position}
            found.append(last.weight[1] / last.weight[0])
    return found


def _first_of_mlp(last: int, operations: Sequence[Operation], reads: Sequence[frozenset[int]]) -> int | None:
    """Returns the position of the first layer of the MLP that ends in the linear layer `last`, None if it ends none."""
    layer = last
    while len(reads[layer]) == 1:
        (layer,) = reads[layer]
        if layer < 0 or not _is_linear(operations[layer]):
            return None
        if operations[layer].weight[1] == operations[last].weight[0]:
            return layer
    return None


def _is_linear(operation: Operation) -> bool:
    return len(operation.weight) == 2


def _outputs(operations: Sequence[Operation]) -> list[int]:
    """Returns the output channels of the live layers."""
    from rbflex_evo.fitness.passes.graph import live_operations

    return [operation.weight[0] for operation in live_operations(operations) if operation.weighted]


def _log_positions(subject: Subject) -> float:
    """Returns the logarithm of the number of positions of one input: pixels of an image, or words."""
    shape = subject.images.shape
    return log(max(prod(shape[2:]) if subject.space.inputs == "images" else shape[1], 2))
