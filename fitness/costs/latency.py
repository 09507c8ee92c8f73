"""Latency as a cost: measured on a device of this machine or by a command on another one."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from rbflex_evo.fitness.evaluation import six_digits
from rbflex_evo.fitness.passes.observer import CandidateFailed
from rbflex_evo.spaces import FailedError, Genotype, Parameters, SearchSpace
from rbflex_evo.spaces.encodings.distinct import draws
from rbflex_evo.spaces.isolation.random_state import own_random_state
from rbflex_evo.spaces.isolation.settings import own_settings
from rbflex_evo.spaces.parameters import refuse_without_effect

from .device_command import DeviceCommand
from .metric import CostSubject, Metric

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

# Random draws among which another network than the failing one is looked for.
OTHERS = 100


class LatencyParameters(Parameters):
    """Parameters of the measurement, on a device of this machine or by a command on another one.

    Attributes:
        device: Device that is timed.
        warm_up: Forwards before the first one that is timed.
        repeats: Timed forwards, or calls of the command (1 unless it is set); their median is the latency.
        command: Program and arguments that measure on another device, instead of `device` and `warm_up`. ``{onnx}`` or
            ``{torch}`` in an argument is replaced by the path of the network's file.
        timeout: Seconds after which a call of the command has failed.
        retries: Number of calls of the command after one that failed.
    """

    device: str = "cpu"
    warm_up: int = Field(5, ge=0)
    repeats: int = Field(21, ge=1)
    command: list[str] | None = Field(None, min_length=1)
    timeout: float = Field(60.0, gt=0)
    retries: int = Field(1, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _one_call(cls, values: Any) -> Any:
        # A command usually repeats the forward itself.
        named = isinstance(values, Mapping) and values.get("command") is not None
        return {"repeats": 1, **values} if named else values

    @model_validator(mode="after")
    def _has_an_effect(self) -> LatencyParameters:
        without, condition = (
            (("timeout", "retries"), "without a command")
            if self.command is None
            else (("device", "warm_up"), "with a command, which measures elsewhere")
        )
        for name in without:
            refuse_without_effect(self, name, condition)
        return self

    @model_serializer(mode="wrap")
    def _decisive(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leaves out what is not used, so that runs of earlier versions can be resumed, and what a resumed run may change."""
        used = ("device", "warm_up", "repeats") if self.command is None else ("command", "repeats")
        return {name: value for name, value in handler(self).items() if name in used}


class Latency(Metric):
    """Median time of a forward pass of one input, measured; differs between measurements.

    If a command fails for a network, it is called for another one, which it measured before if there is any. If that works, the
    candidate has failed; otherwise the device is gone, and the search stops with everything saved.
    """

    name = "latency"
    description = (
        "milliseconds of one input's forward, the median of several measured on the named device, one thread, or by a command"
    )
    unit = "ms"
    repeatable = False
    Parameters = LatencyParameters
    parameters: LatencyParameters

    def __init__(self, parameters: LatencyParameters, space: SearchSpace) -> None:
        super().__init__(parameters, space)
        self.singly = parameters.command is not None
        self._elsewhere: DeviceCommand | None = None
        self._answered: Genotype | None = None
        if parameters.command is not None:
            self._elsewhere = DeviceCommand(parameters.command, parameters.repeats, parameters.timeout, parameters.retries)
            return
        from rbflex_evo.fitness.passes.device import find_device

        self.device = find_device(parameters.device)

    def cost(self, architecture: CostSubject) -> float:
        """Measures the latency in milliseconds.

        Raises:
            CandidateFailed: If the command fails for this network only.
            FailedError: If the command fails for this network and for another one.
        """
        return six_digits(self._here(architecture) if self._elsewhere is None else self._by_command(architecture))

    def _by_command(self, architecture: CostSubject) -> float:
        try:
            found = self._call(architecture)
        except CandidateFailed as failed:
            self._check_device(architecture.genotype, failed)
            raise
        self._answered = architecture.genotype
        return found

    def _call(self, architecture: CostSubject) -> float:
        assert self._elsewhere is not None
        with own_settings(), own_random_state():
            return self._elsewhere.milliseconds(architecture.network, self.space.example_inputs(1))

    def _check_device(self, failing: Genotype, failed: CandidateFailed) -> None:
        """Measures another network, to tell a network that fails from a device that is gone."""
        other, which = self._answered, "one that was measured before"
        if other is None:
            drawn = draws(self.space.encoding, np.random.default_rng(0))
            key = self.space.key(failing)
            unlike = (genotype for genotype in islice(drawn, OTHERS) if self.space.key(genotype) != key)
            other, which = next(unlike, None), "another one"
        if other is None:
            return
        try:
            self._call(CostSubject(self.space, self.space.representative(self.space.key(other))))
        except CandidateFailed as again:
            why = f"{failed}" if str(again) == str(failed) else f"{failed}; then {again}"
            raise FailedError(
                f"the latency of a network could not be measured, nor that of {which}: {why}\n"
                "everything is saved; go on with the same command when the device answers again"
            ) from None

    def _here(self, architecture: CostSubject) -> float:
        parameters = self.parameters
        network = architecture.network.to(self.device)
        try:
            times = forward_times(network, self.space.example_inputs(1), self.device, parameters.warm_up, parameters.repeats)
        finally:
            architecture.network.to("cpu")
        return statistics.median(times)


def forward_times(
    network: nn.Module,
    inputs: Tensor,
    device: torch.device,
    warm_up: int,
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Returns the milliseconds of forward passes of a network in evaluation mode, on one thread.

    Args:
        network: Network on `device`.
        inputs: What it reads, on any device.
        device: Device that is timed.
        warm_up: Forwards before the first one that is timed.
        repeats: Timed forwards.
        clock: Returns seconds.
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
            start = clock()
            network(given)
            wait_for(device)
            times.append(1000 * (clock() - start))
    return times
