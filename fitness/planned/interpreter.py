"""Interpreter of plans: the forward of one candidate, or of several in shared calls, without building a network.

    for each place of the skeleton, over all candidates:
        steps of one kind form a group; inputs that several candidates have in common (one tensor) are computed once,
        all other inputs are concatenated along the image dimension and computed in one call
        observed maps are reduced for the whole group in one call, and each candidate's observers receive their part

A single candidate is run step by step and nothing is copied, which is fast on a CPU, where one candidate stays in the cache. Its
first steps are reused from previous candidates (`common_beginnings`). Concatenated candidates are fast on an accelerator, where
launches cost more than arithmetic. Images are independent, so both forms give equal statistics up to round-off.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

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
    together: int = 1  # Number of images that share the statistics of a normalisation.
    done: int = 0

    @property
    def block_observers(self) -> list[Observer]:
        """The observers that read the outputs of primary blocks."""
        return [observer for observer in self.observers if observer.reads_blocks]

    def free(self) -> None:
        for register in self.last_uses[self.done]:
            del self.registers[register]
        self.done += 1


class Interpreter:
    """Runs plans on one device in one precision, with weights that are drawn by name.

    Args:
        weights: Seed and distribution of the weights.
        largest: Shapes by name at which weights are drawn, `SearchSpace.weight_shapes`.
        device: Device of the maps.
        dtype: Precision of the maps.
        backend: Backend of the steps.
        memory: Size of the prepared weights that are kept for further candidates, in bytes.
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
        self._of_batch = CommonBeginnings()
        self._prepared: ByteCache[Any] = ByteCache(memory)

    @property
    def slices_outputs(self) -> bool:
        """Whether a narrow convolution's weights are a slice of a wide one's, as they are if only the fan-in scales them."""
        return not self.weights.distribution.startswith("xavier")

    @torch.inference_mode()
    def run(
        self,
        plans: Sequence[Plan],
        images: Tensor,
        observers: Sequence[Sequence[Observer]],
        statistics_of: Literal["image", "batch"] = "image",
    ) -> None:
        """Runs one forward of every plan and passes its layers to the plan's observers.

        Args:
            plans: Plans of the candidates.
            images: Inputs [N, C, H, W].
            observers: Observers of each plan.
            statistics_of: Inputs that normalisations take their statistics from: each "image" alone, or the whole "batch".
        """
        ordered, n = images.contiguous(memory_format=torch.channels_last), len(images)
        together = n if statistics_of == "batch" else 1
        candidates = [
            _Candidate(own, plan.last_uses(), {INPUT: ordered}, together) for plan, own in zip(plans, observers, strict=True)
        ]
        if len(plans) == 1:
            known = self._beginnings(candidates[0]).begin(images)
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
        """Computes steps of one candidate and returns its remaining registers.

        Args:
            steps: Steps, each with the registers that no later step reads.
            registers: Registers before the first step.
            observers: Observers of the candidate.
            n: Number of images.
            shared: Returns the convolution of a map if it is already known, else None.
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
        """Computes the steps of a group, which differ only in their registers and multiplicities."""
        if len(group) == 1:
            self._single(*group[0], n)
            return
        step = group[0][1]
        inputs = [tuple(map(self.backend.made, _read(candidate, own))) for candidate, own in group]
        # Candidates with identical input tensors share the result.
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
        # A tensor's id is unique only while it exists, so nothing is freed before every result is stored.
        for candidate, _ in group:
            candidate.free()

    def _single(self, candidate: _Candidate, step: Step, n: int, known: dict[Register, Recipe] | None = None) -> None:
        """Computes one step of one candidate with the same primitives, without concatenation.

        Args:
            candidate: The candidate.
            step: The step.
            n: Number of images.
            known: Recipes of the registers in `common_beginnings`; None if nothing is looked up.
        """
        beginnings = self._beginnings(candidate)
        found = beginnings.key(step, known) if known else None
        if isinstance(step, Convolve):
            candidate.registers[step.target] = self._convolved(step, candidate.registers[step.source], found, beginnings)
            if known is not None and found is not None:
                known[step.target] = found
        elif isinstance(step, Combine):
            node = self._sum(step, candidate, n, found)
            if node.made.active is not None and step.active is not None:
                self._show(step, node.reduced, node.made.active[None], node.made.magnitude, [(candidate, step, 0)])
            if step.blocks and node.made.value is not None:
                self._show_blocks(node.blocks, node.made.value[None], [(candidate, step, 0)])
            for register, made in ((step.value, node.made.value), (step.active, node.made.active)):
                if register is not None and made is not None:
                    candidate.registers[register] = made
                    if known is not None and found is not None:
                        known[register] = ((found[0], register == step.active), found[1])
        else:
            self._features(self.backend.made(candidate.registers[step.source]), n, [(candidate, 0)])
        candidate.free()

    def _beginnings(self, candidate: _Candidate) -> CommonBeginnings:
        return self.beginnings if candidate.together == 1 else self._of_batch

    def _convolved(
        self, step: Convolve, source: Tensor | Postponed, found: Recipe | None, beginnings: CommonBeginnings
    ) -> Tensor | Postponed:
        """Returns a convolution, from the cache or kept there if it has a recipe; otherwise it may be postponed."""
        if found is None:
            # In most plans only a sum reads a convolution.
            return self.backend.postpone(self.backend.made(source), self._weight(step), step)
        made: Tensor | None = beginnings.get(found[0])
        if made is None:
            made = self.convolve(step, self.backend.made(source))
            beginnings.keep(found[0], made, [made])
        return made

    def _sum(self, step: Combine, candidate: _Candidate, n: int, found: Recipe | None) -> KeptSum:
        """Returns a sum, from the cache or kept there if it has a recipe."""
        beginnings = self._beginnings(candidate)
        node: KeptSum | None = None if found is None else beginnings.get(found[0])
        if node is not None:
            return node
        kinds, inputs = [term.kind for term in step.terms], _read(candidate, step)
        # A kept sum may be read by candidates that need the other one of value and ReLU.
        value = found is not None or _needs_value([(candidate, step)])
        active = found is not None or step.active is not None
        shape, together = (n, *step.shape), candidate.together
        node = KeptSum(
            self.backend.combine(kinds, inputs, shape, self.dtype, self.device, value=value, active=active, together=together)
        )
        if found is not None:
            beginnings.keep(found[0], node, [x for x in (node.made.value, node.made.active) if x is not None])
        return node

    @torch.inference_mode()
    def convolve(self, step: Convolve, x: Tensor) -> Tensor:
        """Returns the step's convolution of the map `x`."""
        return self.backend.convolve(x, self._weight(step), step)

    def _combine(
        self, step: Combine, inputs: Sequence[Tensor], n: int, count: int, members: Sequence[tuple[_Candidate, Step, int]]
    ) -> list[Sequence[Tensor]]:
        kinds = [term.kind for term in step.terms]
        shape = (n * count, *step.shape)
        value = _needs_value([(candidate, own) for candidate, own, _ in members])
        active, together = step.active is not None, members[0][0].together
        made = self.backend.combine(kinds, inputs, shape, self.dtype, self.device, value=value, active=active, together=together)
        if made.active is not None:
            # Nodes without inputs cannot differ, so they share one result.
            self._show(step, {}, made.active.view(-1, n, *step.shape), made.magnitude, members)
        if made.value is not None:
            self._show_blocks({}, made.value.view(-1, n, *step.shape), members)
        written = (made.value if step.value is not None else None, made.active)
        return [torch.split(tensor, n) for tensor in written if tensor is not None]

    def _show(
        self,
        step: Combine,
        reduced: dict[str | type, Tensor | None],
        outputs: Tensor,
        magnitude: Tensor | None,
        members: Sequence[tuple[_Candidate, Step, int]],
    ) -> None:
        columns = math.prod(step.shape)
        for candidate, own, position in members:
            assert isinstance(own, Combine)
            for observer in candidate.observers:
                # Observers of one reduction share its result.
                kind = observer.reduction or type(observer)
                if kind not in reduced:
                    reduced[kind] = self.backend.reduce(observer, outputs, magnitude)
                sums = reduced[kind]
                if sums is None:
                    observer.activation(own.active or "", outputs[position], own.observed)
                else:
                    observer.take(sums[position], columns, own.observed)

    def _show_blocks(
        self, reduced: dict[str | type, Tensor | None], outputs: Tensor, members: Sequence[tuple[_Candidate, Step, int]]
    ) -> None:
        for candidate, own, position in members:
            assert isinstance(own, Combine)
            for observer in candidate.block_observers if own.blocks else ():
                kind = observer.block_reduction or type(observer)
                if kind not in reduced:
                    reduced[kind] = self.backend.reduce_block(observer, outputs)
                sums = reduced[kind]
                if sums is None:
                    observer.block(outputs[position], own.blocks)
                else:
                    observer.take_block(sums[position], own.blocks)

    def _features(self, source: Tensor, n: int, members: Sequence[tuple[_Candidate, int]]) -> None:
        features, maps = torch.split(source.mean(dim=(2, 3)), n), torch.split(source, n)
        for candidate, position in members:
            # Averages may cancel, so round-off is measured by the magnitude of the map before pooling.
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
    """Yields groups of steps that can share calls, in an order that is valid for every plan."""
    groups: dict[tuple[object, ...], list[Member]] = {}
    for plan, candidate in zip(plans, candidates, strict=True):
        for step in plan.steps:
            groups.setdefault((step.order, *_properties(step)), []).append((candidate, step))
    # Steps of one order may run in any sequence, so registers are freed by the sequence of the groups, see `_reorder`.
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


def _properties(step: Step) -> tuple[object, ...]:
    """Returns the properties that two steps of one place must share to be computed in one call."""
    if isinstance(step, Convolve):
        return (Convolve, step.weight, step.shape, step.stride, step.padding, step.pooled)
    if isinstance(step, Combine):
        kinds = tuple(term.kind for term in step.terms)
        return (Combine, step.shape, kinds, step.value is not None, step.active is not None)
    return (Features, step.shape)


def _needs_value(members: Sequence[Member]) -> bool:
    """Returns whether the sum of combine steps is read, by later steps or by observers of blocks, and not only its ReLU."""
    step = members[0][1]
    assert isinstance(step, Combine)
    blocks = any(isinstance(own, Combine) and own.blocks and candidate.block_observers for candidate, own in members)
    # The last block of a dead network has no reader at all.
    return step.value is not None or step.active is None or blocks


def _read(candidate: _Candidate, step: Step) -> tuple[Tensor | Postponed, ...]:
    return tuple([candidate.registers[register] for register in sources(step)])


def _join(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))
