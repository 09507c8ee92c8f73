"""Evaluator that measures: from genotypes to scores through cache and workers.

The genotype of each key is built as the representative of the key. Statistics are read from the cache by a digest of network
and conditions. Missing statistics are measured by the workers in micro-batches and stored as they arrive, in any order. Scores
are computed from statistics, in the order of the keys. Proxies that need information about the space (HDA) are calibrated first,
outside any budget. Several calls may be under way at a time (see `arrivals`).
"""

from __future__ import annotations

import math
import pickle
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from rbflex_evo.fitness.evaluation import Evaluation, six_digits
from rbflex_evo.fitness.passes.observer import CandidateFailed, Statistics
from rbflex_evo.fitness.proxies.proxy import Proxy
from rbflex_evo.spaces import ConfigError, DeviceError, Genotype
from rbflex_evo.spaces.encodings.distinct import distinct, draws, is_small, listed
from rbflex_evo.spaces.fingerprint import Unsure, is_ours, strangers
from rbflex_evo.spaces.isolation.settings import own_settings

from .arrivals import Arrivals, Call
from .cache import CacheWarning, StatisticsCache, digest, digest_of
from .conditions import Conditions
from .executors.executor import Executor
from .fingerprint import NAME as FINGERPRINT
from .fingerprint import NetworkFingerprint, network_key
from .measurer import Measured, by_walk
from .workers import Request, Workers

FAILED = "failed"

# Scores, failures, seconds.
Scored = tuple[dict[str, float], dict[str, str], float]


