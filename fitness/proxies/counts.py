"""Counts of a network: the naive baselines that every training-free score is compared with.

    params   parameters                                           flops    multiply-accumulates of one image
    depth    weighted layers on the longest path                   n_conv   convolutions of one kernel size

Parameters and FLOPs order NAS benchmarks better than most scores do (Ning et al., NeurIPS 2021, arXiv 2008.03064; Krishnakumar
et al., NAS-Bench-Suite-Zero, NeurIPS 2022, arXiv 2210.03230; the survey of Li et al., arXiv 2307.01998, section 4). All four
are counted on the scored network, which has no dead branches, so they differ from the benchmark's records of a raw cell. No
network is built if the space plans its forwards or computes its costs by arithmetic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from rbflex_evo.fitness.passes.observer import CandidateFailed, Statistics
from rbflex_evo.spaces import Costs, Parameters

from .proxy import Proxy

if TYPE_CHECKING:
    from rbflex_evo.fitness.passes.graph import Operation
    from rbflex_evo.fitness.passes.subject import Subject

# Square kernels with smaller sides are counted by side.
KERNEL_LIMIT = 32


class NumberOfParameters(Proxy):
    """Number of parameters; higher is better.

    Cost class: data-free. Pitfalls: it cannot rank networks of one size, and a constraint on the size removes most of its
    information. On NATS-Bench TSS it gives the same order as FLOPs except for the classifier.
    """

    name = "params"
    description = "number of parameters of the network that is scored"
    needs = "network"
    cost = "data-free"
    is_count = True

    def measure(self, subject: Subject) -> Statistics:
        """Returns ``params`` []."""
        return {"params": np.array(_costs(subject).params)}

    def score(self, statistics: Statistics) -> float:
        """Returns the number of parameters."""
        return float(statistics["params"])


class NumberOfFlops(Proxy):
    """Multiply-accumulates of one forward of one image, as the benchmark counts them; higher is better.

    Cost class: data-free. Pitfalls: as for the number of parameters. It depends on the size of the image, which is that of the
    data.
    """

    name = "flops"
    description = "multiply-accumulates of one image"
    needs = "network"
    cost = "data-free"
    is_count = True

    def measure(self, subject: Subject) -> Statistics:
        """Returns ``flops`` []."""
        return {"flops": np.array(_costs(subject).flops)}

    def score(self, statistics: Statistics) -> float:
        """Returns the number of multiply-accumulates."""
        return float(statistics["flops"])


class NetworkDepth(Proxy):
    """Convolutions and linear layers on the longest path from input to output; higher is better.

    Cost class: data-free. Pitfalls: there are few values, so many ties. A projection on a skip connection counts as a layer, but
    is rarely on the longest path. A network without a path fails.
    """

    name = "depth"
    description = "weighted layers on the longest path from input to output"
    needs = "network"
    cost = "data-free"
    is_count = True

    def measure(self, subject: Subject) -> Statistics:
        """Returns ``depth`` [], in layers."""
        from rbflex_evo.fitness.passes.graph import depth

        return {"depth": np.array(depth(operations(subject)))}

    def score(self, statistics: Statistics) -> float:
        """Returns the number of layers.

        Raises:
            CandidateFailed: If there is no path from input to output.
        """
        if not statistics["depth"]:
            raise CandidateFailed("no path from input to output has a layer")
        return float(statistics["depth"])


class NumberOfConvolutionsParameters(Parameters):
    """Parameters of the count.

    Attributes:
        kernel: Side of the square kernels that are counted; ``spatial`` for all that are larger than 1 x 1, ``all`` for all.
    """

    kernel: Annotated[int, Field(ge=1, lt=KERNEL_LIMIT)] | Literal["spatial", "all"] = 3


class NumberOfConvolutions(Proxy):
    """Number of 3 x 3 convolutions on paths from input to output (NASLib's baseline); higher is better.

    Cost class: data-free. Pitfalls: there are few values, so many ties. Convolutions of stem and reductions count, too. A network
    without a path has none.
    """

    name = "n_conv"
    description = "number of live 3 x 3 convolutions, or of another kernel"
    needs = "network"
    cost = "data-free"
    is_count = True
    Parameters = NumberOfConvolutionsParameters
    parameters: NumberOfConvolutionsParameters

    def measure(self, subject: Subject) -> Statistics:
        """Returns ``square`` [KERNEL_LIMIT], the counts by side, and ``spatial`` [], those larger than 1 x 1."""
        from rbflex_evo.fitness.passes.graph import live_operations

        counts = np.zeros(KERNEL_LIMIT, np.int64)
        spatial = 0
        for operation in live_operations(operations(subject)):
            sides = set(operation.kernel)
            spatial += bool(sides - {1})
            if len(sides) == 1 and max(sides) < KERNEL_LIMIT:
                counts[sides.pop()] += 1
        return {"square": counts, "spatial": np.array(spatial)}

    def score(self, statistics: Statistics) -> float:
        """Returns the number of convolutions of the chosen kernels."""
        kernel = self.parameters.kernel
        if kernel == "spatial":
            return float(statistics["spatial"])
        if kernel == "all":
            return float(statistics["spatial"] + statistics["square"][1])
        return float(statistics["square"][kernel])


def _costs(subject: Subject) -> Costs:
    # A network of others is built to count it, once for both scores.
    return subject.shared("costs", lambda: subject.space.costs(subject.genotype, tuple(subject.images.shape[1:])))


def operations(subject: Subject) -> list[Operation]:
    """Returns the operations of the candidate's network on one of its inputs; see `graph`."""
    from rbflex_evo.fitness.passes.graph import operations_of

    shape = tuple(subject.images.shape[1:])
    return subject.shared("operations", lambda: operations_of(subject.space, subject.genotype, shape))
