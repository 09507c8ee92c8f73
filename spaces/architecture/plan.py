"""The forward of a network as plain data: the computations, their order, and the activations that observers are shown.

A plan is cheaper to run than the built network: it omits computations without effect, replaces a skip connection by its source,
and computes and shows an activation that several convolutions share once, with their number as its multiplicity. Parameters are
referred to by their names in the built network, so that drawing their values needs no network either.

    Convolve   target = weight * source
    Combine    value  = sum of terms (an alias, a normalised map, a pooled map);  active = ReLU(value), shown to the observers;
               a value that is the output of a primary block is shown to the observers that read blocks
    Features   the classifier's input: the mean of each channel of the source

Steps of different genotypes of one space with equal `order` have the same place in the skeleton. They are independent of each
other and depend only on steps of smaller order, so they can be batched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Register = str
Order = tuple[int, int, int]
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Convolve:
    """A convolution without bias.

    Attributes:
        order: Place in the skeleton.
        target: Register of the result.
        source: Register of the input.
        weight: Name of the parameter in the built network.
        shape: Shape [outputs, inputs, height, width] of that parameter.
        stride: Stride, pooling included.
        padding: Zero padding of each side.
        pooled: Size and stride of the average pooling of the input. The mean is folded into the weights, so for ``pooled`` > 1
            the kernel must be 1 x 1.
    """

    order: Order
    target: Register
    source: Register
    weight: str
    shape: tuple[int, int, int, int]
    stride: int = 1
    padding: int = 0
    pooled: int = 1


@dataclass(frozen=True)
class Term:
    """One summand of a sum of maps.

    ``alias``: the source itself. ``norm``: the channels of each image normalised to mean 0 and variance 1 (plus `EPSILON`).
    ``pool``: the mean of each 3 x 3 window, stride 1, over the pixels inside the map.
    """

    kind: Literal["alias", "norm", "pool"]
    source: Register


# Added to a variance by batch normalisation; the default of torch.
EPSILON = 1e-5


@dataclass(frozen=True)
class Combine:
    """A sum of terms, and its ReLU; a sum without terms is zero.

    Attributes:
        order: Place in the skeleton.
        value: Register of the sum, or None if only its ReLU is used.
        active: Register of its ReLU, or None.
        observed: Number of activation layers of the built network that the ReLU represents.
        shape: Shape [channels, height, width] of the sum.
        terms: The summands.
        blocks: Number of primary blocks of the built network whose output is the sum; more than one if a block returns its input.
    """

    order: Order
    value: Register | None
    active: Register | None
    observed: int
    shape: Shape
    terms: tuple[Term, ...]
    blocks: int = 0


@dataclass(frozen=True)
class Features:
    """Global average pooling of a register into the input of the classifier."""

    order: Order
    source: Register
    shape: Shape


Step = Convolve | Combine | Features


@dataclass(frozen=True)
class Plan:
    """The forward of a network: steps over named registers, of which ``images`` is the input.

    Attributes:
        input_shape: Shape [channels, height, width] of one image.
        steps: The steps in the order of computation.
    """

    input_shape: Shape
    steps: tuple[Step, ...]

    def last_uses(self) -> tuple[tuple[Register, ...], ...]:
        """Returns for each step the registers that it is the last to read."""
        seen: set[Register] = set()
        uses: list[tuple[Register, ...]] = []
        for step in reversed(self.steps):
            fresh = tuple({register: None for register in sources(step) if register not in seen})
            seen.update(fresh)
            uses.append(fresh)
        uses.reverse()
        return tuple(uses)


INPUT = "images"


def sources(step: Step) -> tuple[Register, ...]:
    """Returns the registers that a step reads."""
    if isinstance(step, Combine):
        return tuple([term.source for term in step.terms])
    return (step.source,)


def targets(step: Step) -> tuple[Register, ...]:
    """Returns the registers that a step writes."""
    if isinstance(step, Convolve):
        return (step.target,)
    if isinstance(step, Combine):
        return tuple(register for register in (step.value, step.active) if register is not None)
    return ()


@dataclass
class Value:
    """A sum in a draft; its readers decide whether the sum, its ReLU or both are kept."""

    order: Order
    name: Register
    shape: Shape
    terms: tuple[Term, ...]
    activations: int = 0
    read: bool = False
    blocks: int = 0


@dataclass
class Draft:
    """Collects the sums and convolutions of one forward; `finish` turns the live ones into a plan."""

    input_shape: Shape
    convolutions: list[Convolve] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)

    def sum(self, order: tuple[int, int], name: Register, shape: Shape, terms: Sequence[Term], values: Sequence[Value]) -> Value:
        """Adds a sum and returns it; a sum of a single value is that value.

        Args:
            order: Place in the skeleton, without the last position.
            name: Register of the sum.
            shape: Shape [channels, height, width] of the sum.
            terms: Summands that are read from registers.
            values: Summands that are sums themselves.
        """
        if len(values) == 1 and not terms:
            return values[0]
        value = Value((*order, 1), name, shape, (*(self.alias(v) for v in values), *terms))
        self.values.append(value)
        return value

    def alias(self, value: Value) -> Term:
        """Returns a sum itself as a term."""
        value.read = True
        return Term("alias", value.name)

    def pool(self, value: Value) -> Term:
        """Returns the average pooling of a sum as a term."""
        value.read = True
        return Term("pool", value.name)

    def norm(self, value: Value) -> Term:
        """Returns a normalised sum as a term; a map of one pixel is not normalised."""
        value.read = True
        return Term(_norm_of(value.shape), value.name)

    def convolve(
        self,
        order: tuple[int, int],
        weight: str,
        source: Value | None,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        pooled: int = 1,
        active: bool = True,
        normalised: bool = True,
    ) -> tuple[Term, Shape]:
        """Adds a convolution and returns its result as a term, and the shape of that term.

        Args:
            order: Place in the skeleton, without the last position.
            weight: Name of the parameter in the built network.
            source: The sum to convolve, or None for the images.
            outputs: Number of output channels.
            kernel: Side of the kernel.
            stride: Stride of the convolution.
            pooled: Size and stride of the average pooling of its input.
            active: Whether it reads the ReLU of the sum, which is an activation layer of the built network.
            normalised: Whether its result is normalised.
        """
        if source is None:
            register, shape = INPUT, self.input_shape
        elif active:
            source.activations += 1
            register, shape = f"{source.name} active", source.shape
        else:
            source.read = True
            register, shape = source.name, source.shape
        padding = kernel // 2
        step = stride * pooled
        window = max(kernel, pooled)
        height, width = ((size + 2 * padding - window) // step + 1 for size in shape[1:])
        size = (outputs, shape[0], kernel, kernel)
        self.convolutions.append(Convolve((*order, 0), weight, register, weight, size, step, padding, pooled))
        made = (outputs, height, width)
        return Term(_norm_of(made) if normalised else "alias", weight), made

    def finish(self, order: tuple[int, int], last: Value) -> Plan:
        """Returns the plan whose features are pooled from the ReLU of `last`."""
        last.activations += 1
        combines = [
            Combine(
                value.order,
                value.name if value.read else None,
                f"{value.name} active" if value.activations else None,
                value.activations,
                value.shape,
                value.terms,
                value.blocks,
            )
            for value in self.values
        ]
        ordered: list[Step] = sorted([*self.convolutions, *combines], key=lambda step: step.order)
        ordered.append(Features((*order, 2), f"{last.name} active", last.shape))
        return Plan(self.input_shape, tuple(_live(ordered)))


def _norm_of(shape: Shape) -> Literal["alias", "norm"]:
    return "norm" if shape[1] * shape[2] > 1 else "alias"


def _live(steps: Sequence[Step]) -> list[Step]:
    """Returns the steps that a later step reads, and every observed activation and primary block."""
    needed: set[Register] = set()
    live: list[Step] = []
    for step in reversed(steps):
        observed = isinstance(step, Combine) and (step.observed or step.blocks)
        if isinstance(step, Features) or observed or needed.intersection(targets(step)):
            needed.update(sources(step))
            live.append(step)
    return live[::-1]
