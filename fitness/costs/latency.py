"""Latency as a cost, measured on a device of this machine."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from pydantic import Field

from rbflex_evo.fitness.evaluation import six_digits
from rbflex_evo.spaces import Parameters, SearchSpace
from rbflex_evo.spaces.isolation.random_state import own_random_state
from rbflex_evo.spaces.isolation.settings import own_settings

from .metric import CostSubject, Metric

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


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
        parameters = self.parameters
        network = architecture.network.to(self.device)
        try:
            times = forward_times(network, self.space.example_inputs(1), self.device, parameters.warm_up, parameters.repeats)
        finally:
            architecture.network.to("cpu")
        return six_digits(statistics.median(times))


def forward_times(network: nn.Module, inputs: Tensor, device: torch.device, warm_up: int, repeats: int) -> list[float]:
    """Returns the milliseconds of forward passes of a network in evaluation mode, on one thread.

    Args:
        network: Network on `device`.
        inputs: What it reads, on any device.
        device: Device that is timed.
        warm_up: Forwards before the first one that is timed.
        repeats: Timed forwards.
    """
    import torch

    from rbflex_evo.fitness.passes.device import wait_for

    given = inputs.to(device)
    times = []
    with own_settings(), own_random_state(), torch.inference_mode():
        for _ in range(warm_up):
            network(given)
        for _ in range(repeats):
            # An accelerator computes asynchronously, so wait for it before each reading of the clock.
            wait_for(device)
            start = time.perf_counter()
            network(given)
            wait_for(device)
            times.append(1000 * (time.perf_counter() - start))
    return times
