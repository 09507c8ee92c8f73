"""A genotype's forward as plain data: what is computed, in which order, and what observers are shown how often.

A plan says less than a network and so costs less: what reaches nothing is left out, a skip connection is its source, an
activation that several convolutions share is computed and observed once, with their number as its multiplicity. Parameters are
referred to by the names that the built network gives them, so their values need no network either.

    Convolve   target = weight * source
    Combine    value  = sum of terms (an alias, a normalised map, a pooled map);  active = ReLU(value), shown to the observers
    Features   the classifier's input: the mean of each channel of the source

Steps of different genotypes of one space that have equal `order` stand at the same place of the skeleton. They are independent
of each other and depend only on steps of smaller order, so they may share calls.
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
        weight: the parameter's name in the built network.
        shape: of that parameter, [outputs, inputs, height, width].
        pooled: the convolution sees its source averaged over windows of this size and stride. The mean is folded into the
            weights, so for ``pooled`` > 1 the kernel must be 1 x 1.
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
    """One summand.

    ``alias``: the source itself. ``norm``: each image's channels shifted and scaled to mean 0 and variance 1 (plus `EPSILON`).
    ``pool``: the mean of each 3 x 3 window, stride 1, over those of its pixels that lie inside the map.
    """

    kind: Literal["alias", "norm", "pool"]
    source: Register


# What batch normalisation adds to a variance, torch's default.
EPSILON = 1e-5


@dataclass(frozen=True)
class Combine:
    """A sum of terms, and its ReLU; no terms make zeros.

    Attributes:
        value: where the sum is kept, or None if only its ReLU is used.
        active: where its ReLU is kept, or None.
        observed: how many activation layers of the built network that ReLU stands for.
        shape: [channels, height, width] of the sum.
    """

    order: Order
    value: Register | None
    active: Register | None
    observed: int
    shape: Shape
    terms: tuple[Term, ...]


@dataclass(frozen=True)
class Features:
    """Global average pooling of `source`, of `shape`, into the classifier's input."""

    order: Order
    source: Register
    shape: Shape


Step = Convolve | Combine | Features


@dataclass(frozen=True)
class Plan:
    """Steps in order, over named registers; ``images`` is the input.

    Attributes:
        input_shape: [channels, height, width] of one image.
    """

    input_shape: Shape
    steps: tuple[Step, ...]

    def last_uses(self) -> tuple[tuple[Register, ...], ...]:
        """Returns for each step the registers that no later step reads."""
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
    """A sum while a plan is drawn: who reads it decides later what is kept of it."""

    order: Order
    name: Register
    shape: Shape
    terms: tuple[Term, ...]
    activations: int = 0
    read: bool = False


@dataclass
class Draft:
    """Collects values and convolutions of one forward; `finish` turns what is live into a plan."""

    input_shape: Shape
    convolutions: list[Convolve] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)

    def sum(self, order: tuple[int, int], name: Register, shape: Shape, terms: Sequence[Term], values: Sequence[Value]) -> Value:
        """Adds a value; one that is an alias of another is that other.

        Args:
            order: place in the skeleton, without the last position.
            terms: summands that are read from registers.
            values: summands that are values themselves.
        """
        if len(values) == 1 and not terms:
            return values[0]
        value = Value((*order, 1), name, shape, (*(self.alias(v) for v in values), *terms))
        self.values.append(value)
        return value

    def alias(self, value: Value) -> Term:
        """Reads a value as it is."""
        value.read = True
        return Term("alias", value.name)

    def pool(self, value: Value) -> Term:
        """Reads a value through average pooling."""
        value.read = True
        return Term("pool", value.name)

    def norm(self, value: Value) -> Term:
        """Reads a value normalised; a map of one pixel has nothing to normalise by and stays as it is."""
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
        """Adds a convolution of a value (of the images if None) and returns its result as a term, and that term's shape.

        Args:
            active: the convolution sees the value's ReLU, which is an activation layer of the built network.
            normalised: its result is normalised.
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
        """Returns the plan that ends with the features of the ReLU of `last`."""
        last.activations += 1
        combines = [
            Combine(
                value.order,
                value.name if value.read else None,
                f"{value.name} active" if value.activations else None,
                value.activations,
                value.shape,
                value.terms,
            )
            for value in self.values
        ]
        ordered: list[Step] = sorted([*self.convolutions, *combines], key=lambda step: step.order)
        ordered.append(Features((*order, 2), f"{last.name} active", last.shape))
        return Plan(self.input_shape, tuple(_live(ordered)))


def _norm_of(shape: Shape) -> Literal["alias", "norm"]:
    return "norm" if shape[1] * shape[2] > 1 else "alias"


def _live(steps: Sequence[Step]) -> list[Step]:
    """Drops what nothing reads; an observed activation is always kept."""
    needed: set[Register] = set()
    live: list[Step] = []
    for step in reversed(steps):
        observed = isinstance(step, Combine) and step.observed
        if isinstance(step, Features) or observed or needed.intersection(targets(step)):
            needed.update(sources(step))
            live.append(step)
    return live[::-1]
