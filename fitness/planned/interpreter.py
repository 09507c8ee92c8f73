"""Runs plans: the forward of one candidate, or of several of equal weights in shared calls, without building a network.

    for each place of the skeleton, over all candidates:
        steps of one kind are one group; what several candidates feed it in common (one tensor) is computed once,
        the rest is laid side by side along the image dimension and computed in one call
        what observers are shown is reduced for all of the group at once and told to each candidate's own observers

A single candidate is run step by step and nothing is copied: the form for a CPU, where one candidate stays in cache; what it begins
with in common with the ones before is not computed again (`opening`). Candidates side by side are the form for an accelerator,
where launches cost more than arithmetic. Rows are independent, so both give equal statistics but for round-off.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from rbflex_evo.fitness.passes.byte_cache import ByteCache
from rbflex_evo.fitness.passes.observer import Observer
from rbflex_evo.fitness.passes.weights import WeightParameters, parameter_values
from rbflex_evo.spaces.architecture.plan import INPUT, Combine, Convolve, Features, Plan, Register, Step, sources, targets

from .common_beginnings import CommonBeginnings, KeptSum, Recipe
from .eager import Backend, Postponed

Member = tuple["_Candidate", Step]


@dataclass
class _Candidate:
    observers: Sequence[Observer]
    last_uses: tuple[tuple[Register, ...], ...]
    registers: dict[Register, Tensor | Postponed] = field(default_factory=dict)
    done: int = 0

    def free(self) -> None:
        for register in self.last_uses[self.done]:
            del self.registers[register]
        self.done += 1


class Interpreter:
    """Runs plans on one device in one precision, with weights drawn by name.

    Args:
        largest: the shape at which a name is drawn, `SearchSpace.weight_shapes`.
        memory: bytes of prepared weights that are kept for the next candidates.
    """

    def __init__(
        self,
        weights: WeightParameters,
        largest: Mapping[str, Sequence[int]],
        device: torch.device,
        dtype: torch.dtype,
        backend: Backend,
        memory: int = 256 * 2**20,
    ) -> None:
        self.weights = weights
        self.largest = largest
        self.device = device
        self.dtype = dtype
        self.backend = backend
        self.beginnings = CommonBeginnings()
        self._prepared: ByteCache[Any] = ByteCache(memory)

    @property
    def slices_outputs(self) -> bool:
        """True if a narrow convolution's weights are a part of a wide one's: they are, where only the inputs scale them."""
        return not self.weights.distribution.startswith("xavier")

    @torch.inference_mode()
    def run(self, plans: Sequence[Plan], images: Tensor, observers: Sequence[Sequence[Observer]]) -> None:
        """Runs one forward of every plan on `images` [N, C, H, W] and shows it to that plan's observers."""
        ordered, n = images.contiguous(memory_format=torch.channels_last), len(images)
        candidates = [_Candidate(own, plan.last_uses(), {INPUT: ordered}) for plan, own in zip(plans, observers, strict=True)]
        if len(plans) == 1:
            known = self.beginnings.begin(images)
            for step in plans[0].steps:
                self._single(candidates[0], step, n, known)
            return
        for group in _lockstep(plans, candidates):
            self._group(group, n)

    @torch.inference_mode()
    def follow(
        self,
        steps: Sequence[tuple[Step, Sequence[Register]]],
        registers: Mapping[Register, Tensor | Postponed],
        observers: Sequence[Observer],
        n: int,
        shared: Callable[[Convolve, Tensor], Tensor | None],
    ) -> dict[Register, Tensor | Postponed]:
        """Computes steps of one candidate on N images and returns the registers that are left.

        Args:
            steps: each with the registers that are read no more after it.
            shared: returns the convolution of a map where that is known, else None.
        """
        candidate = _Candidate(observers, tuple(tuple(last) for _, last in steps), dict(registers))
        for step, _ in steps:
            source = candidate.registers[step.source] if isinstance(step, Convolve) else None
            found = shared(step, source) if isinstance(step, Convolve) and isinstance(source, Tensor) else None
            if isinstance(step, Convolve) and found is not None:
                candidate.registers[step.target] = found
                candidate.free()
            else:
                self._single(candidate, step, n)
        return candidate.registers

    def _group(self, group: Sequence[Member], n: int) -> None:
        """Computes the steps of a group, which differ in their registers and multiplicities only."""
        if len(group) == 1:
            self._single(*group[0], n)
            return
        step = group[0][1]
        inputs = [tuple(map(self.backend.made, _read(candidate, own))) for candidate, own in group]
        # Candidates that feed a step the very same tensors get the very same result.
        positions: dict[tuple[int, ...], int] = {}
        at = [positions.setdefault(tuple(map(id, tensors)), len(positions)) for tensors in inputs]
        distinct = [inputs[at.index(position)] for position in range(len(positions))]
        joined = [_join(tensors) for tensors in zip(*distinct, strict=True)]
        if isinstance(step, Convolve):
            results: list[Sequence[Tensor]] = [torch.split(self.convolve(step, joined[0]), n)]
        elif isinstance(step, Combine):
            results = self._combine(step, joined, n, len(positions), [(c, own, p) for (c, own), p in zip(group, at, strict=True)])
        else:
            self._features(joined[0], n, [(candidate, p) for (candidate, _), p in zip(group, at, strict=True)])
            results = []
        for (candidate, own), position in zip(group, at, strict=True):
            for register, parts in zip(targets(own), results, strict=True):
                candidate.registers[register] = parts[position]
        # A tensor's id is only its own while it lives, so nothing is freed before every result is stored.
        for candidate, _ in group:
            candidate.free()

    def _single(self, candidate: _Candidate, step: Step, n: int, known: dict[Register, Recipe] | None = None) -> None:
        """Computes one step of one candidate: the same primitives, nothing to join or to split.

        Args:
            known: what the registers are known by in `opening`; None if nothing is looked up.
        """
        found = self.beginnings.key(step, known) if known else None
        if isinstance(step, Convolve):
            candidate.registers[step.target] = self._convolved(step, candidate.registers[step.source], found)
            if known is not None and found is not None:
                known[step.target] = found
        elif isinstance(step, Combine):
            node = self._sum(step, candidate, n, found)
            if node.made.active is not None and step.active is not None:
                self._show(step, node.reduced, node.made.active[None], node.made.magnitude, [(candidate, step, 0)])
            for register, made in ((step.value, node.made.value), (step.active, node.made.active)):
                if register is not None and made is not None:
                    candidate.registers[register] = made
                    if known is not None and found is not None:
                        known[register] = ((found[0], register == step.active), found[1])
        else:
            self._features(self.backend.made(candidate.registers[step.source]), n, [(candidate, 0)])
        candidate.free()

    def _convolved(self, step: Convolve, source: Tensor | Postponed, found: Recipe | None) -> Tensor | Postponed:
        """Returns a convolution, from the opening or for it if it is `found` there; else the sum that reads it may compute it."""
        if found is None:
            # In most plans a sum is all that reads a convolution.
            return self.backend.postpone(self.backend.made(source), self._weight(step), step)
        made: Tensor | None = self.beginnings.get(found[0])
        if made is None:
            made = self.convolve(step, self.backend.made(source))
            self.beginnings.keep(found[0], made, [made])
        return made

    def _sum(self, step: Combine, candidate: _Candidate, n: int, found: Recipe | None) -> KeptSum:
        """Returns a sum, from the opening or for it if it is `found` there."""
        node: KeptSum | None = None if found is None else self.beginnings.get(found[0])
        if node is not None:
            return node
        kinds, inputs = [term.kind for term in step.terms], _read(candidate, step)
        # What is kept will be read by candidates that want the other of the two.
        value, active = (found is not None or register is not None for register in (step.value, step.active))
        node = KeptSum(self.backend.combine(kinds, inputs, (n, *step.shape), self.dtype, self.device, value=value, active=active))
        if found is not None:
            self.beginnings.keep(found[0], node, [x for x in (node.made.value, node.made.active) if x is not None])
        return node

    @torch.inference_mode()
    def convolve(self, step: Convolve, x: Tensor) -> Tensor:
        """Returns the step's convolution of any map."""
        return self.backend.convolve(x, self._weight(step), step)

    def _combine(
        self, step: Combine, inputs: Sequence[Tensor], n: int, count: int, members: Sequence[tuple[_Candidate, Step, int]]
    ) -> list[Sequence[Tensor]]:
        kinds = [term.kind for term in step.terms]
        shape = (n * count, *step.shape)
        made = self.backend.combine(
            kinds, inputs, shape, self.dtype, self.device, value=step.value is not None, active=step.active is not None
        )
        if made.active is not None:
            # Nodes that are fed nothing share no input that could tell them apart: one result serves them all.
            self._show(step, {}, made.active.view(-1, n, *step.shape), made.magnitude, members)
        return [torch.split(tensor, n) for tensor in (made.value, made.active) if tensor is not None]

    def _show(
        self,
        step: Combine,
        reduced: dict[type, Tensor | None],
        outputs: Tensor,
        magnitude: Tensor | None,
        members: Sequence[tuple[_Candidate, Step, int]],
    ) -> None:
        columns = math.prod(step.shape)
        for candidate, own, position in members:
            assert isinstance(own, Combine)
            for observer in candidate.observers:
                kind = type(observer)
                if kind not in reduced:
                    reduced[kind] = self.backend.reduce(observer, outputs, magnitude)
                sums = reduced[kind]
                if sums is None:
                    observer.activation(own.active or "", outputs[position], own.observed)
                else:
                    observer.take(sums[position], columns, own.observed)

    def _features(self, source: Tensor, n: int, members: Sequence[tuple[_Candidate, int]]) -> None:
        features, maps = torch.split(source.mean(dim=(2, 3)), n), torch.split(source, n)
        for candidate, position in members:
            # Pooling may cancel what it averages: what is left is judged by the size of the map before it.
            magnitude = maps[position].abs().amax()
            for observer in candidate.observers:
                self.backend.show_features(observer, features[position], magnitude)

    def _weight(self, step: Convolve) -> Any:
        key = (step.weight, step.shape, step.pooled)
        weight = self._prepared.get(key)
        if weight is None:
            values = parameter_values(step.weight, step.shape, self.weights, self.largest)
            assert values is not None
            weight = self.backend.prepare(torch.from_numpy(values).to(self.device, self.dtype), step)
            self._prepared.keep(key, weight, weight.nbytes)
        return weight


