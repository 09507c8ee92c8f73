"""A network as a graph of its operations, for scores that count: no image is read, no weight is drawn.

The plan of a space that plans its forwards is such a graph. Any other network is built and run once on one blank image, and every
operation is recorded with its inputs and outputs. (Torch's meta device would avoid the arithmetic, but takes seconds to import and
several times as long per network.)

    operation i reads earlier operations, or the network's input
    live: on a path from the input to the output;  depth: largest number of weighted operations on such a path
    nearest: the weighted operations and attentions that an operation reads through others, such as activations and sums
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
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


# Numbers of outputs of classifiers by the identity of their space.
_OUTPUTS: dict[str, int] = {}


@dataclass(frozen=True)
class Operation:
    """One operation of a network.

    Attributes:
        sources: Positions of the operations that it reads, all smaller than its own, or `INPUT`.
        weight: Shape of the weights that it multiplies by, [outputs, inputs of a group, *kernel] of a convolution and
            [outputs, inputs] of a linear layer; empty for other operations.
        groups: Number of groups of a convolution.
        positions: Pixels of the input of a convolution, or rows of that of a linear layer, for one input of the network.
        head_width: Channels of an attention head if it is a product of two results of the network's input, 0 for others.
    """

    sources: frozenset[int]
    weight: tuple[int, ...] = ()
    groups: int = 1
    positions: int = 1
    head_width: int = 0

    @property
    def weighted(self) -> bool:
        """Whether it multiplies by weights, as a convolution or a linear layer does."""
        return bool(self.weight)

    @property
    def kernel(self) -> tuple[int, ...]:
        """Sizes of a convolution's kernel; empty for other operations."""
        return self.weight[2:]


def live_operations(operations: Sequence[Operation]) -> list[Operation]:
    """Returns the operations on a path from the input to the output, which is the last operation."""
    return [operations[position] for position in live_positions(operations)]


def live_positions(operations: Sequence[Operation]) -> list[int]:
    """Returns the positions of the operations on a path from the input to the output."""
    reached = {INPUT}
    for position, operation in enumerate(operations):
        if operation.sources & reached:
            reached.add(position)
    needed = {len(operations) - 1} & reached
    for position in range(len(operations) - 1, -1, -1):
        if position in needed:
            needed |= operations[position].sources & reached
    return sorted(needed - {INPUT})


def nearest(operations: Sequence[Operation]) -> list[frozenset[int]]:
    """Returns for each operation the positions of the weighted operations and attentions, or `INPUT`, that it reads.

    Operations of other kinds between them, such as activations, normalisations and sums, are passed over.
    """
    found: list[frozenset[int]] = []
    for operation in operations:
        reads: set[int] = set()
        for source in operation.sources:
            ends = source == INPUT or operations[source].weighted or operations[source].head_width
            reads |= {source} if ends else found[source]
        found.append(frozenset(reads))
    return found


def depth(operations: Sequence[Operation]) -> int:
    """Returns the largest number of weighted operations on a path from the input to the output, 0 if there is no path."""
    return int(longest_path(operations, lambda operation: 1))


def longest_path(operations: Sequence[Operation], length: Callable[[Operation], float]) -> float:
    """Returns the largest total length of the weighted operations on a path from the input to the output.

    Args:
        operations: The operations of a network.
        length: Returns the length of a weighted operation.

    Returns:
        The length, 0 if there is no path.
    """
    longest: dict[int, float] = {INPUT: 0.0}
    for position, operation in enumerate(operations):
        lengths = [longest[source] for source in operation.sources if source in longest]
        if lengths:
            longest[position] = max(lengths) + (length(operation) if operation.weighted else 0)
    return longest.get(len(operations) - 1, 0.0)


def operations_of(space: SearchSpace, genotype: Genotype, input_shape: Sequence[int]) -> list[Operation]:
    """Returns the operations of the genotype's network on one input, in order; the last one computes its output."""
    plan = space.plan(genotype, input_shape)
    return traced(space, genotype, input_shape) if plan is None else planned(plan, _outputs(space, genotype))


def _outputs(space: SearchSpace, genotype: Genotype) -> int:
    """Returns the number of outputs of the classifier, which all networks of a space have in common."""
    found = _OUTPUTS.get(identity := json.dumps([type(space).__qualname__, space.identity], sort_keys=True, default=str))
    if found is None:
        with own_settings(), own_random_state(0):
            weight: Any = space.classifier(space.build(genotype)).weight
        found = _OUTPUTS[identity] = len(weight)
    return found


