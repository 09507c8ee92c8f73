"""The global random state of a process: what a measurement must not change, and what a forward must not read."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np


class RandomState(NamedTuple):
    """States of the global random generators, by the name of the generator.

    Attributes:
        states: State of each generator.
    """

    states: dict[str, Any]

    @classmethod
    def now(cls) -> RandomState:
        """Returns the present states of python's, numpy's and, if it is loaded, torch's generators."""
        states: dict[str, Any] = {"random": random.getstate(), "numpy.random": np.random.get_state()}
        torch = sys.modules.get("torch")
        if torch is not None:
            states["torch"] = torch.default_generator.get_state().numpy().tobytes()
            if torch.cuda.is_initialized():
                states["torch.cuda"] = [generator.get_state().numpy().tobytes() for generator in torch.cuda.default_generators]
        return cls(states)

    def moved(self) -> list[str]:
        """Returns the names of the generators whose state differs now."""
        now = RandomState.now().states
        return [name for name, state in self.states.items() if not _equal(state, now[name])]

    def restore(self) -> None:
        """Gives the generators these states again."""
        random.setstate(self.states["random"])
        np.random.set_state(self.states["numpy.random"])
        if "torch" in self.states:
            import torch

            def tensor(state: bytes) -> torch.Tensor:
                return torch.frombuffer(bytearray(state), dtype=torch.uint8)

            torch.default_generator.set_state(tensor(self.states["torch"]))
            for generator, state in zip(torch.cuda.default_generators, self.states.get("torch.cuda", ()), strict=False):
                generator.set_state(tensor(state))


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, tuple) and len(first) == 5:  # numpy's: a name, an array of words, and three numbers
        return bool(first[2:] == second[2:] and np.array_equal(first[1], second[1]))
    return bool(first == second)


@contextmanager
def own_random_state(seed: int | None = None) -> Iterator[None]:
    """Context after which the global random state is as before.

    Args:
        seed: Seed of the global generators on the CPU inside the context; None to leave them as they are.
    """
    before = RandomState.now()
    try:
        if seed is not None:
            import torch

            random.seed(seed)
            np.random.seed(seed % 2**32)
            # Not torch.manual_seed, which would seed the generators of accelerators, too.
            torch.default_generator.manual_seed(seed)
        yield
    finally:
        if before.moved():
            before.restore()
