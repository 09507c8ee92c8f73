"""Networks that begin alike share what they begin with: a walk over the tree of their plans.

    for each plan, in an order that keeps neighbours together:
        the steps that it has in common with the plan before are not run: registers and observers are those of that point
        the other steps are run, and a mark is left after each

Siblings that convolve one map to different widths share that too: weights are drawn at the widest and sliced, so a narrow result
is a part of the widest one. It is kept for as long as the map that it comes from.

The five widths of nats_sss make a tree of 8 + 64 + 512 + 4,096 + 32,768 points, of which only the leaves are 32,768 times work.
Statistics are those of one by one, but for round-off where a convolution is computed at another width.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from spaces.plan import INPUT, Combine, Convolve, Features, Plan, Register, Step

from .proxy import Observer, Proxy

if TYPE_CHECKING:
    from .interpreter import Interpreter


@dataclass(frozen=True)
class _Mark:
    """Where a walk stands after a step and what it let go of: what can still be read, and what observers have seen."""

    step: Step | None
    freed: Sequence[Register]
    registers: Mapping[Register, Tensor]
    observers: Sequence[Observer]


def walk(interpreter: Interpreter, plans: Iterable[Plan], images: Tensor, proxies: Sequence[Proxy]) -> Iterator[list[Observer]]:
    """Yields for each plan the observers of its forward on `images` [N, C, H, W], one a proxy, ready to finish.

    Memory is that of the maps along one path of the tree, and of their widest convolutions.
    """
    images = images.contiguous(memory_format=torch.channels_last)
    path = [_Mark(None, (), {INPUT: images}, [proxy.observer() for proxy in proxies])]
    walker = _Walker(interpreter, len(images))
    for plan in plans:
        steps = list(zip(plan.steps, plan.last_uses(), strict=True))
        common = 0
        # An equal step is not enough: this plan may still read what the one before let go of after it.
        while common < min(len(path) - 1, len(steps)) and (path[common + 1].step, path[common + 1].freed) == steps[common]:
            common += 1
        del path[common + 1 :]
        for step, last in steps[common:]:
            path.append(walker.advance(path[-1], step, last))
        yield [observer.fork() for observer in path[-1].observers]


class _Walker:
    def __init__(self, interpreter: Interpreter, n: int) -> None:
        self.interpreter = interpreter
        self.n = n
        # By the map that is convolved: the block that it was made in, and its convolutions at their widest.
        self.made: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
        self.wide: WeakTensorKeyDictionary = WeakTensorKeyDictionary()

    def advance(self, mark: _Mark, step: Step, last: Sequence[Register]) -> _Mark:
        shows = isinstance(step, Features) or (isinstance(step, Combine) and step.observed > 0)
        observers = [observer.fork() for observer in mark.observers] if shows else mark.observers
        if isinstance(step, Convolve) and self._is_shared(mark.registers[step.source], step):
            written = {step.target: self._narrowed(mark.registers[step.source], step)}
        else:
            written = self.interpreter.advance(step, mark.registers, observers, self.n)
        for tensor in written.values():
            self.made[tensor] = step.order[0]
        registers = {name: tensor for name, tensor in mark.registers.items() if name not in last}
        return _Mark(step, last, registers | {name: tensor for name, tensor in written.items() if name not in last}, observers)

    def _is_shared(self, source: Tensor, step: Convolve) -> bool:
        """True for a map of an earlier block, which siblings have in common."""
        return self.interpreter.slices_outputs and self.made.get(source, -1) < step.order[0]

    def _narrowed(self, source: Tensor, step: Convolve) -> Tensor:
        outputs, inputs, height, width = step.shape
        widest = self.interpreter.largest.get(step.weight, step.shape)[0]
        known = self.wide.setdefault(source, {})
        key = (step.weight, inputs, height, width, step.stride, step.padding, step.pooled)
        if key not in known:
            whole = replace(step, shape=(widest, inputs, height, width))
            known[key] = self.interpreter.advance(whole, {step.source: source}, (), self.n)[step.target]
        return known[key][:, :outputs].contiguous(memory_format=torch.channels_last)
