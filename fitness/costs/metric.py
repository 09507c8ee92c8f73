"""What a network costs: parameters, FLOPs, depth, activation memory, latency. Lower is better, and nothing is trained for it.

A cost is one of the network that is scored: the representative of its key, on one input of the space's own shape. A constraint
limits costs, an objective may minimise them; what neither names is not counted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from rbflex_evo.spaces import ConfigError, Costs, Genotype, Parameters, Registry, SearchSpace, parse

if TYPE_CHECKING:
    from torch import nn

METRICS = Registry("metric")
METRICS.register("params", "rbflex_evo.fitness.costs.metric:Params")
METRICS.register("flops", "rbflex_evo.fitness.costs.metric:Flops")
METRICS.register("depth", "rbflex_evo.fitness.costs.metric:Depth")
METRICS.register("activation_memory", "rbflex_evo.fitness.costs.metric:ActivationMemory")
METRICS.register("latency", "rbflex_evo.fitness.costs.latency:Latency")
METRICS.register("latency_table", "rbflex_evo.fitness.costs.latency:LatencyTable")


class Architecture:
    """One candidate as metrics are given it; what several of them need is made once, and dropped with it."""

    def __init__(self, space: SearchSpace, genotype: Genotype) -> None:
        self.space = space
        self.genotype = genotype

    @cached_property
    def counted(self) -> Costs:
        """Parameters and multiply-accumulates as the space counts them."""
        return self.space.costs(self.genotype)

    @cached_property
    def network(self) -> nn.Module:
        """The network on the CPU, in evaluation mode."""
        from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised

        return build_initialised(self.space, self.genotype, WeightParameters()).eval()


class Metric(ABC):
    """One kind of cost in one space.

    Attributes:
        name: the registered name.
        description: one line for ``list metrics``.
        unit: of a cost, empty for a plain number.
        version: raised when the cost of an equal network changes.
        repeatable: False where two measurements differ; a run then keeps what it measured in its journal.
        walkable: True where a cost takes so little that all of a small space may be looked at, one architecture by one.

    Raises:
        ConfigError, TableError, DeviceError: from the constructor, before anything is measured.
    """

    name: ClassVar[str]
    description: ClassVar[str] = ""
    unit: ClassVar[str] = ""
    version: ClassVar[int] = 1
    repeatable: ClassVar[bool] = True
    walkable: ClassVar[bool] = False
    Parameters: ClassVar[type[Parameters]] = Parameters

    def __init__(self, parameters: Any, space: SearchSpace) -> None:
        self.parameters = parameters
        self.space = space

    @abstractmethod
    def cost(self, architecture: Architecture) -> float:
        """Returns the cost, lower is better.

        Raises:
            CandidateFailed: saying why there is none.
        """


def metrics_named(
    constrained: Mapping[str, Mapping[str, Any]], minimised: Mapping[str, Mapping[str, Any]]
) -> dict[str, tuple[dict[str, Any], str]]:
    """Returns for each metric that constraints or an objective name the parameters given to it, and the key that they stand below.

    Raises:
        ConfigError: if both give parameters, and not the same.
    """
    places = {name: (dict(values), f"fitness.constraints.{name}") for name, values in constrained.items()}
    for name, values in minimised.items():
        before, _ = places.get(name, ({}, ""))
        if values and before and before != values:
            raise ConfigError(
                f"{name!r} has the parameters {before} in 'fitness.constraints' and {dict(values)} in "
                "'fitness.objective.pareto'; give them once"
            )
        if values or name not in places:
            places[name] = (dict(values), f"fitness.objective.pareto.{name}")
    return places


def create_metric(name: str, space: SearchSpace, values: Mapping[str, Any] | None = None, where: str = "metric") -> Metric:
    """Returns the registered metric `name` for `space`.

    Raises:
        UnknownNameError: if no metric has that name.
        ConfigError: if a parameter is unknown or of a wrong type, naming the key below `where`.
        TableError, DeviceError: if what it reads or measures on is not there.
    """
    metric: type[Metric] = METRICS.get(name)
    return metric(parse(metric.Parameters, values or {}, where), space)


class Params(Metric):
    """Trainable parameters."""

    name = "params"
    description = "parameters of the network that is scored, counted as the space's benchmark counts them"
    walkable = True

    def cost(self, architecture: Architecture) -> float:
        return architecture.counted.params


class Flops(Metric):
    """Multiply-accumulates of one input."""

    name = "flops"
    description = "multiply-accumulates of one input in the network that is scored, counted as the space's benchmark counts them"
    walkable = True

    def cost(self, architecture: Architecture) -> float:
        return architecture.counted.flops


class Depth(Metric):
    """Weighted layers on the longest path."""

    name = "depth"
    description = "convolutions and linear layers on the longest path from input to output"

    def cost(self, architecture: Architecture) -> float:
        from rbflex_evo.fitness.passes.graph import depth, operations_of

        return float(depth(operations_of(self.space, architecture.genotype, self.space.input_shape)))


class ActivationMemory(Metric):
    """The largest sum of live activations of one input's forward, in float32."""

    name = "activation_memory"
    description = "bytes of the largest sum of live activations in one input's forward (float32, weights not included)"
    unit = "B"

    def cost(self, architecture: Architecture) -> float:
        from .memory import activation_memory

        return float(activation_memory(architecture.network, self.space.example_inputs(1)))
