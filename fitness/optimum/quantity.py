"""Numbers that follow from an architecture alone: costs, and scores that read no image."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rbflex_evo.fitness.costs.metric import CostSubject, Metric
from rbflex_evo.fitness.evaluation import six_digits
from rbflex_evo.fitness.proxies.proxy import Proxy
from rbflex_evo.spaces import ConfigError, Genotype, SearchSpace


@dataclass(frozen=True)
class Quantity:
    """A number that an architecture has, the same whenever it is computed.

    Attributes:
        name: Name in messages.
        of: Returns the number of a network, before it is rounded. It raises `CandidateFailed` if the network has none.
        fast: Whether it is computed by arithmetic, without a network.
        rounded: Whether a search rounds it to six digits, as it does scores.
        logarithmic: Whether `of` returns the logarithm of the number, which adds up where the number itself does not.
    """

    name: str
    of: Callable[[CostSubject], float] = field(compare=False)
    fast: bool = False
    rounded: bool = False
    logarithmic: bool = False

    def shown(self, value: float) -> float:
        """Returns the number that a search has for a value of `of`."""
        number = math.exp(value) if self.logarithmic else value
        return six_digits(number) if self.rounded else number

    def bound(self, number: float) -> float:
        """Returns the value of `of` for a number, to compare with; that of a number of which there is no logarithm is infinite."""
        if not self.logarithmic:
            return number
        return math.log(number) if number > 0 else -math.inf


@dataclass(frozen=True)
class Goal:
    """A quantity to make as large or as small as possible.

    Attributes:
        quantity: The quantity.
        maximised: Whether larger is better.
    """

    quantity: Quantity
    maximised: bool = True


@dataclass(frozen=True)
class Limit:
    """Bounds on a quantity, both included; None for no bound."""

    quantity: Quantity
    minimum: float | None = None
    maximum: float | None = None

    def holds(self, value: float) -> bool:
        """Returns whether a value is within the bounds."""
        return (self.minimum is None or value >= self.minimum) and (self.maximum is None or value <= self.maximum)


def cost_quantity(metric: Metric) -> Quantity:
    """Returns the cost of a metric as a quantity.

    Raises:
        ConfigError: If repeated measurements of the metric differ.
    """
    if not metric.repeatable:
        raise ConfigError(f"no optimum of {metric.name!r} can be proved, because it is measured; use a cost that is computed")

    def of(network: CostSubject) -> float:
        value = metric.summand(network)
        return math.log(value) if metric.multiplies else value

    return Quantity(metric.name, of, metric.walkable, rounded=metric.rounded, logarithmic=metric.multiplies)


def score_quantity(proxy: Proxy, space: SearchSpace, input_shape: Sequence[int] | None = None) -> Quantity:
    """Returns a score that reads no image as a quantity.

    Args:
        proxy: The score.
        space: Search space of the networks.
        input_shape: Shape of one input; by default that of the space.

    Raises:
        ConfigError: If the score reads images or draws weights.
    """
    if proxy.needs != "network" or proxy.cost != "data-free" or proxy.scores_raw_network:
        raise ConfigError(
            f"no optimum of the score {proxy.name!r} can be proved, because it is measured; "
            "use a count such as params, or tabulate it"
        )
    ready = proxy.for_space(space)
    ready.check(space)

    def of(network: CostSubject) -> float:
        from rbflex_evo.fitness.passes.subject import Subject

        inputs = space.example_inputs(1, input_shape=input_shape)
        return ready.score(ready.measure(Subject(space, network.genotype, inputs)))

    return Quantity(proxy.name, of, proxy.name in ("params", "flops"), rounded=True)


def scored(space: SearchSpace, genotype: Genotype) -> CostSubject:
    """Returns the network that is built to score the architecture of a genotype; quantities share what they count of it."""
    return CostSubject(space, space.representative(space.key(genotype)))