def planned(plan: Plan, outputs: int) -> list[Operation]:
    """Returns a plan's operations, and the classifier of `outputs` outputs that follows its features."""
    from rbflex_evo.spaces.architecture import plan as steps

    made: dict[str, int] = {steps.INPUT: INPUT}
    sizes: dict[str, tuple[int, ...]] = {steps.INPUT: plan.input_shape[1:]}
    operations: list[Operation] = []
    channels = 0
    for step in plan.steps:
        read = frozenset(made[register] for register in steps.sources(step))
        if isinstance(step, steps.Convolve):
            window = max(*step.shape[2:], step.pooled)
            size = tuple((side + 2 * step.padding - window) // step.stride + 1 for side in sizes[step.source])
            pixels = prod(side // step.pooled for side in sizes[step.source])
            operations.append(Operation(read, step.shape, positions=pixels))
        else:
            size, channels = step.shape[1:], step.shape[0]
            operations.append(Operation(read))
        made.update(dict.fromkeys(steps.targets(step), len(operations) - 1))
        sizes.update(dict.fromkeys(steps.targets(step), size))
    return [*operations, Operation(frozenset({len(operations) - 1}), (outputs, channels))]


def traced(space: SearchSpace, genotype: Genotype, input_shape: Sequence[int]) -> list[Operation]:
    """Returns the operations that the built network runs in evaluation mode.

    Raises:
        CandidateFailed: If the forward draws random numbers.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    from .watch import Rewired, evaluation_mode, serving

    matrices = {getattr(torch.ops.aten, name) for name in ("mm", "addmm", "bmm", "baddbmm", "matmul", "linear", "mv", "addmv")}
    batched = {torch.ops.aten.bmm, torch.ops.aten.baddbmm}

    class Tracer(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __init__(self, weights: set[int], image: torch.Tensor) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.weights = weights
            self.operations: list[Operation] = []
            # Last writer of each storage; a view has the storage of its base. Tensors are kept so that no storage is reused.
            self.writers = {memory(image): INPUT}
            self.kept: list[Any] = []
            # Operations that depend on the input, and those that read an attention through others.
            self.reached = {INPUT}
            self.attending: set[int] = set()

        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            # Otherwise torch first imports its compiler for several seconds, only to exclude this mode.
            return False

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            results = func(*args, **(kwargs or {}))
            given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
            made = [x for x in tree_leaves(results) if isinstance(x, torch.Tensor)]
            self.kept += [given, made]
            packet = func.overloadpacket
            read = [] if packet.__name__ in SHAPE_ONLY else given
            sources = frozenset(self.writers[memory(x)] for x in read if memory(x) in self.writers)
            weight, groups, positions = self.weights_of(packet, args, given)
            head_width = 0 if weight else self.head_width_of(packet, sources, given)
            position = len(self.operations)
            self.operations.append(Operation(sources, weight, groups, positions, head_width))
            if sources & self.reached:
                self.reached.add(position)
            if head_width or (not weight and sources & self.attending):
                self.attending.add(position)
            # A view of a weight is the weight itself, so it is not written.
            written = {memory(x) for x in made} - self.weights
            self.writers.update(dict.fromkeys(written, position))
            return results

        def weights_of(self, packet: Any, args: Any, given: list[torch.Tensor]) -> tuple[tuple[int, ...], int, int]:
            """Returns the weight, the groups and the positions of an operation."""
            if packet is torch.ops.aten.convolution:
                shape, transposed, groups = tuple(args[1].shape), args[6], args[8]
                # The weights of a transposed convolution are [inputs, outputs of a group, ...].
                weight = (shape[1] * groups, shape[0] // groups, *shape[2:]) if transposed else shape
                return weight, groups, prod(args[0].shape[2:])
            if packet in matrices:
                for x, other, outputs in ((given[-1], given[-2], -1), (given[-2], given[-1], -2)):
                    if memory(x) in self.weights and x.dim() > 1:
                        inputs = x.shape[-3 - outputs]
                        return (x.shape[outputs], inputs), 1, other.numel() // inputs
            return (), 1, 1

        def head_width_of(self, packet: Any, sources: frozenset[int], given: list[torch.Tensor]) -> int:
            """Returns the channels of a head if the operation is an attention: a product of two results of the input."""
            if "scaled_dot_product" in packet.__name__:
                return int(given[0].shape[-1])
            if packet in batched and all(self.writers.get(memory(x)) in self.reached for x in given[-2:]):
                # The second product of an attention is with values [words, channels], the first with keys [channels, words].
                return int(given[-1].shape[-1 if sources & self.attending else -2])
            return 0

    with own_settings(), torch.no_grad(), own_random_state(0):
        network = space.build(genotype)
        image = space.example_inputs(1, input_shape=input_shape)
        # Without a function mode, torch runs its Transformer layers as one fused operation. Kernels of our own show no operation.
        with (
            evaluation_mode(network),
            serving({}),
            Rewired({}, {}),
            Tracer({memory(parameter) for parameter in network.parameters()}, image) as tracer,
        ):
            output = network(image)
        last = frozenset(tracer.writers[memory(x)] for x in tree_leaves(output) if memory(x) in tracer.writers)
    return [*tracer.operations, Operation(last)]


def memory(tensor: Any) -> int:
    """Returns the identity of a tensor's storage, valid while the tensor exists."""
    return int(tensor.untyped_storage()._cdata)
