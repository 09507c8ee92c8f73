"""The operations of a network with their names and shapes, as it runs on one input: what counts kernels and memory reads.

The network is built without drawing weights and runs once in evaluation mode. Views are no operations; memory that is only
allocated is none, either. (`graph` describes networks for scores: connections and weights, without names and sizes.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rbflex_evo.spaces import Genotype, SearchSpace
from rbflex_evo.spaces.isolation.random_state import own_random_state
from rbflex_evo.spaces.isolation.settings import own_settings

from .graph import INPUT, memory

if TYPE_CHECKING:
    from torch import Tensor

Shape = tuple[int, ...]

# Memory that is taken without being written.
UNWRITTEN = {"empty", "empty_like", "new_empty"}


@dataclass(frozen=True)
class Recorded:
    """One operation.

    Attributes:
        name: Name in torch, such as "convolution".
        sources: Positions of the operations whose results it reads, `INPUT` for the network's input.
        inputs: Shapes of the tensors that it reads, without the weights.
        weights: Shapes of the weights that it reads.
        shared: Identities of these weights, equal for a weight that several operations read.
        output: Shape of its result.
        stride: Stride of a convolution; empty for others.
        groups: Groups of a convolution.
        reached: Whether its result depends on the network's input.
    """

    name: str
    sources: tuple[int, ...]
    inputs: tuple[Shape, ...]
    weights: tuple[Shape, ...]
    shared: tuple[int, ...]
    output: Shape
    stride: Shape = ()
    groups: int = 1
    reached: bool = True


def tensors_of(values: Any) -> list[Tensor]:
    """Returns the tensors among nested values, in order."""
    import torch
    from torch.utils._pytree import tree_leaves

    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]


def computes(name: str, given: Sequence[Tensor], made: Sequence[Tensor]) -> bool:
    """Returns whether a call of torch is an operation: it writes memory and is no view.

    Args:
        name: Name in torch.
        given: Tensors that it reads.
        made: Tensors that it returns.
    """
    in_place = name.endswith("_") and not name.startswith("_")
    view = {memory(x) for x in made} <= {memory(x) for x in given}
    return bool(made) and name not in UNWRITTEN and (in_place or not view)


def recorded(space: SearchSpace, genotype: Genotype) -> tuple[list[Recorded], int]:
    """Returns the operations of a genotype's network in the order in which they run, and the position of its result.

    Raises:
        CandidateFailed: If the network cannot be built, or its forward draws random numbers.
    """
    import torch
    from torch.overrides import TorchFunctionMode
    from torch.utils._python_dispatch import TorchDispatchMode

    from .watch import Rewired, evaluation_mode, serving

    class WithoutDrawing(TorchFunctionMode):
        """Leaves weights as they lie in memory, since no value is read."""

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            named = kwargs or {}
            if getattr(func, "__module__", "") == "torch.nn.init":
                return args[0] if args else named["tensor"]
            return func(*args, **named)

    class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __init__(self, weights: set[int], image: torch.Tensor) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.weights = weights
            self.operations: list[Recorded] = []
            # The last writer of each storage. Tensors are kept so that no storage is used twice.
            self.writers = {memory(image): INPUT}
            self.kept: list[Any] = [image]

        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            # Otherwise torch first imports its compiler for several seconds, only to exclude this mode.
            return False

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            results = func(*args, **(kwargs or {}))
            given, made = tensors_of((args, kwargs)), tensors_of(results)
            name = func.overloadpacket.__name__
            if computes(name, given, made):
                self.kept += [given, made]
                self.add(name, args, given, made)
            return results

        def add(self, name: str, args: Any, given: list[Any], made: list[Any]) -> None:
            inner = [x for x in given if memory(x) not in self.weights]
            weights = [x for x in given if memory(x) in self.weights]
            sources = tuple(dict.fromkeys(self.writers[memory(x)] for x in inner if memory(x) in self.writers))
            convolution = name == "convolution"
            self.operations.append(
                Recorded(
                    name,
                    sources,
                    tuple(tuple(x.shape) for x in inner),
                    tuple(tuple(x.shape) for x in weights),
                    tuple(memory(x) for x in weights),
                    tuple(made[0].shape),
                    tuple(args[3]) if convolution else (),
                    args[8] if convolution else 1,
                    any(source == INPUT or self.operations[source].reached for source in sources),
                )
            )
            self.writers.update((memory(x), len(self.operations) - 1) for x in made)

    with own_settings(), torch.no_grad(), own_random_state(0):
        with WithoutDrawing():
            network = space.build(genotype)
        image = space.example_inputs(1)
        weights = {memory(tensor) for tensor in (*network.parameters(), *network.buffers())}
        with evaluation_mode(network), serving({}), Rewired({}, {}), Recorder(weights, image) as recorder:
            output = network(image)
        operations: list[Recorded] = recorder.operations
        return operations, recorder.writers.get(memory(tensors_of(output)[0]), INPUT)
