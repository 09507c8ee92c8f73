"""Times of the operations of a network, each within a forward pass, in the order in which `recorded` lists them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rbflex_evo.fitness.passes.recorded import computes, tensors_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


def operation_times(
    network: nn.Module,
    inputs: Tensor,
    device: torch.device,
    warm_up: int,
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> list[tuple[str, float]]:
    """Returns the name and the median milliseconds of every operation of a network in evaluation mode, in order.

    Args:
        network: Network on `device`.
        inputs: What it reads, on any device.
        device: Device that is timed.
        warm_up: Forwards before the first one that is timed.
        repeats: Timed forwards.
        clock: Returns seconds.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    from rbflex_evo.fitness.passes.device import wait_for
    from rbflex_evo.fitness.passes.watch import Rewired, evaluation_mode, serving
    from rbflex_evo.spaces.isolation.random_state import own_random_state
    from rbflex_evo.spaces.isolation.settings import own_settings

    class Stopwatch(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __init__(self) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.times: list[tuple[str, float]] = []

        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            # As in `recorded`.
            return False

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            named = kwargs or {}
            wait_for(device)
            start = clock()
            results = func(*args, **named)
            wait_for(device)
            taken = 1000 * (clock() - start)
            name = func.overloadpacket.__name__
            if computes(name, tensors_of((args, named)), tensors_of(results)):
                self.times.append((name, taken))
            return results

    given = inputs.to(device)
    runs: list[list[tuple[str, float]]] = []
    with own_settings(), own_random_state(), torch.no_grad(), evaluation_mode(network), serving({}), Rewired({}, {}):
        for repeat in range(warm_up + repeats):
            with Stopwatch() as stopwatch:
                network(given)
            if repeat >= warm_up:
                runs.append(stopwatch.times)
    return [(row[0][0], statistics.median(taken for _, taken in row)) for row in zip(*runs, strict=True)]
