"""A network as the list of kernels that a runtime launches for it (nn-Meter, Zhang et al., MobiSys 2021).

The network runs once on one input, and every operation is a kernel of its shape. ONNX Runtime merges some of them:

    eager   every operation of torch is a kernel of its own
    onnx    a normalisation after a convolution is folded into it, and an activation belongs to the convolution, linear layer or
            sum before it
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any, Literal, NamedTuple

import numpy as np

from rbflex_evo.spaces import Genotype, SearchSpace
from rbflex_evo.spaces.isolation.random_state import own_random_state
from rbflex_evo.spaces.isolation.settings import own_settings

Runtime = Literal["eager", "onnx"]

# Activations that ONNX Runtime merges into the kernel before them, and others.
MERGED = {"relu", "relu_", "hardtanh", "hardtanh_", "sigmoid", "tanh"}
ACTIVATIONS = MERGED | {"gelu", "silu", "silu_", "hardswish", "hardswish_"}
NORMS = {"native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm", "batch_norm"}
# Memory that is taken without being written.
UNWRITTEN = {"empty", "empty_like", "new_empty"}
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
    import torch
    from torch.overrides import TorchFunctionMode
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    from rbflex_evo.fitness.passes.graph import memory
    from rbflex_evo.fitness.passes.watch import Rewired, evaluation_mode, serving

    class WithoutDrawing(TorchFunctionMode):
        """Leaves weights as they lie in memory, since kernels depend on shapes only."""

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            named = kwargs or {}
            if getattr(func, "__module__", "") == "torch.nn.init":
                return args[0] if args else named["tensor"]
            return func(*args, **named)

    class Cutter(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __init__(self, weights: set[int], image: torch.Tensor) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.weights = weights
            self.kernels: list[Kernel] = []
            # The kernel that wrote each storage last.
            self.writers: dict[int, int] = {}
            self.kept: list[Any] = [image]

        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            return False

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            results = func(*args, **(kwargs or {}))
            given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
            made = [x for x in tree_leaves(results) if isinstance(x, torch.Tensor)]
            name = func.overloadpacket.__name__
            read = {memory(x) for x in given}
            in_place = name.endswith("_") and not name.startswith("_")
            if made and name not in UNWRITTEN and (in_place or not {memory(x) for x in made} <= read):
                self.kept += [given, made]
                self.add(name, func, args, given, made)
            return results

        def add(self, name: str, func: Any, args: Any, given: list[Any], made: list[Any]) -> None:
            position = len(self.kernels)
            before = self.writers.get(memory(given[0])) if given else None
            host = None if before is None else self.kernels[before].kind
            if runtime == "onnx" and host is not None and merges(name, host):
                position = before if before is not None else position
            else:
                self.kernels.append(self.described(name, args, given, made))
            self.writers.update((memory(x), position) for x in made)

        def described(self, name: str, args: Any, given: list[Any], made: list[Any]) -> Kernel:
            inner = [x for x in given if memory(x) not in self.weights]
            weights = sum(x.numel() for x in given if memory(x) in self.weights)
            traffic = float(sum(x.numel() for x in inner) + made[0].numel())
            output = tuple(made[0].shape[1:])
            if name == "convolution":
                weight, stride, groups = args[1], args[3], args[8]
                outputs, inputs, *sides = weight.shape
                kind = "conv" if groups == 1 else "depthwise" if inputs == 1 and groups == outputs else "grouped"
                flops = float(weight.numel() * prod(made[0].shape[2:]))
                shape = (inputs * groups, outputs, *sides, *stride, groups, *made[0].shape[2:])
                return Kernel(f"{kind}{'x'.join(map(str, dict.fromkeys(sides)))}", shape, flops, float(weights), traffic)
            if name in MATRICES:
                left, right = given[-2], given[-1]
                shape = (*left.shape, *right.shape)
                flops = float(left.numel() * right.shape[-1])
                return Kernel("linear" if weights else "matmul", shape, flops, float(weights), traffic)
            if "scaled_dot_product" in name:
                _, heads, words, width = given[0].shape
                return Kernel("attention", (heads, words, width), 2.0 * heads * words * words * width, 0.0, traffic)
            kind = "activation" if name in ACTIVATIONS else "norm" if name in NORMS else "sum" if name in SUMS else name.strip("_")
            return Kernel(kind, output, 0.0, float(weights), traffic)

    with own_settings(), torch.no_grad(), own_random_state(0):
        with WithoutDrawing():
            network = space.build(genotype)
        image = space.example_inputs(1)
        parameters = {memory(tensor) for tensor in (*network.parameters(), *network.buffers())}
        with evaluation_mode(network), serving({}), Rewired({}, {}), Cutter(parameters, image) as cutter:
            network(image)
    kernels: list[Kernel] = cutter.kernels
    return kernels


def merges(name: str, host: str) -> bool:
    """Returns whether ONNX Runtime merges an operation into the kernel whose result it reads.

    Args:
        name: Name of the operation in torch.
        host: Kind of that kernel.
    """
    if name in NORMS:
        return host.startswith(("conv", "depthwise", "grouped"))
    return name in MERGED and host.startswith(HOSTS)


# Numbers that `sizes_of` gives for each kind.
PARTS = 4


def sizes_of(kernels: Iterable[Kernel], kinds: Sequence[str]) -> np.ndarray:
    """Returns the number, multiply-accumulates, weights and traffic of the kernels of each kind, float64 [PARTS * kinds].

    Args:
        kernels: Kernels; those of other kinds are passed over.
        kinds: Kinds in order.
    """
    places = {kind: PARTS * i for i, kind in enumerate(kinds)}
    sizes = np.zeros(PARTS * len(places))
    for kernel in kernels:
        place = places.get(kernel.kind)
        if place is not None:
            sizes[place : place + PARTS] += (1.0, kernel.flops, kernel.weights, kernel.traffic)
    return sizes


class Cutter:
    """Kernels of networks by genotype, each network cut once.

    Args:
        space: Search space of the genotypes.
        runtime: What runs the networks.
    """

    def __init__(self, space: SearchSpace, runtime: Runtime) -> None:
        self.space = space
        self.runtime = runtime
        self._known: dict[Genotype, list[Kernel]] = {}

    def __call__(self, genotype: Genotype) -> list[Kernel]:
        """Returns the kernels of the network of a genotype."""
        if genotype not in self._known:
            self._known[genotype] = cut(self.space, genotype, self.runtime)
        return self._known[genotype]
