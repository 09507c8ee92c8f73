"""The random state of a process and of a network: what a measurement must not change, and what a forward must not read."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from torch import nn


class Generator(NamedTuple):
    """Access to the state of a random generator.

    Attributes:
        name: Name of the generator for messages.
        read: Returns the state as data that can be compared by ``==``.
        write: Sets a state that `read` returned.
    """

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]


class RandomState(NamedTuple):
    """States of random generators at one time.

    Attributes:
        generators: The generators.
        states: State of each generator.
    """

    generators: Sequence[Generator]
    states: Sequence[Any]

    @classmethod
    def of(cls, generators: Sequence[Generator]) -> RandomState:
        """Returns the present states of generators."""
        return cls(generators, [generator.read() for generator in generators])

    def moved(self) -> list[Generator]:
        """Returns the generators whose state differs now."""
        return [generator for generator, state in zip(self.generators, self.states, strict=True) if generator.read() != state]

    def restore(self) -> None:
        """Gives the generators these states again."""
        for generator, state in zip(self.generators, self.states, strict=True):
            generator.write(state)


def global_generators() -> list[Generator]:
    """Returns the global generators of python, numpy and, if it is loaded, torch on every device in use."""
    found = [
        Generator("the global generator of python's random", random.getstate, random.setstate),
        Generator("the global generator of numpy.random", _read_numpy, _write_numpy),
    ]
    torch = sys.modules.get("torch")
    if torch is not None:
        found.append(_of_torch("the global generator of torch", torch.default_generator))
        if torch.cuda.is_initialized():
            found += [_of_torch("the global generator of torch.cuda", generator) for generator in torch.cuda.default_generators]
    return found


def own_generators(network: nn.Module) -> list[Generator]:
    """Returns the generators that the modules of a network hold as attributes."""
    import torch

    kinds: dict[type, Callable[[str, Any], Generator]] = {
        torch.Generator: _of_torch,
        np.random.Generator: lambda name, held: _of_bits(name, held.bit_generator),
        np.random.RandomState: lambda name, held: _of_bits(name, held._bit_generator),
        random.Random: lambda name, held: Generator(name, held.getstate, held.setstate),
    }
    return [
        kinds[type(held)](f"its own generator {f'{path}.{name}'.lstrip('.')!r}", held)
        for path, module in network.named_modules()
        for name, held in vars(module).items()
        if type(held) in kinds
    ]


def _read_numpy() -> tuple[Any, ...]:
    state: Any = np.random.get_state()
    name, words, *rest = state
    return (name, words.tobytes(), *rest)


def _write_numpy(state: tuple[Any, ...]) -> None:
    name, words, *rest = state
    np.random.set_state((name, np.frombuffer(words, np.uint32), *rest))


def _of_torch(name: str, generator: Any) -> Generator:
    import torch

    def read() -> bytes:
        return bytes(generator.get_state().numpy())

    def write(state: bytes) -> None:
        generator.set_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))

    return Generator(name, read, write)


def _of_bits(name: str, bits: Any) -> Generator:
    def read() -> str:
        with np.printoptions(threshold=sys.maxsize):
            return repr(bits.state)

    states = {read(): bits.state}

    def write(state: str) -> None:
        bits.state = states[state]

    return Generator(name, read, write)


@contextmanager
def own_random_state(seed: int | None = None) -> Iterator[None]:
    """Context after which the global random state is as before.

    Args:
        seed: Seed of the global generators on the CPU inside the context; None to leave them as they are.
    """
    before = RandomState.of(global_generators())
    try:
        if seed is not None:
            import torch

            random.seed(seed)
            np.random.seed(seed % 2**32)
            # Not torch.manual_seed, which would seed the generators of accelerators, too.
            torch.default_generator.manual_seed(seed % 2**63)
        yield
    finally:
        before.restore()
