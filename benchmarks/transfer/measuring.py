"""Measures scores of every setting's sample in several processes, in chunks that take the settings in turn.

Statistics go through the library's `Evaluator` into its cache as they are measured, so a stopped command resumes where it was, and
all settings are equally far whenever it stops. Nothing here reads an accuracy.

A score that raises anything but a failure of one network is left out of that setting from then on, with the reason, and the others
go on.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rbflex_evo.fitness import WeightParameters, create_proxy
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.evaluation import keyed
from rbflex_evo.fitness.measuring.cache import default_path
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import Evaluator
from rbflex_evo.fitness.measuring.executors.executor import ProcessDied
from rbflex_evo.fitness.measuring.executors.processes import Processes
from rbflex_evo.fitness.passes.observer import Statistics
from rbflex_evo.fitness.proxies.proxy import Proxy
from rbflex_evo.spaces import ConfigError, Genotype

from .settings import SETTINGS

# Networks of a chunk: about ten seconds of all scores.
CHUNK = 8


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        folder: Folder of known accuracies and images.
        scores: Registered name and parameters of each score by its label.
        quick: Whether spaces have the size of a smoke test.
        cache: File of measured statistics.
        images: Number of inputs, of which a smoke test has 4.
        noise: Whether the inputs are noise in place of images.
    """

    folder: Path
    scores: Mapping[str, tuple[str, Mapping[str, Any]]]
    quick: bool = False
    cache: Path | None = field(default_factory=default_path)
    images: int = 16
    noise: bool = False

    @property
    def inputs(self) -> int:
        """Number of inputs of a measurement."""
        return 4 if self.quick else self.images


@dataclass(frozen=True)
class Chunk:
    """Networks of one setting that are measured with one seed of the weights; `start` is the place of the first in the sample."""

    setting: str
    seed: int
    start: int
    genotypes: tuple[Genotype, ...]


@dataclass(frozen=True)
class Scored:
    """Scores and reasons of failures by label, for each network of a chunk, and the seconds that measuring took."""

    values: list[dict[str, float]]
    failures: list[dict[str, str]]
    seconds: list[float]


class Session:
    """Evaluators of one process, by setting and seed of the weights.

    Args:
        plan: What is measured.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.refused: dict[str, dict[str, str]] = {}
        self._evaluators: dict[tuple[str, int], list[Evaluator]] = {}
        self._batches: dict[str, Batch] = {}

    def close(self) -> None:
        """Closes the evaluators."""
        for found in self._evaluators.values():
            for evaluator in found:
                evaluator.close()
        self._evaluators.clear()

    def score(self, chunk: Chunk) -> Scored:
        """Returns the scores of a chunk; statistics that are in the cache are not measured again."""
        self._load(chunk.setting)
        try:
            scored = self._score(chunk)
        except Exception:
            self._find_the_raising(chunk)
            scored = self._score(chunk)
        for failures in scored.failures:
            failures |= self.refused[chunk.setting]
        return scored

    def statistics(self, chunk: Chunk, label: str) -> list[Statistics | None]:
        """Returns the cached statistics of a score, such as the eigenvalues of `layered`, None where there are none.

        Args:
            chunk: Networks of the chunk.
            label: Label of the score in the plan.
        """
        self._load(chunk.setting)
        evaluator = next(each for each in self._of(chunk.setting, chunk.seed) if label in each.proxies)
        networks = [evaluator.space.notation(evaluator.network_of(evaluator.key(genotype))) for genotype in chunk.genotypes]
        known = [evaluator._read(evaluator.digests(network, {label: evaluator.proxies[label]})) for network in networks]
        return [found.statistics.get(label) for found in known]

    def _load(self, setting: str) -> None:
        """Reads the inputs of a setting. If they are missing, the command ends, unlike with a score that raises."""
        if setting not in self._batches:
            self._batches[setting] = SETTINGS[setting].batch(self.plan.folder, self.plan.inputs, self.plan.noise)

    def _score(self, chunk: Chunk) -> Scored:
        count = len(chunk.genotypes)
        scored = Scored([{} for _ in range(count)], [{} for _ in range(count)], [0.0] * count)
        for evaluator in self._of(chunk.setting, chunk.seed):
            for i, one in enumerate(evaluator.evaluate(keyed(evaluator, chunk.genotypes))):
                scored.values[i].update(one.scores)
                scored.failures[i].update(one.failures)
                scored.seconds[i] += one.seconds
        return scored

    def _of(self, setting: str, seed: int) -> list[Evaluator]:
        """Returns one evaluator for scores of representatives and one for scores of raw networks, as far as there are any."""
        if (setting, seed) not in self._evaluators:
            proxies = self._served(setting)
            kinds = [{n: p for n, p in proxies.items() if p.scores_raw_network == raw} for raw in (False, True)]
            self._evaluators[setting, seed] = [self._evaluator(setting, seed, kind) for kind in kinds if kind]
        return self._evaluators[setting, seed]

    def _served(self, setting: str) -> dict[str, Proxy]:
        """Returns the scores that the setting's space serves, and keeps the reasons of the others."""
        space = SETTINGS[setting].create(self.plan.quick)
        refused = self.refused.setdefault(setting, {})
        served = {}
        for label, (name, parameters) in self.plan.scores.items():
            if label not in refused:
                proxy = create_proxy(name, **parameters)
                try:
                    proxy.check(space)
                except ConfigError as error:
                    refused[label] = f"refused: {error}"
                else:
                    served[label] = proxy
        return served

    def _evaluator(self, setting: str, seed: int, proxies: Mapping[str, Proxy]) -> Evaluator:
        space, batch = SETTINGS[setting].create(self.plan.quick), self._batches[setting]
        conditions = Conditions.of(space, batch, weights=WeightParameters(seed=seed), device="cpu")
        evaluator = Evaluator(conditions, proxies, workers=1, cache=self.plan.cache, in_process=True)
        evaluator.prepare()
        return evaluator

    def _find_the_raising(self, chunk: Chunk) -> None:
        """Refuses the scores that raise on a chunk when they are measured alone."""
        for evaluator in self._evaluators.pop((chunk.setting, chunk.seed), []):
            evaluator.close()
        for label, proxy in self._served(chunk.setting).items():
            try:
                with contextlib.closing(self._evaluator(chunk.setting, chunk.seed, {label: proxy})) as evaluator:
                    list(evaluator.evaluate(keyed(evaluator, chunk.genotypes)))
            except Exception as error:
                self.refused[chunk.setting][label] = f"raised {type(error).__name__}: {error}"


