"""A network as the list of kernels that a runtime launches for it (nn-Meter, Zhang et al., MobiSys 2021).

The network runs once on one input, and every operation is a kernel of its shape. ONNX Runtime merges some of them:

    eager   every operation of torch is a kernel of its own
    onnx    a normalisation after a convolution is folded into it, and an activation belongs to the convolution, linear layer or
            sum before it
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from rbflex_evo.spaces import Genotype, SearchSpace

if TYPE_CHECKING:
    from rbflex_evo.fitness.passes.recorded import Recorded

Runtime = Literal["eager", "onnx"]

# Activations that ONNX Runtime merges into the kernel before them, and others.
MERGED = {"relu", "relu_", "hardtanh", "hardtanh_", "sigmoid", "tanh"}
ACTIVATIONS = MERGED | {"gelu", "silu", "silu_", "hardswish", "hardswish_"}
NORMS = {"native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm", "batch_norm"}
MATRICES = {"mm", "addmm", "bmm", "baddbmm", "matmul", "linear"}
SUMS = {"add", "add_"}
# Kinds that an activation is merged into.
HOSTS = ("conv", "depthwise", "grouped", "linear", "sum")


class Kernel(NamedTuple):
    """A kernel of a network.

    Attributes:
        kind: What it computes, with the side of a convolution's kernel: "conv3", "depthwise5", "linear", "activation", "sum", ...
        shape: All sizes that it depends on.
        flops: Multiply-accumulates.
        weights: Number of weights that it reads.
        traffic: Number of elements that it reads and writes, without the weights.
    """

    kind: str
    shape: tuple[int, ...]
    flops: float
    weights: float
    traffic: float

    @property
    def label(self) -> str:
        """Name of its entry in a table of kernels."""
        return f"{self.kind} {'x'.join(map(str, self.shape))}"


def cut(space: SearchSpace, genotype: Genotype, runtime: Runtime) -> list[Kernel]:
    """Returns the kernels of the network of a genotype, on one input, in order.

    Args:
        space: Search space of the genotype.
        genotype: Architecture.
        runtime: What runs the network.

    Raises:
        CandidateFailed: If the network cannot be built, or its forward draws random numbers.
    """
    from rbflex_evo.fitness.passes.recorded import recorded

    kernels: list[Kernel] = []
    # The kernel that each operation belongs to.
    places: list[int] = []
    for operation in recorded(space, genotype)[0]:
        host = places[operation.sources[0]] if operation.sources and operation.sources[0] >= 0 else None
        if runtime == "onnx" and host is not None and merges(operation.name, kernels[host].kind):
            places.append(host)
        else:
            places.append(len(kernels))
            kernels.append(described(operation))
    return kernels


def described(operation: Recorded) -> Kernel:
    """Returns an operation as a kernel of its own."""
    name, output = operation.name, operation.output
    weights = float(sum(map(prod, operation.weights)))
    traffic = float(sum(map(prod, operation.inputs)) + prod(output))
    if name == "convolution":
        outputs, inputs, *sides = operation.weights[0]
        kind = "conv" if operation.groups == 1 else "depthwise" if inputs == 1 and operation.groups == outputs else "grouped"
        shape = (inputs * operation.groups, outputs, *sides, *operation.stride, operation.groups, *output[2:])
        flops = float(prod(operation.weights[0]) * prod(output[2:]))
        return Kernel(f"{kind}{'x'.join(map(str, dict.fromkeys(sides)))}", shape, flops, weights, traffic)
    if name in MATRICES:
        left = operation.inputs[-1] if operation.weights else operation.inputs[-2]
        inner = left[-1]
        kind = "linear" if operation.weights else "matmul"
        return Kernel(kind, (*left, output[-1]), float(prod(output) * inner), weights, traffic)
    if "scaled_dot_product" in name:
        _, heads, words, width = operation.inputs[0]
        return Kernel("attention", (heads, words, width), 2.0 * heads * words * words * width, 0.0, traffic)
    kind = "activation" if name in ACTIVATIONS else "norm" if name in NORMS else "sum" if name in SUMS else name.strip("_")
    return Kernel(kind, output[1:], 0.0, weights, traffic)


def merges(name: str, host: str) -> bool:
    """Returns whether ONNX Runtime merges an operation into the kernel whose result it reads.

    Args:
        name: Name of the operation in torch.
        host: Kind of that kernel.
    """
    if name in NORMS:
        return host.startswith(("conv", "depthwise", "grouped"))
    return name in MERGED and host.startswith(HOSTS)


# Elements beyond which the traffic of a kernel counts again: larger tensors leave the caches, and are allocated and cleared anew.
LARGE = (2**20, 2**21, 2**22)
# Numbers that `Summary.of` gives for each kind.
PARTS = 4 + len(LARGE)


@dataclass(frozen=True)
class Summary:
    """The kernels of one network, summed up.

    Attributes:
        labels: Number of kernels of each label.
        sizes: Number, multiply-accumulates, weights and traffic of the kernels of each kind, then traffic beyond each of `LARGE`.
    """

    labels: Mapping[str, int]
    sizes: Mapping[str, tuple[float, ...]]

    def of(self, kinds: Sequence[str]) -> np.ndarray:
        """Returns the sizes of kinds, float64 [PARTS * kinds]; other kinds are passed over."""
        return np.array([self.sizes.get(kind, (0.0,) * PARTS) for kind in kinds]).reshape(-1)


def summary_of(kernels: Sequence[Kernel]) -> Summary:
    """Returns the labels and sizes of kernels."""
    sizes: dict[str, tuple[float, ...]] = {}
    for kernel in kernels:
        beyond = (max(0.0, kernel.traffic - size) for size in LARGE)
        added = (1.0, kernel.flops, kernel.weights, kernel.traffic, *beyond)
        sizes[kernel.kind] = tuple(map(sum, zip(sizes.get(kernel.kind, (0.0,) * PARTS), added, strict=True)))
    return Summary(Counter(sys.intern(kernel.label) for kernel in kernels), sizes)


class Cutter:
    """Kernels of networks by genotype, each network cut once.

    Args:
        space: Search space of the genotypes.
        runtime: What runs the networks.
    """

    def __init__(self, space: SearchSpace, runtime: Runtime) -> None:
        self.space = space
        self.runtime = runtime
        self._known: dict[Genotype, Summary] = {}

    def __call__(self, genotype: Genotype) -> Summary:
        """Returns the kernels of the network of a genotype, summed up."""
        if genotype not in self._known:
            self._known[genotype] = summary_of(cut(self.space, genotype, self.runtime))
        return self._known[genotype]

    def kinds(self, genotypes: Iterable[Genotype]) -> list[str]:
        """Returns the kinds of kernels of networks, sorted."""
        return sorted({kind for genotype in genotypes for kind in self(genotype).sizes})
