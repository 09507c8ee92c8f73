"""Predicted time and memory of a search, from measuring three of its candidates without the cache.

If the configuration names a number of workers, the search is also simulated on that many (see `simulation`), which says how many of
them the strategy keeps busy, what the process of the search does itself, and how many bytes travel.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

from rbflex_evo.engine.configuration.assembly import Assembly
from rbflex_evo.engine.configuration.config import Config
from rbflex_evo.engine.configuration.unset import settled
from rbflex_evo.spaces import ConfigError
from rbflex_evo.spaces.isolation.settings import own_settings

from .simulation import drawn_delays, simulate

CANDIDATES = 3
# A simulated search: this many evaluations for each worker within these bounds, since its beginning and its end keep few busy.
SIMULATED = 20
LEAST_SIMULATED, MOST_SIMULATED = 500, 10_000


@dataclass(frozen=True)
class Fleet:
    """What a strategy can do with many workers, from a simulated search.

    Attributes:
        offered: Largest number of candidates that the strategy offers at a time.
        busy: Mean number of busy workers.
        own_seconds: Seconds that strategy and loop work for each candidate.
        per_second: Evaluations per second.
        sent: Bytes that a candidate takes on its way to a worker.
        returned: Bytes that its statistics take on their way back.
    """

    offered: int
    busy: float
    own_seconds: float
    per_second: float
    sent: int
    returned: int


@dataclass(frozen=True)
class Rescoring:
    """Predicted time of the last step of a search in a cheaper form, which comes on top of the budget.

    Attributes:
        candidates: Number of candidates that are scored again in full.
        candidate_seconds: Median time to measure one of them in one worker.
        preparation_seconds: Time to detect the gammas of the full form, once.
        seconds: Time of the step.
    """

    candidates: int
    candidate_seconds: float
    preparation_seconds: float
    seconds: float


@dataclass(frozen=True)
class Measured:
    """What measuring three candidates in one form showed.

    Attributes:
        each: Median seconds of a candidate.
        preparation: Seconds to detect the gammas.
        traffic: Bytes of a candidate on its way to a worker and of its statistics on their way back.
        facts: Facts of the evaluator.
        device: Type of the device.
        peak_memory: Bytes that the largest worker process held; 0 if this process measured.
    """

    each: float
    preparation: float
    traffic: tuple[int, int]
    facts: dict[str, Any]
    device: str
    peak_memory: int


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
        fleet: What the strategy does with the workers; None if the configuration names no number of workers above 1.
        rescoring: What scoring the best again in full adds; None if the search scores in full.
    """

    candidate_seconds: float
    preparation_seconds: float
    workers: int
    device: str
    evaluations: int | None
    seconds: float | None
    memory: int | None
    fleet: Fleet | None
    rescoring: Rescoring | None = None

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
    config = settled(config, parts.space)
    # A file of known accuracies or of costs that is missing or does not fit is said before anything is measured.
    _ = parts.table
    parts.book()
    found = _measured(parts, parts.cheap)
    workers = int(found.facts["workers"]) if config.workers == "auto" else config.workers
    several = workers > 1 and (config.workers != "auto" or config.executor.name != "local")
    fleet = _fleet(config, workers, found.each, *found.traffic) if several else None
    memory = _peak_memory(workers, found.device, found.peak_memory)
    return Estimate(
        candidate_seconds=found.each,
        preparation_seconds=found.preparation,
        workers=workers,
        device=str(found.facts["device"]),
        evaluations=config.budget.evaluations,
        seconds=_whole(config, found.each / workers if fleet is None else 1 / fleet.per_second, found.preparation),
        memory=memory,
        fleet=fleet,
        rescoring=_rescoring(config, parts, workers),
    )


def _rescoring(config: Config, parts: Assembly, workers: int) -> Rescoring | None:
    if config.fidelity is None:
        return None
    found = _measured(parts, parts)
    count = min(config.fidelity.rescore, config.budget.evaluations or config.fidelity.rescore)
    return Rescoring(count, found.each, found.preparation, found.preparation + count * found.each / workers)


def _measured(parts: Assembly, form: Assembly) -> Measured:
    """Measures three random candidates of a search in one form."""
    with _measuring(parts.config, form).evaluator(cached=False) as evaluator:
        keys = [key for key, _ in parts.random_pairs(evaluator.key, CANDIDATES, stream=2)]
        start = time.monotonic()
        evaluator.prepare()
        preparation = time.monotonic() - start
        measured = {key: next(evaluator.statistics([key])) for key in keys}
        traffic = [evaluator.traffic(key, found) for key, found in measured.items()]
        facts = evaluator.facts()
        device = evaluator.conditions.device.type
    sent, returned = (max(column) for column in zip(*traffic, strict=True))
    each = statistics.median(found.seconds for found in measured.values())
    return Measured(each, preparation, (sent, returned), facts, device, evaluator.peak_memory)


def _measuring(config: Config, parts: Assembly) -> Assembly:
    """Returns what measures the candidates, one after another: it starts one worker elsewhere, not as many as the search would."""
    if parts.executor.here or config.workers == "auto":
        return parts
    return Assembly(parts.config.model_copy(update={"workers": 1}))


def _fleet(config: Config, workers: int, each: float, sent: int, returned: int) -> Fleet:
    """Simulates the search on that many workers with delays around that of the measured candidates."""
    wanted = min(max(LEAST_SIMULATED, SIMULATED * workers), MOST_SIMULATED)
    evaluations = min(wanted, config.budget.evaluations or wanted)
    found = simulate(config, workers=workers, delay=drawn_delays(each), evaluations=evaluations)
    return Fleet(found.offered, found.busy, found.own_seconds / max(1, found.evaluations), found.per_second, sent, returned)


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
