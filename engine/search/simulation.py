"""A search on workers that do not exist: the real loop with drawn scores and drawn delays, in virtual time.

    found = simulate(config, workers=500, delay=drawn_delays(0.2), evaluations=5000)
    found.per_second, found.busy

Strategy, keys, constraints, journal, snapshots and archive are the real ones, in a temporary folder. Scores are drawn from the key.
A candidate takes its delay on the worker that is free first, from the moment at which the loop gives it to the evaluator. The
clock runs with the processor time of the loop and skips the time in which the loop only waits. What a real evaluator does in the
process of the search (cache, scores from statistics) is a number of seconds for each candidate, which is added to the clock.
"""

from __future__ import annotations

import hashlib
import heapq
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from rbflex_evo.engine.configuration.assembly import Assembly
from rbflex_evo.engine.configuration.config import BudgetConfig, Config
from rbflex_evo.fitness.evaluation import Evaluation, six_digits
from rbflex_evo.spaces import Genotype

from .search import Search

# Standard deviation of the logarithm of a delay: the 98th percentile is 2.5 times the mean.
SPREAD = 0.5

Delay = Callable[[str], float]


@dataclass(frozen=True)
class Simulated:
    """Outcome of a simulated search.

    Attributes:
        evaluations: Number of evaluations.
        seconds: Virtual seconds from the first ask to the last tell.
        own_seconds: Seconds that strategy, loop and evaluator worked.
        busy: Mean number of busy workers.
        offered: Largest number of candidates that were in flight at a time.
    """

    evaluations: int
    seconds: float
    own_seconds: float
    busy: float
    offered: int

    @property
    def per_second(self) -> float:
        """Evaluations per virtual second."""
        return self.evaluations / self.seconds

    @property
    def own_share(self) -> float:
        """Share of the time in which the process of the search worked; at 1, more workers do not help."""
        return self.own_seconds / self.seconds


class Clock:
    """Seconds of processor time since the start, so that other programs do not count, and seconds that were skipped."""

    def __init__(self) -> None:
        self.skipped = 0.0
        self._started = time.process_time()

    def worked(self) -> float:
        """Returns the seconds that were not skipped."""
        return time.process_time() - self._started

    def now(self) -> float:
        """Returns the virtual time."""
        return self.worked() + self.skipped

    def wait_until(self, moment: float) -> None:
        """Skips the time until a moment."""
        self.skipped += max(0.0, moment - self.now())


class DrawnEvaluator:
    """Evaluator of a simulation; one key in 64 fails.

    Args:
        key_of: Returns the canonical key of a genotype.
        scores: Names of the scores.
        workers: Number of simulated workers.
        delay: Returns the seconds that the candidate of a key takes.
        own: Seconds that an evaluator works in the process of the search for each candidate.
    """

    def __init__(
        self, key_of: Callable[[Genotype], str], scores: Sequence[str], workers: int, delay: Delay, own: float = 0.0
    ) -> None:
        self.key = key_of
        self._own = own
        self._scores, self._delay, self._workers = list(scores), delay, workers
        self.restart()

    def restart(self) -> None:
        """Forgets what was evaluated, such as a reference sample, and begins to count time."""
        self.clock = Clock()
        self._free = [0.0] * self._workers
        self._delays = 0.0
        self._in_flight = self._offered = self._evaluated = 0

    def found(self) -> Simulated:
        """Returns the outcome so far."""
        seconds = self.clock.now()
        own = self.clock.worked() + self._evaluated * self._own
        return Simulated(self._evaluated, seconds, own, self._delays / seconds, self._offered)

    def prepare(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Does nothing."""

    def evaluate(self, pairs: Sequence[tuple[str, Genotype]]) -> Iterator[Evaluation]:
        """Gives each pair to the worker that is free first; returns evaluations that advance the clock as they are read."""
        given = self.clock.now()
        self._in_flight += len(pairs)
        self._offered = max(self._offered, self._in_flight)
        ready = []
        for key, _ in pairs:
            delay = self._delay(key)
            self._delays += delay
            ready.append(max(given, self._free[0]) + delay)
            heapq.heapreplace(self._free, ready[-1])
        return self._read(pairs, ready)

    def _read(self, pairs: Sequence[tuple[str, Genotype]], ready: Sequence[float]) -> Iterator[Evaluation]:
        for (key, genotype), moment in zip(pairs, ready, strict=True):
            self.clock.wait_until(moment)
            self.clock.skipped += self._own
            self._in_flight -= 1
            self._evaluated += 1
            yield self._drawn(key, genotype)

    def _drawn(self, key: str, genotype: Genotype) -> Evaluation:
        if int(64 * _uniform(key, b"fails")) == 0:
            return Evaluation(genotype, key, {}, dict.fromkeys(self._scores, "drawn failure"))
        return Evaluation(genotype, key, {name: six_digits(-1e6 * _uniform(key, name.encode())) for name in self._scores})

    def check_whole(self) -> None:
        """Does nothing."""

    def facts(self) -> dict[str, Any]:
        """Returns facts about the simulation."""
        return {"device": "simulated", "workers": len(self._free)}


def drawn_delays(mean: float, spread: float = SPREAD) -> Delay:
    """Returns log-normal delays that are drawn from the key.

    Args:
        mean: Mean in seconds; 0 for none.
        spread: Standard deviation of the logarithm.
    """
    # The mean of exp(X) is 1 for this mean of X.
    normal = NormalDist(-(spread**2) / 2, spread)

    def delay(key: str) -> float:
        return mean * math.exp(normal.inv_cdf(_uniform(key, b"delay"))) if mean else 0.0

    return delay


def simulate(config: Config, *, workers: int, delay: Delay, evaluations: int, own: float = 0.0) -> Simulated:
    """Runs the search of a configuration on simulated workers.

    Args:
        config: The configuration; its budget, its table and its run folder are not used.
        workers: Number of simulated workers.
        delay: Returns the seconds that the candidate of a key takes.
        evaluations: Budget of evaluations.
        own: Seconds that an evaluator works in the process of the search for each candidate.

    Raises:
        RbflexEvoError: As the search would.
    """
    with tempfile.TemporaryDirectory() as folder:
        without: dict[str, Any] = {"table": None, "scores": None, "warm_start": [], "fidelity": None}
        settings = config.model_copy(update={**without, "budget": BudgetConfig(evaluations=evaluations), "runs": folder})
        parts = Assembly(settings)
        key_of = parts.space.notation if parts.raw else parts.space.key
        evaluator = DrawnEvaluator(key_of, list(settings.fitness.proxies), workers, delay, own)
        with Search(settings, evaluator, space=parts.space, quiet=True, report=False).open() as running:
            evaluator.restart()
            while not running.finished:
                running.tell(running.evaluate(running.ask()))
            return evaluator.found()


def _uniform(key: str, purpose: bytes) -> float:
    """Returns a number between 0 and 1, both excluded, that is drawn from the key."""
    digest = hashlib.blake2b(key.encode(), digest_size=4, person=purpose[:16]).digest()
    return (int.from_bytes(digest, "big") + 0.5) / 2**32
