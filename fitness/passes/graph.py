"""A network as a graph of its operations, for scores that count: no image is read, no weight is drawn.

The plan of a space that plans its forwards is such a graph. Any other network is built and run once on one blank image, and every
operation is recorded with its inputs and outputs. (Torch's meta device would avoid the arithmetic, but takes seconds to import and
several times as long per network.)

    operation i reads earlier operations, or the network's input
    live: on a path from the input to the output;  depth: largest number of weighted operations on such a path
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rbflex_evo.spaces import Genotype, SearchSpace
from rbflex_evo.spaces.isolation.random_state import own_random_state
from rbflex_evo.spaces.isolation.settings import own_settings

if TYPE_CHECKING:
    from rbflex_evo.spaces.architecture.plan import Plan

# Position of the network's input among the operations.
INPUT = -1

# Operations that read the shape of a tensor, never its values.
SHAPE_ONLY = {
    f"{prefix}{name}{suffix}"
    for name in ("empty", "zeros", "ones", "full", "rand", "randn", "randint")
    for prefix, suffix in (("new_", ""), ("", "_like"))
}


@dataclass(frozen=True)
class Operation:
    """One operation of a network.

    Attributes:
        sources: Positions of the operations that it reads, all smaller than its own, or `INPUT`.
        kernel: Sizes of a convolution's kernel; empty for other operations.
        weighted: Whether it multiplies by weights, as a convolution or a linear layer does.
    """

    sources: frozenset[int]
    kernel: tuple[int, ...] = ()
    weighted: bool = False


def live_operations(operations: Sequence[Operation]) -> list[Operation]:
    """Returns the operations on a path from the input to the output, which is the last operation."""
    reached = {INPUT}
    for position, operation in enumerate(operations):
        if operation.sources & reached:
            reached.add(position)
    needed = {len(operations) - 1} & reached
    for position in range(len(operations) - 1, -1, -1):
        if position in needed:
            needed |= operations[position].sources & reached
    return [operation for position, operation in enumerate(operations) if position in needed]


def depth(operations: Sequence[Operation]) -> int:
    """Returns the largest number of weighted operations on a path from the input to the output, 0 if there is no path."""
    longest = {INPUT: 0}
    for position, operation in enumerate(operations):
        lengths = [longest[source] for source in operation.sources if source in longest]
        if lengths:
            longest[position] = max(lengths) + operation.weighted
    return longest.get(len(operations) - 1, 0)


def operations_of(space: SearchSpace, genotype: Genotype, input_shape: Sequence[int]) -> list[Operation]:
    """Returns the operations of the genotype's network on one input, in order; the last one computes its output."""
    plan = space.plan(genotype, input_shape)
    return traced(space, genotype, input_shape) if plan is None else planned(plan)


def planned(plan: Plan) -> list[Operation]:
    """Returns a plan's operations, and the classifier that follows its features."""
    from rbflex_evo.spaces.architecture import plan as steps

    made: dict[str, int] = {steps.INPUT: INPUT}
    operations: list[Operation] = []
    for step in plan.steps:
        read = frozenset(made[register] for register in steps.sources(step))
        convolution = isinstance(step, steps.Convolve)
        operations.append(Operation(read, step.shape[2:] if isinstance(step, steps.Convolve) else (), convolution))
        made.update(dict.fromkeys(steps.targets(step), len(operations) - 1))
    return [*operations, Operation(frozenset({len(operations) - 1}), weighted=True)]


def traced(space: SearchSpace, genotype: Genotype, input_shape: Sequence[int]) -> list[Operation]:
    """Returns the operations that the built network runs in evaluation mode.

    Raises:
        CandidateFailed: If the forward draws random numbers.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    from .watch import Rewired, evaluation_mode

    matrices = {getattr(torch.ops.aten, name) for name in ("mm", "addmm", "bmm", "baddbmm", "matmul", "linear", "mv", "addmv")}

    class Tracer(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __init__(self, weights: set[int], image: torch.Tensor) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.weights = weights
            self.operations: list[Operation] = []
            # Last writer of each storage; a view has the storage of its base. Tensors are kept so that no storage is reused.
            self.writers = {memory(image): INPUT}
            self.kept: list[Any] = []

        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            # Otherwise torch first imports its compiler for several seconds, only to exclude this mode.
            return False

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            results = func(*args, **(kwargs or {}))
            given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
            made = [x for x in tree_leaves(results) if isinstance(x, torch.Tensor)]
            self.kept += [given, made]
            convolution = func.overloadpacket is torch.ops.aten.convolution
            matrix = func.overloadpacket in matrices and any(memory(x) in self.weights for x in given)
            read = [] if func.overloadpacket.__name__ in SHAPE_ONLY else given
            sources = frozenset(self.writers[memory(x)] for x in read if memory(x) in self.writers)
            kernel = tuple(args[1].shape[2:]) if convolution else ()
            self.operations.append(Operation(sources, kernel, convolution or matrix))
            # A view of a weight is the weight itself, so it is not written.
            written = {memory(x) for x in made} - self.weights
            self.writers.update(dict.fromkeys(written, len(self.operations) - 1))
            return results

    with own_settings(), torch.no_grad(), own_random_state(0):
        network = space.build(genotype)
        image = space.example_inputs(1, input_shape=input_shape)
        # Without a function mode, torch runs its Transformer layers as one fused operation.
        with (
            evaluation_mode(network),
            Rewired({}, {}),
            Tracer({memory(parameter) for parameter in network.parameters()}, image) as tracer,
        ):
            output = network(image)
        last = frozenset(tracer.writers[memory(x)] for x in tree_leaves(output) if memory(x) in tracer.writers)
    return [*tracer.operations, Operation(last)]


def memory(tensor: Any) -> int:
    """Returns the identity of a tensor's storage, valid while the tensor exists."""
    return int(tensor.untyped_storage()._cdata)
