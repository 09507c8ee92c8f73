"""Planned forwards that share their first steps: a walk over the tree of plans with common prefixes.

    for each plan, in an order that keeps similar ones together:
        steps in common with the previous plan are not run: the forward continues from the mark after the last of them
        steps in common with the next plan are run, and a mark is kept after each
        the other steps are run as for a single plan

Siblings that convolve one map to different widths share the convolution: weights are drawn at the largest width and sliced, so a
narrow result is a part of the widest one. It is kept as long as the map that it is computed from.

The five widths of nats_sss form a tree of 8 + 64 + 512 + 4,096 + 32,768 nodes, and only the leaves are computed 32,768 times.
Statistics equal those of separate forwards, up to round-off if a convolution is computed at another width.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from rbflex_evo.fitness.passes.chains.shared_forward import common
from rbflex_evo.fitness.passes.observer import Observer
from rbflex_evo.spaces.architecture.plan import INPUT, Combine, Convolve, Features, Plan, Register, Step, targets

from .eager import Postponed

if TYPE_CHECKING:
    from .interpreter import Interpreter


@dataclass(frozen=True)
class _Mark:
    """State of a walk after a step: the freed registers, the remaining registers, and observers with everything seen so far."""

    step: Step | None
    freed: Sequence[Register]
    registers: Mapping[Register, Tensor | Postponed]
    observers: Sequence[Observer]


def walk(
    interpreter: Interpreter, plans: Iterable[Plan], images: Tensor, observers: Sequence[Observer]
) -> Iterator[list[Observer]]:
    """Yields for each plan forks of the observers that have seen its forward, ready to finish.

    Memory is that of the maps along one path of the tree, and of their widest convolutions.

    Args:
        interpreter: Interpreter of the steps.
        plans: Plans, similar ones together.
        images: Inputs [N, C, H, W].
        observers: Observers before a forward.
    """
    images = images.contiguous(memory_format=torch.channels_last)
    path = [_Mark(None, (), {INPUT: images}, list(observers))]
    walker = _Walker(interpreter, images)
    # Freed registers must be equal, too: this plan may still read a register that the previous plan freed.
    sequences = (list(zip(plan.steps, plan.last_uses(), strict=True)) for plan in plans)
    steps = next(sequences, None)
    while steps is not None:
        following = next(sequences, None)
        kept = common([(mark.step, mark.freed) for mark in path[1:]], steps)
        del path[kept + 1 :]
        ahead = max(kept, common(steps, following or []))
        for step, last in steps[kept:ahead]:
            path.append(walker.advance(path[-1], step, last))
        own = [observer.fork() for observer in path[-1].observers]
        walker.finish(path[-1], steps[ahead:], own)
        yield own
        steps = following


class _Walker:
    def __init__(self, interpreter: Interpreter, images: Tensor) -> None:
        self.interpreter = interpreter
        self.n = len(images)
        # For each convolved map that a mark holds: the block in which it was computed, and its convolutions at the largest width.
        self.made: MutableMapping[Tensor, int] = WeakTensorKeyDictionary()
        self.made[images] = -1
        self.wide: MutableMapping[Tensor, dict[tuple[object, ...], Tensor]] = WeakTensorKeyDictionary()

    def advance(self, mark: _Mark, step: Step, last: Sequence[Register]) -> _Mark:
        shows = isinstance(step, Features) or (isinstance(step, Combine) and step.observed + step.blocks > 0)
        observers = [observer.fork() for observer in mark.observers] if shows else mark.observers
        left = self.interpreter.follow([(step, ())], mark.registers, observers, self.n, self._shared)
        written = {register: left[register] for register in targets(step)}
        for tensor in written.values():
            if isinstance(tensor, Tensor):
                self.made[tensor] = step.order[0]
        registers = {name: tensor for name, tensor in mark.registers.items() if name not in last}
        return _Mark(step, last, registers | {name: tensor for name, tensor in written.items() if name not in last}, observers)

    def finish(self, mark: _Mark, steps: Sequence[tuple[Step, Sequence[Register]]], observers: Sequence[Observer]) -> None:
        """Runs the remaining steps of a plan, which the next plan does not share."""
        self.interpreter.follow(steps, mark.registers, observers, self.n, self._shared)

    def _shared(self, step: Convolve, source: Tensor) -> Tensor | None:
        """Returns a convolution that siblings have in common, else None."""
        return self._narrowed(source, step) if self._is_shared(source, step) else None

    def _is_shared(self, source: Tensor, step: Convolve) -> bool:
        """Returns True for a map of an earlier block, common to siblings, that they convolve to different widths."""
        earlier = self.made.get(source, step.order[0]) < step.order[0]
        return self.interpreter.slices_outputs and earlier and (self._widest(step) > step.shape[0] or source in self.wide)

    def _widest(self, step: Convolve) -> int:
        return self.interpreter.largest.get(step.weight, step.shape)[0]

    def _narrowed(self, source: Tensor, step: Convolve) -> Tensor:
        outputs, inputs, height, width = step.shape
        known = self.wide.setdefault(source, {})
        key = (step.weight, inputs, height, width, step.stride, step.padding, step.pooled)
        if key not in known:
            whole = replace(step, shape=(self._widest(step), inputs, height, width))
            known[key] = self.interpreter.convolve(whole, source)
        return known[key][:, :outputs].contiguous(memory_format=torch.channels_last)
