"""Predicted time and memory of a search, from measuring three of its candidates without the cache."""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

from rbflex_evo.engine.configuration.assembly import Assembly
from rbflex_evo.engine.configuration.config import Config
from rbflex_evo.spaces import ConfigError
from rbflex_evo.spaces.isolation.settings import own_settings

CANDIDATES = 3


@dataclass(frozen=True)
class Estimate:
    """Predicted time and memory of a search.

    Attributes:
        candidate_seconds: Median time to measure one candidate in one worker.
        preparation_seconds: Time to detect the gammas, once per search.
        workers: Number of workers.
        device: Device of the workers.
        evaluations: Budget of evaluations; None if it is not limited.
        seconds: Time of the whole search; None if the budget limits only generations.
        memory: Peak memory of all workers in bytes; None if unknown.
    """

    candidate_seconds: float
    preparation_seconds: float
    workers: int
    device: str
    evaluations: int | None
    seconds: float | None
    memory: int | None

    def as_values(self) -> dict[str, Any]:
        """Returns it as JSON data."""
        return asdict(self)


@own_settings()
def estimate(config: Config) -> Estimate:
    """Measures three random candidates as the search would.

    Raises:
        RbflexEvoError: as the search would.
    """
    if config.scores is not None:
        raise ConfigError("'scores' names a table, so nothing will be measured; leave it out to estimate a search that measures")
    parts = Assembly(config)
    _ = parts.table
    with parts.evaluator(cached=False) as evaluator:
        candidates = parts.random_pairs(evaluator.key, CANDIDATES, stream=2)
        start = time.monotonic()
        evaluator.prepare()
        preparation = time.monotonic() - start
        seconds = [evaluation.seconds for one in candidates for evaluation in evaluator.evaluate([one])]
        facts = evaluator.facts()
        device = evaluator.conditions.device.type
    workers = int(facts["workers"])
    each = statistics.median(seconds)
    return Estimate(
        candidate_seconds=each,
        preparation_seconds=preparation,
        workers=workers,
        device=str(facts["device"]),
        evaluations=config.budget.evaluations,
        seconds=_whole(config, each / workers, preparation),
        memory=_peak_memory(workers, device, evaluator.peak_memory),
    )


def _whole(config: Config, each: float, preparation: float) -> float | None:
    limits = [config.budget.seconds, None if config.budget.evaluations is None else each * config.budget.evaluations]
    known = [limit for limit in limits if limit is not None]
    return preparation + min(known) if known else None


def _peak_memory(workers: int, device: str, worker: int) -> int | None:
    """Returns bytes: on an accelerator what torch held there, else what the processes held.

    Args:
        workers: Number of workers.
        device: Type of the device.
        worker: Bytes that the largest worker process held; 0 if this process measured.
    """
    if device == "cuda":
        import torch

        # What a worker process held on the accelerator is unknown here.
        return None if worker else int(torch.cuda.max_memory_allocated())
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + workers * worker
