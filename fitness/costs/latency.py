"""Latency as a cost, measured on a device of this machine."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

from pydantic import Field

from rbflex_evo.fitness.evaluation import six_digits
from rbflex_evo.spaces import Parameters, SearchSpace
from rbflex_evo.spaces.isolation.random_state import own_random_state
from rbflex_evo.spaces.isolation.settings import own_settings

from .metric import CostSubject, Metric

if TYPE_CHECKING:
    from torch import nn


class LatencyParameters(Parameters):
    """Parameters of the measurement.

    Attributes:
        device: Device that is timed.
        warm_up: Forwards before the first one that is timed.
        repeats: Timed forwards; their median is the latency.
    """

    device: str = "cpu"
    warm_up: int = Field(5, ge=0)
    repeats: int = Field(21, ge=1)


class Latency(Metric):
    """Median time of a forward pass of one input, measured on this machine; differs between measurements."""

    name = "latency"
    description = "milliseconds of one input's forward, the median of several measured on the named device, one thread"
    unit = "ms"
    repeatable = False
    Parameters = LatencyParameters
    parameters: LatencyParameters

    def __init__(self, parameters: LatencyParameters, space: SearchSpace) -> None:
        from rbflex_evo.fitness.passes.device import find_device

        super().__init__(parameters, space)
        self.device = find_device(parameters.device)

    def cost(self, architecture: CostSubject) -> float:
        """Measures the latency in milliseconds."""
        import torch

        network = architecture.network.to(self.device)
        images = self.space.example_inputs(1).to(self.device)
        try:
            with own_settings(), own_random_state(), torch.inference_mode():
                for _ in range(self.parameters.warm_up):
                    self._forward(network, images)
                seconds = [self._forward(network, images) for _ in range(self.parameters.repeats)]
        finally:
            architecture.network.to("cpu")
        return six_digits(1000 * statistics.median(seconds))

    def _forward(self, network: nn.Module, images: Any) -> float:
        from rbflex_evo.fitness.passes.device import wait_for

        # An accelerator computes asynchronously, so wait for it before each reading of the clock.
        wait_for(self.device)
        start = time.perf_counter()
        network(images)
        wait_for(self.device)
        return time.perf_counter() - start
