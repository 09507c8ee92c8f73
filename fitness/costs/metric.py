"""Metrics of the cost of a network: parameters, FLOPs, depth, activation memory, latency. Lower is better.

Costs are those of the network that is scored, which is the representative of its key, for one input of the shape of the space.
Constraints limit costs and objectives minimise them; only metrics that one of them names are counted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from rbflex_evo.spaces import ConfigError, Costs, Genotype, Parameters, Registry, SearchSpace, parse

if TYPE_CHECKING:
    from torch import nn

# What a registered name may end in, where a configuration gives a name of its own.
PLACEHOLDERS = (":DEVICE", ":NAME")

METRICS = Registry("metric")
METRICS.register("params", "rbflex_evo.fitness.costs.metric:ParamsMetric")
METRICS.register("flops", "rbflex_evo.fitness.costs.metric:FlopsMetric")
METRICS.register("depth", "rbflex_evo.fitness.costs.metric:DepthMetric")
METRICS.register("activation_memory", "rbflex_evo.fitness.costs.metric:ActivationMemory")
METRICS.register("latency", "rbflex_evo.fitness.costs.latency:Latency")
METRICS.register("latency:DEVICE", "rbflex_evo.fitness.costs.device_cost:DeviceLatency")
METRICS.register("energy:DEVICE", "rbflex_evo.fitness.costs.device_cost:DeviceEnergy")
METRICS.register("sram", "rbflex_evo.fitness.costs.microcontroller.metrics:Sram")
METRICS.register("flash", "rbflex_evo.fitness.costs.microcontroller.metrics:Flash")
METRICS.register("predicted", "rbflex_evo.fitness.costs.predicted:Predicted")
METRICS.register("predicted:NAME", "rbflex_evo.fitness.costs.predicted:NamedPredicted")


class CostSubject:
    """Candidate whose costs are counted; caches what several metrics need."""

    def __init__(self, space: SearchSpace, genotype: Genotype) -> None:
        self.space = space
        self.genotype = genotype

    @cached_property
    def counted(self) -> Costs:
        """Parameters and multiply-accumulates, counted by the space."""
        return self.space.costs(self.genotype)

    @cached_property
    def network(self) -> nn.Module:
        """Network on the CPU in evaluation mode."""
        from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised

        return build_initialised(self.space, self.genotype, WeightParameters()).eval()


class Metric(ABC):
    """Base class of cost metrics.

    Args:
        parameters: Validated parameters.
        space: Search space of the networks.
        name: Name in a configuration, as ``latency:pixel3``; by default the registered name.

    Attributes:
        name: Name in a configuration; the registered name ``latency:DEVICE`` covers any device, as in ``latency:pixel3``.
        description: Description in one line for ``list metrics``.
        unit: Unit of a cost; empty for a plain number.
        version: Version number, to be raised when the cost of an equal network changes.
        repeatable: False if repeated measurements differ; a run then keeps measured costs in its journal.
        singly: True if a measured cost takes so long that each is in the journal before the next one is measured; candidates are
            then evaluated one after another.
        walkable: True if a cost is computed so fast that all architectures of a small space may be checked one by one.
        rounded: True if costs are rounded to six digits.
        multiplies: True if the logarithms of costs add up over layers, not costs.
        file: Hash of what the metric reads from a file, None if it reads none; a run is not resumed with another file.

    Raises:
        ConfigError: From the constructor, if the parameters do not fit the space.
        TableError: From the constructor, if a table is missing, unreadable or of another space.
        DeviceError: From the constructor, if a device is not available.
    """

    name: str
    description: ClassVar[str] = ""
    unit: ClassVar[str] = ""
    version: ClassVar[int] = 1
    repeatable: ClassVar[bool] = True
    walkable: ClassVar[bool] = False
    rounded: ClassVar[bool] = False
    singly: bool = False
    multiplies: bool = False
    file: str | None = None
    Parameters: ClassVar[type[Parameters]] = Parameters

    def __init__(self, parameters: Any, space: SearchSpace, name: str | None = None) -> None:
        self.parameters = parameters
        self.space = space
        self.name = name or type(self).name

    @abstractmethod
    def cost(self, architecture: CostSubject) -> float:
        """Returns the cost; lower is better.

        Raises:
            CandidateFailed: If the candidate has no cost; the message is the reason.
        """

    def summand(self, architecture: CostSubject) -> float:
        """Returns the cost before it is rounded, for methods that add up parts of networks; by default the cost itself.

        Raises:
            CandidateFailed: If the candidate has no cost.
        """
        return self.cost(architecture)


def metrics_named(
    constrained: Mapping[str, Mapping[str, Any]], minimised: Mapping[str, Mapping[str, Any]]
) -> dict[str, tuple[dict[str, Any], str]]:
    """Returns the parameters of each metric that constraints or an objective name, with the path of their key.

    Args:
        constrained: Parameters by metric in the constraints.
        minimised: Parameters by metric in the objective.

    Raises:
        ConfigError: If both give parameters of a metric and these differ.
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

    Args:
        name: Registered name.
        space: Search space of the networks.
        values: Parameters as plain data; None for the defaults.
        where: Path of the key of the parameters, for error messages.

    Raises:
        UnknownNameError: If no metric has the name.
        ConfigError: If a parameter is unknown or of a wrong type.
        TableError: If the table of the metric is missing, unreadable or of another space.
        DeviceError: If the device of the metric is not available.
    """
    metric = metric_type(name)
    parameters = parse(metric.Parameters, values or {}, where)
    return metric(parameters, space) if name in METRICS.names() else metric(parameters, space, name)


def metric_type(name: str) -> type[Metric]:
    """Returns the class of a metric: that of its name, or of ``latency:DEVICE`` for ``latency:pixel3``.

    Raises:
        UnknownNameError: If no metric has the name.
    """
    names = METRICS.names()
    if name not in names:
        kind, colon, rest = name.partition(":")
        open_ended = [known for known in names if colon and rest and known.startswith(f"{kind}:") and known.endswith(PLACEHOLDERS)]
        name = open_ended[0] if open_ended else name
    found: type[Metric] = METRICS.get(name)
    return found


class ParamsMetric(Metric):
    """Number of trainable parameters."""

    name = "params"
    description = "parameters of the network that is scored, counted as the space's benchmark counts them"
    walkable = True

    def cost(self, architecture: CostSubject) -> float:
        """Returns the number of parameters."""
        return architecture.counted.params


class FlopsMetric(Metric):
    """Number of multiply-accumulates for one input."""

    name = "flops"
    description = "multiply-accumulates of one input in the network that is scored, counted as the space's benchmark counts them"
    walkable = True

    def cost(self, architecture: CostSubject) -> float:
        """Returns the number of multiply-accumulates."""
        return architecture.counted.flops


class DepthMetric(Metric):
    """Number of layers with weights on the longest path."""

    name = "depth"
    description = "convolutions and linear layers on the longest path from input to output"

    def cost(self, architecture: CostSubject) -> float:
        """Returns the number of layers."""
        from rbflex_evo.fitness.passes.graph import depth, operations_of

        return float(depth(operations_of(self.space, architecture.genotype, self.space.input_shape)))


class ActivationMemory(Metric):
    """Largest sum of live activations in a forward pass of one input, in float32."""

    name = "activation_memory"
    description = "bytes of the largest sum of live activations in one input's forward (float32, weights not included)"
    unit = "B"

    def cost(self, architecture: CostSubject) -> float:
        """Returns the memory in bytes."""
        from .memory import activation_memory

        return float(activation_memory(architecture.network, self.space.example_inputs(1)))