_session: Session | None = None


def _start(plan: Plan) -> None:
    """Begins the session of a worker process."""
    global _session
    _session = Session(plan)


def _score(chunk: Chunk) -> Scored:
    assert _session is not None
    return _session.score(chunk)


def chunks(samples: Mapping[str, Sequence[Genotype]], seeds: Sequence[int], size: int = CHUNK) -> Iterator[Chunk]:
    """Yields the chunks of all settings in turn, all of them with the first seed before the second.

    Args:
        samples: Networks by setting.
        seeds: Seeds of the weights.
        size: Networks of a chunk.
    """
    longest = max(map(len, samples.values()), default=0)
    for seed in seeds:
        for start in range(0, longest, size):
            for setting, genotypes in samples.items():
                if genotypes[start : start + size]:
                    yield Chunk(setting, seed, start, tuple(genotypes[start : start + size]))


def measured(
    plan: Plan, wanted: Iterator[Chunk], workers: int, until: float = float("inf"), clock: Callable[[], float] = time.monotonic
) -> Iterator[tuple[Chunk, Scored]]:
    """Yields scored chunks as they become ready.

    Args:
        plan: What is measured.
        wanted: Chunks in order.
        workers: Number of processes; one measures in this process.
        until: Time of the clock after which no chunk is begun.
        clock: Returns the time in seconds.
    """
    if workers == 1:
        with contextlib.closing(Session(plan)) as session:
            for chunk in wanted:
                if clock() >= until:
                    return
                yield chunk, session.score(chunk)
        return
    with Processes(_start, plan) as processes, ThreadPoolExecutor(workers) as threads:
        running: dict[Future[Scored], Chunk] = {}
        try:
            while True:
                while len(running) < 2 * workers and clock() < until and (chunk := next(wanted, None)) is not None:
                    running[threads.submit(_call, processes, chunk)] = chunk
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), future.result()
        finally:
            for future in running:
                future.cancel()
            processes.close()


def _call(processes: Processes, chunk: Chunk) -> Scored:
    """Returns the scores of a chunk. If its process dies, each network is measured alone, and one that kills its process fails."""
    try:
        found: Scored = processes.call(_score, chunk)
        return found
    except ProcessDied:
        alone = Scored([], [], [])
        for genotype in chunk.genotypes:
            try:
                one: Scored = processes.call(_score, Chunk(chunk.setting, chunk.seed, chunk.start, (genotype,)))
            except ProcessDied as died:
                one = Scored([{}], [{"every score": f"killed its process: {died}"}], [0.0])
            alone.values.extend(one.values)
            alone.failures.extend(one.failures)
            alone.seconds.extend(one.seconds)
        return alone
