"""Networks that begin alike share what they begin with: a walk over the tree of their plans.

    for each plan, in an order that keeps neighbours together:
        the steps that it has in common with the plan before are not run: registers and observers are those of that point
        the other steps are run, and a mark is left after each

The five widths of nats_sss make a tree of 8 + 64 + 512 + 4,096 + 32,768 points, of which only the leaves are 32,768 times work.
Each step runs on what it would run on alone, so statistics are the very same as one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from spaces.plan import INPUT, Combine, Features, Plan, Register, Step

from .proxy import Observer, Proxy

if TYPE_CHECKING:
    from .interpreter import Interpreter


@dataclass(frozen=True)
class _Mark:
    """Where a walk stands after a step: what can still be read, and what observers have seen."""

    step: Step | None
    registers: Mapping[Register, Tensor]
    observers: Sequence[Observer]


def walk(interpreter: Interpreter, plans: Iterable[Plan], images: Tensor, proxies: Sequence[Proxy]) -> Iterator[list[Observer]]:
    """Yields for each plan the observers of its forward on `images` [N, C, H, W], one a proxy, ready to finish.

    Memory is that of the maps along one path of the tree.
    """
    images = images.contiguous(memory_format=torch.channels_last)
    path = [_Mark(None, {INPUT: images}, [proxy.observer() for proxy in proxies])]
    for plan in plans:
        common = 0
        while common < min(len(path) - 1, len(plan.steps)) and path[common + 1].step == plan.steps[common]:
            common += 1
        del path[common + 1 :]
        for step, last in zip(plan.steps[common:], plan.last_uses()[common:], strict=True):
            path.append(_advance(interpreter, path[-1], step, last, len(images)))
        yield [observer.fork() for observer in path[-1].observers]


def _advance(interpreter: Interpreter, mark: _Mark, step: Step, last: Sequence[Register], n: int) -> _Mark:
    shows = isinstance(step, Features) or (isinstance(step, Combine) and step.observed > 0)
    observers = [observer.fork() for observer in mark.observers] if shows else mark.observers
    written = interpreter.advance(step, mark.registers, observers, n)
    registers = {name: tensor for name, tensor in mark.registers.items() if name not in last}
    return _Mark(step, registers | {name: tensor for name, tensor in written.items() if name not in last}, observers)