class Evaluator:
    """Scores genotypes of one space. Results do not depend on micro-batch, number of workers or order.

    Args:
        conditions: Space, inputs, weights, device, precision and backend of the measurements.
        proxies: Scores by the name under which they are reported.
        workers: Number of workers; None for one per core on a CPU, one for each accelerator, and what a cluster offers. See
            `Workers` for when measuring stays in this process.
        micro_batch: Largest number of candidates in one request to a worker; None for 8 on a CPU, and for as many as fit into
            the memory of an accelerator, up to 256.
        cache: File of measured statistics; None for no cache.
        calibrations: Results of another evaluator's `prepare` by proxy; None to calibrate this one.
        timeout: Seconds after which a candidate fails; None for no limit.
        in_process: Whether to measure in this process whatever the candidates may do.
        executor: Where the workers are; None for processes of this machine.

    Raises:
        ConfigError: If a setting is wrong or a proxy refuses the space.
        DeviceError: If several workers are requested on an Apple device.
    """

    def __init__(
        self,
        conditions: Conditions,
        proxies: Mapping[str, Proxy],
        *,
        workers: int | None = None,
        micro_batch: int | None = None,
        cache: Path | None = None,
        calibrations: Mapping[str, Mapping[str, float]] | None = None,
        timeout: float | None = None,
        in_process: bool = False,
        executor: Executor | None = None,
    ) -> None:
        if timeout is not None and not 0 < timeout < math.inf:
            raise ConfigError(f"timeout must be more than 0 seconds, or None for no limit, but it is {timeout}")
        for name, count in (("workers", workers), ("micro_batch", micro_batch)):
            if count is not None and count < 1:
                raise ConfigError(f"{name} must be at least 1, or None for what suits the device, but it is {count}")
        for proxy in proxies.values():
            proxy.check(conditions.space)
        self.conditions, self.space = conditions, conditions.space
        self.proxies = {name: proxy.for_space(self.space) for name, proxy in proxies.items()}
        self.micro_batch = micro_batch or (8 if conditions.device.type == "cpu" else 256)
        self.timeout = timeout
        self.raw = any(proxy.scores_raw_network for proxy in proxies.values())
        self.calibrations: dict[str, dict[str, float]] = {}
        self.provisional: set[str] = set()
        self.counts = {"measured": 0, "from_cache": 0}
        self.cache = None if cache is None else StatisticsCache(cache)
        self._workers = Workers(
            conditions, workers, proxies=list(self.proxies.values()), timeout=timeout, in_process=in_process, executor=executor
        )
        self._arrivals = Arrivals(self._workers, self.micro_batch, 4 if conditions.device.type == "cpu" else 1)
        self._prepared = False
        # Without a key, statistics are measured again each time.
        self._common: dict[str, str | None] = {}
        self._told_unsure = False
        if calibrations is not None:
            self.recall(calibrations)

    def __enter__(self) -> Evaluator:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stops the workers, stores what they have measured and closes the cache."""
        self._workers.close()
        self._arrivals.take_rest(self._take)
        if self.cache is not None:
            self.cache.close()

    def rest(self) -> None:
        """Stops the workers until something is measured again, so that another evaluator can have their cores and devices."""
        self._workers.close()

    def key(self, genotype: Genotype) -> str:
        """Returns the canonical key of a genotype; genotypes of equal keys are measured once.

        If a proxy is of the kind ``published``, every genotype has its own key, because such scores differ within a key.
        """
        return self.space.notation(genotype) if self.raw else self.space.key(genotype)

    def network_of(self, key: str) -> Genotype:
        """Returns the genotype that is built to score a key."""
        return self.space.parse(key) if self.raw else self.space.representative(key)

    def prepare(self, progress: Callable[[int, int], None] | None = None) -> dict[str, dict[str, float]]:
        """Calibrates the proxies that need it (HDA) once and returns the results by proxy.

        The networks are distinct and are drawn from a separate random stream. A network that fails is replaced. A space that has
        fewer networks than wanted gives all of them.

        Args:
            progress: Called with (networks measured, networks wanted).
        """
        if self._prepared:
            return self.calibrations
        for name, proxy in self.proxies.items():
            # A calibration reads many networks, which only the space's name and version identify if the space is of this package.
            kept = self.cache if not strangers(self.space) and is_ours(type(proxy)) else None
            found = None if kept is None else kept.get(key := self._calibration_key(proxy))
            if found is None:
                rng = np.random.default_rng([self.conditions.weights.seed, 0x48444121])
                samples = self._sample(name, proxy, rng, progress) if proxy.calibration_networks else []
                with own_settings():
                    found = proxy.calibrate(samples, rng)
                if kept is not None and found and name not in self.provisional:
                    kept.put([(key, found)])
            if found:
                self._calibrate(name, found)
        self._prepared = True
        return self.calibrations

    def recall(self, calibrations: Mapping[str, Mapping[str, float]]) -> None:
        """Takes the results of an earlier calibration by proxy instead of a new one."""
        for name, found in calibrations.items():
            self._calibrate(name, found)
        self._prepared = True

    def _calibration_key(self, proxy: Proxy) -> str:
        return digest(self.conditions.identity(proxy) | {"calibration": proxy.calibration_identity})

    def _calibrate(self, name: str, found: Mapping[str, float]) -> None:
        self.calibrations[name] = dict(found)
        self.proxies[name] = self.proxies[name].calibrated(found)

    def _sample(
        self, name: str, proxy: Proxy, rng: np.random.Generator, progress: Callable[[int, int], None] | None
    ) -> list[Statistics]:
        wanted = proxy.calibration_networks
        samples: list[Statistics] = []
        lost = 0  # Networks that died or took too long.
        key_of = self.key if self.raw else self.space.calibration_key
        most = 1000 * wanted
        # A space whose size is at most that is used up, so that a small one gives all of its networks.
        drawn = distinct(chain(islice(draws(self.space.encoding, rng), most), listed(self.space.encoding, most)), key_of)
        while len(samples) < wanted:
            fresh = [self.key(genotype) for _, genotype in islice(drawn, wanted - len(samples))]
            if not fresh:
                if samples and is_small(self.space.encoding, most):
                    break
                raise ConfigError(
                    f"only {len(samples)} of {wanted} networks for {name}'s gammas could be measured in {self.space.name}; "
                    f"{f'set fitness.proxies.{name}.networks lower' if samples else f'set fitness.proxies.{name}.gamma'}"
                )
            for block in self._statistics(fresh, {name: proxy}):
                for measured in block:
                    if measured.failures.get(name, "").startswith("out of memory"):
                        # Another network in its place would give other gammas, and so other scores than the run's next session.
                        raise DeviceError(
                            f"a network for {name}'s gammas could not be measured ({measured.failures[name]}); "
                            "make room, or set workers: 1 or a smaller data.n"
                        )
                    if name in measured.failures and name not in measured.lasting:
                        self.provisional.add(name)
                        lost += 1
                        if lost > wanted:
                            raise ConfigError(
                                f"{name}'s gammas cannot be detected, because {lost} networks failed on this machine "
                                f"({measured.failures[name]}); raise timeout, make room, or set fitness.proxies.{name}.gamma"
                            )
                samples += [measured.statistics[name] for measured in block if name in measured.statistics]
                if progress is not None:
                    progress(len(samples), wanted)
        return samples

    def evaluate(self, pairs: Sequence[tuple[str, Genotype]], names: Collection[str] | None = None) -> Iterator[Evaluation]:
        """Begins to measure and returns one evaluation for each (key, genotype) pair, in order, as they become ready.

        Other pairs may be given before these are read. If this process measures itself, it does so when they are read.

        Args:
            pairs: Genotypes with their keys (see `rbflex_evo.fitness.evaluation.keyed`). Each key is measured once.
            names: Names of the scores to compute; None for all.

        Raises:
            ConfigError: If the evaluator has no score of one of the names.
        """
        unknown = [] if names is None else [name for name in names if name not in self.proxies]
        if unknown:
            raise ConfigError(f"this evaluator has no score {unknown[0]!r}; it has {', '.join(self.proxies)}")
        self.prepare()
        proxies = {name: proxy for name, proxy in self.proxies.items() if names is None or name in names}
        unique = list(dict(pairs))
        return self._evaluations(pairs, unique, self._statistics(unique, proxies), proxies)

    def statistics(self, keys: Sequence[str]) -> Iterator[Measured]:
        """Begins to measure distinct keys and returns their statistics, in order, as they become ready; scores are not computed."""
        return chain.from_iterable(self._statistics(keys, self.proxies))

    def traffic(self, key: str, measured: Measured) -> tuple[int, int]:
        """Returns the bytes that a candidate takes on its way to a worker and that its statistics take on their way back."""
        return len(pickle.dumps((self.network_of(key), self.proxies))), len(pickle.dumps(measured))

    def _evaluations(
        self,
        pairs: Sequence[tuple[str, Genotype]],
        unique: Sequence[str],
        blocks: Iterator[list[Measured]],
        proxies: Mapping[str, Proxy],
    ) -> Iterator[Evaluation]:
        arriving = iter(unique)
        known: dict[str, Scored] = {}
        for key, genotype in pairs:
            while key not in known:
                for scored in self._score(next(blocks), proxies):
                    known[next(arriving)] = scored
            yield Evaluation(genotype, key, *known[key])

    def _score(self, block: Sequence[Measured], proxies: Mapping[str, Proxy]) -> list[Scored]:
        """Returns scores, failures and seconds of each candidate, computed in the same way for any number of candidates."""
        with own_settings():
            return self._scored(block, proxies)

    def _scored(self, block: Sequence[Measured], proxies: Mapping[str, Proxy]) -> list[Scored]:
        scored: list[Scored] = [({}, {}, measured.seconds) for measured in block]
        for name, proxy in proxies.items():
            there = [i for i, measured in enumerate(block) if name in measured.statistics]
            values = dict(zip(there, score_block(proxy, [block[i].statistics[name] for i in there]), strict=True))
            for i, (measured, (scores, failures, _)) in enumerate(zip(block, scored, strict=True)):
                value = values.get(i, measured.failures.get(name, ""))
                if isinstance(value, str):
                    failures[name] = value
                else:
                    scores[name] = six_digits(value)
        return scored

    @property
    def workers(self) -> int:
        """Number of workers; it may change where they come and go."""
        return self._workers.count

    @property
    def pool(self) -> Workers:
        """The workers, for walks through a whole space (`whole_space.score_all`)."""
        return self._workers

    @property
    def peak_memory(self) -> int:
        """Bytes that the largest worker process held, once the workers are closed; 0 if this process measured."""
        return self._workers.peak_memory

    def planned(self) -> list[str]:
        """Returns the names of the scores that a walk of planned forwards serves, if the space plans forwards of these inputs."""
        genotype = self.network_of(self.key(self.space.encoding.sample(np.random.default_rng(0))))
        if self.raw or self.space.plan(genotype, tuple(self.conditions.batch.images.shape[1:])) is None:
            return []
        return [name for name, proxy in self.proxies.items() if by_walk(proxy)]

    def digests(self, network: str, proxies: Mapping[str, Proxy] | None = None) -> dict[str, str]:
        """Returns the cache key of each proxy's statistics for a network; statistics without a key are not kept.

        Args:
            network: What identifies the network: its notation, and for a space of another package its fingerprint.
            proxies: Scores by name; None for all.
        """
        for name, proxy in (proxies or self.proxies).items():
            if name not in self._common:
                try:
                    self._common[name] = digest(self.conditions.identity(proxy))
                except Unsure as unsure:
                    self._common[name] = None
                    self._tell_unsure(unsure)
        known = {name: self._common[name] for name in proxies or self.proxies}
        return {name: digest_of(common, network) for name, common in known.items() if common is not None}

    def _tell_unsure(self, unsure: Unsure) -> None:
        if self.cache is not None and not self._told_unsure:
            self._told_unsure = True
            warnings.warn(f"statistics are measured anew and not kept: {unsure}", CacheWarning, stacklevel=2)

    def _statistics(self, keys: Sequence[str], proxies: Mapping[str, Proxy]) -> Iterator[list[Measured]]:
        """Begins to measure; returns the cached or measured statistics of the keys, in order, in blocks as they become ready."""
        call = Call(keys, [self.network_of(key) for key in keys], proxies)
        positions = range(len(keys))
        if self.cache is None or not strangers(self.space):
            self._look_up(call, positions, [self.space.notation(genotype) for genotype in call.genotypes], self._arrivals.send)
        else:
            # Networks of another package are built by the workers to be looked up.
            looked: dict[str, Proxy] = {FINGERPRINT: NetworkFingerprint()}
            self._arrivals.send(call, positions, [(genotype, looked) for genotype in call.genotypes], self._take_fingerprints)
        return self._blocks(call)

    def _blocks(self, call: Call) -> Iterator[list[Measured]]:
        while call.read < len(call.keys):
            block = call.next_ready()
            if block:
                yield block
            else:
                self._arrivals.receive(call)

    def _look_up(self, call: Call, positions: Sequence[int], networks: Sequence[str | None], send: Callable[..., None]) -> None:
        """Reads what the cache has of candidates, and sends the rest to the workers.

        Args:
            call: The call of the candidates.
            positions: Positions of the candidates in the call.
            networks: What identifies the network of each in the cache; None for a network that is not kept.
            send: `Arrivals.send` or `Arrivals.send_next`.
        """
        missing: list[tuple[int, Request]] = []
        for position, network in zip(positions, networks, strict=True):
            call.digests[position] = {} if network is None else self.digests(network, call.proxies)
            found = call.measured[position] = self._read(call.digests[position])
            wanted = {n: p for n, p in call.proxies.items() if n not in found.statistics and n not in found.failures}
            if wanted:
                missing.append((position, (call.genotypes[position], wanted)))
            else:
                call.ready[position] = True
                self.counts["from_cache"] += 1
        send(call, [position for position, _ in missing], [request for _, request in missing], self._take)

    def _take(self, call: Call, positions: Sequence[int], arrived: Sequence[Measured]) -> None:
        """Stores measured statistics."""
        for position, measured in zip(positions, arrived, strict=True):
            self._write(call.digests[position], measured)
            call.measured[position] = _merge(call.measured[position], measured)
            call.ready[position] = True
        self.counts["measured"] += len(arrived)

    def _take_fingerprints(self, call: Call, positions: Sequence[int], arrived: Sequence[Measured]) -> None:
        """Looks up networks of another package by what their builds have in them."""
        networks: list[str | None] = []
        for position, measured in zip(positions, arrived, strict=True):
            networks.append(None)
            # A network that cannot be built fails again when it is measured, with its reason.
            if FINGERPRINT in measured.statistics:
                try:
                    networks[-1] = network_key(self.space, call.genotypes[position], measured.statistics[FINGERPRINT])
                except Unsure as unsure:
                    self._tell_unsure(unsure)
        self._look_up(call, positions, networks, self._arrivals.send_next)

    def _read(self, digests: Mapping[str, str]) -> Measured:
        statistics: dict[str, Statistics] = {}
        failures: dict[str, str] = {}
        if self.cache is not None:
            for name, key in digests.items():
                found = self.cache.get(key)
                if found is None:
                    continue
                if FAILED in found:
                    failures[name] = found[FAILED]
                else:
                    statistics[name] = found
        return Measured(statistics, failures, frozenset(failures), 0.0)

    def _write(self, digests: Mapping[str, str], measured: Measured) -> None:
        if self.cache is None:
            return
        items: list[tuple[str, Any]] = [(digests[name], found) for name, found in measured.statistics.items() if name in digests]
        items += [(digests[name], {FAILED: measured.failures[name]}) for name in measured.lasting if name in digests]
        if items:
            self.cache.put(items)

    def check_whole(self) -> None:
        """Does nothing, because every architecture can be measured."""

    def facts(self) -> dict[str, Any]:
        """Returns facts about the measurement for the report, as plain data."""
        return {
            "device": str(self.conditions.device),
            "workers": self.workers,
            "micro_batch": self.micro_batch,
            "precision": self.conditions.precision,
            "backend": self.conditions.backend,
            "inputs": self.conditions.batch.description,
            "gammas": self.calibrations,
            "cache": None if self.cache is None else str(self.cache.path),
            **self.counts,
        }


def score_block(proxy: Proxy, block: Sequence[Statistics]) -> list[float | str]:
    """Returns the score of each candidate, or the reason of its failure."""
    many = type(proxy).score_many is not Proxy.score_many
    if many and block:
        values = proxy.score_many({name: np.stack([statistics[name] for statistics in block]) for name in block[0]})
    else:
        values = np.full(len(block), np.nan)
    return [float(v) if math.isfinite(v) else _score_one(proxy, s) for v, s in zip(values, block, strict=True)]


def _score_one(proxy: Proxy, statistics: Statistics) -> float | str:
    try:
        score = proxy.score(statistics)
    except CandidateFailed as failed:
        return str(failed)
    return score if math.isfinite(score) else f"the score is {score}"


def _merge(cached: Measured | None, fresh: Measured) -> Measured:
    if cached is None:
        return fresh
    return Measured(
        {**cached.statistics, **fresh.statistics},
        {**cached.failures, **fresh.failures},
        cached.lasting | fresh.lasting,
        fresh.seconds,
    )