def _lockstep(plans: Sequence[Plan], candidates: Sequence[_Candidate]) -> Iterator[list[Member]]:
    """Yields groups of steps that may share calls, in an order that every plan allows."""
    groups: dict[tuple[object, ...], list[Member]] = {}
    for plan, candidate in zip(plans, candidates, strict=True):
        for step in plan.steps:
            groups.setdefault((step.order, *_likeness(step)), []).append((candidate, step))
    # A candidate's steps of one order may come in any order, so its registers are freed by what it has done, see `_reorder`.
    ordered = sorted(groups.values(), key=lambda group: group[0][1].order)
    _reorder(ordered)
    yield from ordered


def _reorder(groups: Sequence[Sequence[Member]]) -> None:
    """Sets each candidate's last uses to the order in which the groups run its steps."""
    steps: dict[int, tuple[_Candidate, list[Step]]] = {}
    for group in groups:
        for candidate, step in group:
            steps.setdefault(id(candidate), (candidate, []))[1].append(step)
    for candidate, own in steps.values():
        candidate.last_uses = Plan((0, 0, 0), tuple(own)).last_uses()


def _likeness(step: Step) -> tuple[object, ...]:
    """Returns what two steps of one place must have in common to share a call."""
    if isinstance(step, Convolve):
        return (Convolve, step.weight, step.shape, step.stride, step.padding, step.pooled)
    if isinstance(step, Combine):
        kinds = tuple(term.kind for term in step.terms)
        return (Combine, step.shape, kinds, step.value is not None, step.active is not None)
    return (Features, step.shape)


def _read(candidate: _Candidate, step: Step) -> tuple[Tensor | Postponed, ...]:
    return tuple([candidate.registers[register] for register in sources(step)])


def _join(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))
