"""Measurement of the statistics of a few candidates on one device.

Scores that observe the activations of each input use the planned forward if the space has one. Other scores use the built network.
Both run one candidate at a time on a CPU, and several at once on an accelerator. Scores that observe the same activations share one
forward pass. Worker processes run this module; caches, keys and ranks are handled elsewhere.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rbflex_evo.fitness.data.inputs import placed
from rbflex_evo.fitness.passes.chains.shared_forward import SharedForward
from rbflex_evo.fitness.passes.chains.stacked_forward import StackedForward, stackable
from rbflex_evo.fitness.passes.device import PRECISIONS, Capacity, is_out_of_memory, keep_freed_memory, runs_together
from rbflex_evo.fitness.passes.observer import CandidateFailed, Observer, Statistics
from rbflex_evo.fitness.passes.subject import Subject
from rbflex_evo.fitness.passes.watch import reads_channels
from rbflex_evo.fitness.planned.backends import create_backend
from rbflex_evo.fitness.planned.interpreter import Interpreter
from rbflex_evo.fitness.planned.prefix import walk
from rbflex_evo.fitness.proxies.proxy import ForwardKind, Proxy
from rbflex_evo.spaces import ConfigError, Genotype, RbflexEvoError, SearchSpace
from rbflex_evo.spaces.architecture.chain import chain_of
from rbflex_evo.spaces.architecture.plan import Combine, Plan

from .conditions import Conditions

# The forwards that plans describe; scores of the first kind also walk a whole space.
WALKED = ForwardKind("image", "activations")
PLANNED = (WALKED, ForwardKind("batch", "activations"))


class MeasurementError(RuntimeError):
    """Unexpected error in the code of a space or a score, with the candidate; unlike `CandidateFailed`, it ends a run."""


@dataclass(frozen=True)
class Measured:
    """Statistics and failures of one candidate.

    Attributes:
        statistics: Statistics by proxy.
        failures: Reason by proxy, for proxies without statistics.
        lasting: Names in `failures` that would fail again on any machine, unlike running out of memory.
        seconds: Duration of the measurement.
    """

    statistics: Mapping[str, Statistics]
    failures: Mapping[str, str]
    lasting: frozenset[str]
    seconds: float


class Measurer:
    """Measures genotypes under fixed conditions.

    Args:
        conditions: Space, inputs, weights, device, precision and backend.

    Attributes:
        together: Whether candidates of one call are computed side by side. Statistics are the same up to round-off.
    """

    def __init__(self, conditions: Conditions) -> None:
        device = conditions.device
        self.together = runs_together(device)
        self.space = conditions.space
        self.lean = getattr(self.space.lean, "__func__", None) is not SearchSpace.lean
        self.weights = conditions.weights
        # Copies, which record gradients even if the batch was made in inference mode.
        batch = conditions.batch
        self.labels = None if batch.labels is None else batch.labels.clone()
        self.device = device
        self.dtype, self.convolutions = PRECISIONS[conditions.precision]
        self.images = placed(batch.images.clone(), device, self.dtype)
        if device.type == "cpu":
            keep_freed_memory()
        self.interpreter = Interpreter(
            self.weights,
            self.space.weight_shapes(),
            device,
            self.dtype,
            create_backend(conditions.backend, device, self.dtype, self.convolutions),
        )
        self.capacity = Capacity(device)

    def measure(self, requests: Sequence[tuple[Genotype, Mapping[str, Proxy]]]) -> list[Measured]:
        """Returns the statistics of each genotype for its proxies, in order.

        The candidates are computed together as far as the memory of the device allows.

        Args:
            requests: Genotypes with the proxies to measure, by name.

        Raises:
            MeasurementError: If the code of a space or a proxy raises an error that is not of this package.
        """
        results: list[Measured] = []
        while len(results) < len(requests):
            count = self.capacity.of(len(requests) - len(results))
            tile = requests[len(results) : len(results) + count]
            try:
                results += self._measure_tile(tile)
                self.capacity.fitted(count)
            except RbflexEvoError:
                raise
            except Exception as error:
                if not is_out_of_memory(error):
                    self._blame(error, tile)
                    raise
                if not self.capacity.ran_out(count):
                    reason = f"out of memory on {self.device.type}"
                    results.append(Measured({}, dict.fromkeys(tile[0][1], reason), frozenset(), 0.0))
        return results

    def _blame(self, error: Exception, tile: Sequence[tuple[Genotype, Mapping[str, Proxy]]]) -> None:
        """Raises `MeasurementError` with the candidate that caused the error; measures several candidates one by one to find it."""
        if len(tile) > 1:
            for request in tile:
                self.measure([request])
            return
        which = f"{self.space.notation(tile[0][0])} of {self.space.name}"
        raise MeasurementError(f"{which}: {type(error).__name__}: {error}") from error

    def _measure_tile(self, tile: Sequence[tuple[Genotype, Mapping[str, Proxy]]]) -> list[Measured]:
        started = time.perf_counter()
        observed = self._run_plans(tile)
        # Candidates that run side by side are held in memory together, others one after another.
        subjects = {i: self._subject(*tile[i], observed[i]) for i in range(len(tile))} if self.together else {}
        self._run_stacked(tile, observed, subjects)
        finished: dict[int, tuple[dict[str, Statistics], dict[str, str]]] = {}
        for i, done, failures in self._run_built(tile, observed, subjects):
            finished[i] = self._finish(tile[i], done, failures)
        seconds = (time.perf_counter() - started) / len(tile)
        return [Measured(*finished[i], frozenset(finished[i][1]), seconds) for i in range(len(tile))]

    def walk(self, genotypes: Sequence[Genotype], proxies: Mapping[str, Proxy]) -> list[Measured]:
        """Measures genotypes in order and reuses the steps that consecutive plans have in common (see `prefix`).

        Raises:
            ConfigError: If the space plans no forward for a genotype, or a proxy needs more than a planned forward.
        """
        results = []
        started = time.perf_counter()
        own = [name for name, proxy in proxies.items() if not by_walk(proxy)]
        if own:
            raise ConfigError(f"{', '.join(own)} needs more than a planned forward and no plan gives it; measure one by one")
        walked = walk(self.interpreter, self._plans(genotypes), self.images, [proxy.observer() for proxy in proxies.values()])
        for genotype, observers in zip(genotypes, walked, strict=True):
            statistics, failures = self._finish((genotype, proxies), dict(zip(proxies, observers, strict=True)), {})
            now = time.perf_counter()
            results.append(Measured(statistics, failures, frozenset(failures), now - started))
            started = now
        return results

    def _plans(self, genotypes: Sequence[Genotype]) -> Iterator[Plan]:
        shape = tuple(self.images.shape[1:])
        for genotype in genotypes:
            plan = self.space.plan(genotype, shape)
            if plan is None:
                raise ConfigError(f"{self.space.name} has no plan for inputs like {list(shape)}; measure one by one")
            yield plan

    def _run_plans(self, tile: Sequence[tuple[Genotype, Mapping[str, Proxy]]]) -> list[dict[str, Observer]]:
        """Runs planned forwards; returns the observers of each candidate that they served."""
        shape = tuple(self.images.shape[1:])
        results: list[dict[str, Observer]] = []
        planned: dict[ForwardKind, list[tuple[Plan, list[Observer]]]] = {kind: [] for kind in PLANNED}
        for genotype, proxies in tile:
            served = {name: proxy.observer() for name, proxy in proxies.items() if by_plan(proxy)}
            plan = self.space.plan(genotype, shape) if served else None
            if plan is not None and _has_single_pixels(plan):
                served = {name: one for name, one in served.items() if proxies[name].statistics_of == "image"}
            results.append({} if plan is None else served)
            for kind, forwards in planned.items():
                own = [observer for name, observer in served.items() if proxies[name].forward_kind == kind]
                if plan is not None and own:
                    forwards.append((plan, own))
        for kind, forwards in planned.items():
            # One candidate fits into the cache of a CPU; an accelerator computes all of them in the same kernel launches.
            together = max(1, len(forwards)) if self.together else 1
            for start in range(0, len(forwards), together):
                plans, observers = zip(*forwards[start : start + together], strict=True)
                self.interpreter.run(plans, self.images, observers, kind.statistics_of)
        return results

    def _run_stacked(
        self,
        tile: Sequence[tuple[Genotype, Mapping[str, Proxy]]],
        observed: Sequence[dict[str, Observer]],
        subjects: Mapping[int, Subject | None],
    ) -> None:
        """Runs built networks that are chains of stages side by side, and adds their observers to those of each candidate."""
        groups: dict[tuple[ForwardKind, tuple[tuple[str, Proxy], ...]], list[int]] = {}
        for i, subject in subjects.items():
            forwards = _forwards(tile[i][1], observed[i])
            if subject is not None and forwards and _unbuilt(subject) is None and stackable(subject.network):
                for kind, group in forwards.items():
                    # The repair of a forward is that of one network.
                    if kind.repair is None:
                        groups.setdefault((kind, tuple(group.items())), []).append(i)
        for (kind, watching), members in groups.items():
            if len(members) > 1:
                own = [{name: proxy.observer() for name, proxy in watching} for _ in members]
                chosen = [subject for i in members if (subject := subjects[i]) is not None]
                networks = [subject.network for subject in chosen]
                reads_blocks = any(observer.reads_blocks for observer in own[0].values())
                blocks = [self.space.blocks(network) for network in networks] if reads_blocks else []
                forward = StackedForward(self.images, kind.statistics_of, kind.layers, self.convolutions, self.interpreter.backend)
                # If one of them fails, each runs alone, and the one that fails tells its reason.
                with contextlib.suppress(CandidateFailed):
                    classifiers = [subject.classifier for subject in chosen]
                    forward.run(networks, classifiers, [list(observers.values()) for observers in own], blocks)
                    for i, observers in zip(members, own, strict=True):
                        observed[i] |= observers

    def _run_built(
        self,
        tile: Sequence[tuple[Genotype, Mapping[str, Proxy]]],
        observed: Sequence[Mapping[str, Observer]],
        subjects: dict[int, Subject | None],
    ) -> Iterator[tuple[int, dict[str, Observer | Statistics], dict[str, str]]]:
        """Measures on the built network what is not observed yet; yields position, results and failures of each candidate.

        Candidates are sorted by genotype, because consecutive networks share the computation of their common beginning.
        """
        shared: dict[tuple[tuple[str, Proxy], ...], SharedForward] = {}
        ordered = sorted(range(len(tile)), key=lambda i: tile[i][0])
        # Each one is dropped after its turn.
        remaining = (subjects.pop(i) if i in subjects else self._subject(*tile[i], observed[i]) for i in ordered)
        following = next(remaining)
        for i in ordered:
            subject, following = following, next(remaining, None)
            done: dict[str, Observer | Statistics] = dict(observed[i])
            failures: dict[str, str] = {}
            if subject is None:
                yield i, done, failures
                continue
            forwards = _forwards(tile[i][1], observed[i])
            # Backward passes come first, because other scores can read what they have measured.
            for name, proxy in sorted(tile[i][1].items(), key=lambda item: item[1].cost != "backward"):
                if name in done or proxy.needs == "forward":
                    continue
                try:
                    with self.interpreter.backend.functions(self.lean):
                        done[name] = proxy.measure(subject)
                except CandidateFailed as failed:
                    failures[name] = str(failed)
            reason = _unbuilt(subject) if forwards else None
            if reason is not None:
                failures |= {name: reason for group in forwards.values() for name in group}
                yield i, done, failures
                continue
            chained = bool(forwards) and hasattr(subject.network, "as_stages")
            shares = chained and following is not None and _unbuilt(following) is None
            ahead = [stage.identity for stage in chain_of(following.network)] if following and shares else ()
            pending = list(forwards.items())
            while pending:
                kind, group = pending.pop(0)
                watching = tuple(group.items())
                if watching not in shared:
                    observers = {name: proxy.observer() for name, proxy in group.items()}
                    shared[watching] = SharedForward(
                        observers,
                        self.images,
                        kind.statistics_of,
                        kind.layers,
                        self.convolutions,
                        kind.repair,
                        self.weights.seed,
                        self.interpreter.backend,
                    )
                forward = shared[watching]
                blocks = self.space.blocks(subject.network) if forward.reads_blocks else ()
                try:
                    done |= forward.run(subject.network, subject.classifier, ahead, blocks)
                except CandidateFailed as failed:
                    # Blocks or channels that cannot be read are no failure of the scores that do not read them.
                    others = {n: p for n, p in group.items() if not reads_channels(p.observer())}
                    others = others if len(others) < len(group) else {}
                    failures |= {name: str(failed) for name in group if name not in others}
                    pending += [(kind, others)] if others else []
            yield i, done, failures

    def _subject(self, genotype: Genotype, proxies: Mapping[str, Proxy], served: Mapping[str, Observer]) -> Subject | None:
        """Returns the subject of the remaining proxies, or None if planned forwards served all of them."""
        if set(proxies) <= set(served):
            return None
        return Subject(self.space, genotype, self.images, self.labels, self.weights, self.dtype)

    def _finish(
        self,
        request: tuple[Genotype, Mapping[str, Proxy]],
        done: Mapping[str, Observer | Statistics],
        failures: dict[str, str],
    ) -> tuple[dict[str, Statistics], dict[str, str]]:
        genotype, proxies = request
        statistics: dict[str, Statistics] = {}
        for name, found in done.items():
            try:
                if isinstance(found, Observer):
                    statistics[name] = {**found.finish(), **proxies[name].facts(self.space, genotype)}
                else:
                    statistics[name] = found
            except CandidateFailed as failed:
                failures[name] = str(failed)
        return {name: {k: np.asarray(v) for k, v in arrays.items()} for name, arrays in statistics.items()}, failures


def _forwards(proxies: Mapping[str, Proxy], observed: Mapping[str, Observer]) -> dict[ForwardKind, dict[str, Proxy]]:
    """Returns the scores that a forward has yet to serve, by the kind of the forward."""
    forwards: dict[ForwardKind, dict[str, Proxy]] = {}
    for name, proxy in proxies.items():
        if proxy.needs == "forward" and name not in observed:
            forwards.setdefault(proxy.forward_kind, {})[name] = proxy
    return forwards


def _unbuilt(subject: Subject) -> str | None:
    """Returns why the network of a candidate cannot be built, or None if it can."""
    try:
        subject.network  # noqa: B018 (built on first use)
    except CandidateFailed as failed:
        return str(failed)
    return None


def by_plan(proxy: Proxy) -> bool:
    """Returns True if a planned forward can serve the score."""
    return proxy.needs == "forward" and proxy.forward_kind in PLANNED


def by_walk(proxy: Proxy) -> bool:
    """Returns True if a walk of planned forwards can serve the score (`Measurer.walk`)."""
    return proxy.needs == "forward" and proxy.forward_kind == WALKED


def _has_single_pixels(plan: Plan) -> bool:
    """Returns whether a plan has maps of one pixel, which it does not normalise: an image has no statistics of one, a batch has."""
    return any(isinstance(step, Combine) and step.shape[1] * step.shape[2] == 1 for step in plan.steps)
