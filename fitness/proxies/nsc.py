"""Neural Spectral Capacity (Zhu, 2026, arXiv 2609.23087): log-determinants of random weight matrices, from their shapes alone.

    capacity(W) = n integral of log(1 + m s^2 t) over the Marchenko-Pastur law of ratio n / m
    W has n x m or m x n entries, n <= m, of mean 0 and variance s^2 = 2 / (fan in + fan out), as Xavier's initialisation draws them
    score = sum over the network's weight matrices of their capacities

The m s^2 t are eigenvalues of W W^T, so the capacity is the expected log det(1 + W W^T) for large n. The integral has a closed
form, the Shannon transform of the law (Tulino & Verdu, Random Matrix Theory and Wireless Communications, 2004).

The paper's abstract and its formula were available to us, its text and code were not. The abstract says that the scalar has a
closed form, adds up over layers and tells architectures with other heads apart. The matrices of a layer are our reading:

    convolution   (outputs, inputs * k^2), with the fans of a convolution, inputs * k^2 and outputs * k^2
    groups        each group of a convolution is a convolution of its own
    attention     each head has its own matrices: rows of queries, keys and values, columns of the projection after them
    other linear  (outputs, inputs)
"""

from __future__ import annotations

from functools import cache
from math import log1p, prod, sqrt
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rbflex_evo.fitness.passes.observer import CandidateFailed, Statistics

from .counts import operations
from .proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rbflex_evo.fitness.passes.graph import Operation
    from rbflex_evo.fitness.passes.subject import Subject


class Nsc(Proxy):
    """Sum over weight matrices of their expected log det(1 + W W^T) at initialisation; higher is better.

    Cost class: data-free; no weight is drawn and no image is read. Matrices are those on paths from input to output. A layer that
    runs twice counts twice. Pitfalls: the score is a size. It grows with each layer and each channel, so it cannot rank networks
    whose layers have equal shapes, and a constraint on size removes most of its information.
    """

    name = "nsc"
    description = "Neural Spectral Capacity: log-determinants of random weight matrices, from their shapes alone"
    needs = "network"
    cost = "data-free"

    def measure(self, subject: Subject) -> Statistics:
        """Returns ``capacity`` [], float64."""
        found = matrices(operations(subject))
        return {"capacity": np.array(sum(m.copies * capacity(m.rows, m.inputs, m.kernel) for m in found), float)}

    def score(self, statistics: Statistics) -> float:
        """Returns the capacity.

        Raises:
            CandidateFailed: If there is no path from input to output.
        """
        if not statistics["capacity"]:
            raise CandidateFailed("no path from input to output has a layer")
        return float(statistics["capacity"])


class Matrix(NamedTuple):
    """Weight matrices of one shape.

    Attributes:
        rows: Outputs.
        inputs: Inputs; a matrix has ``inputs * kernel`` columns.
        kernel: Number of positions of a convolution's kernel.
        copies: Number of such matrices.
    """

    rows: int
    inputs: int
    kernel: int = 1
    copies: int = 1


def matrices(operations: Sequence[Operation]) -> list[Matrix]:
    """Returns the weight matrices of each live layer of a network."""
    from rbflex_evo.fitness.passes.graph import INPUT, live_positions, nearest

    live = live_positions(operations)
    reads = nearest(operations)
    # Widths of the heads that read a layer.
    read_by = {source: operations[i].head_width for i in live if operations[i].head_width for source in reads[i]}
    found = []
    for position in live:
        operation = operations[position]
        if not operation.weighted:
            continue
        outputs, inputs, *kernel = operation.weight
        before = read_by.get(position, 0)
        after = max((operations[source].head_width for source in reads[position] if source != INPUT), default=0)
        if kernel:
            found.append(Matrix(outputs // operation.groups, inputs, prod(kernel), operation.groups))
        elif before and outputs % before == 0:
            found.append(Matrix(before, inputs, copies=outputs // before))
        elif after and inputs % after == 0:
            found.append(Matrix(outputs, after, copies=inputs // after))
        else:
            found.append(Matrix(outputs, inputs))
    return found


@cache
def capacity(rows: int, inputs: int, kernel: int = 1) -> float:
    """Returns the capacity of a matrix of `rows` by `inputs * kernel` entries with the variance of Xavier's initialisation."""
    n, m = sorted((rows, inputs * kernel))
    ratio, gain = n / m, 2 * m / (kernel * (rows + inputs))
    upper, lower = (sqrt(gain * (1 + sign * sqrt(ratio)) ** 2 + 1) for sign in (1, -1))
    quarter = (upper - lower) ** 2 / 4
    return n * log1p(gain - quarter) + m * log1p(gain * ratio - quarter) - m * quarter / gain
