"""Helpers of all conformance checks: failing with a message, and detecting the use of global random state."""

from __future__ import annotations

import pickle
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from rbflex_evo.spaces.errors import reason

Value = TypeVar("Value")

GENERATORS = ("random", "numpy.random", "torch")


class CheckFailed(AssertionError):
    """A component violates its contract; the message states in one line what is wrong, for which input, and how to fix it."""


def require(condition: object, message: str) -> None:
    """Raises an error if `condition` is false.

    Raises:
        CheckFailed: With `message`, if `condition` is false.
    """
    if not condition:
        raise CheckFailed(message)


@contextmanager
def called(what: str, remedy: str, *meant: type[Exception]) -> Iterator[None]:
    """Turns an exception of the checked code into a one-line failure.

    Args:
        what: The call that is checked, for the message.
        remedy: How to fix the code, for the message.
        *meant: Exceptions that are passed on unchanged.

    Raises:
        CheckFailed: If any other exception is raised, which becomes its cause.
    """
    passing: tuple[type[Exception], ...] = (CheckFailed, *meant)
    try:
        yield
    except passing:
        raise
    except Exception as error:
        raise CheckFailed(f"{what} raised {reason(error)}; {remedy}") from error


@contextmanager
def poisoned(seed: int) -> Iterator[Callable[[], dict[str, bytes]]]:
    """Seeds the global generators of `random`, numpy and, if it is loaded, torch, and yields a function that reads their states.

    Their previous states are restored afterwards.
    """
    torch = sys.modules.get("torch")
    old_random, old_numpy = random.getstate(), np.random.get_state()
    old_torch = None if torch is None else torch.get_rng_state()

    def states() -> dict[str, bytes]:
        found = {"random": pickle.dumps(random.getstate()), "numpy.random": pickle.dumps(np.random.get_state(legacy=False))}
        return found if torch is None else {**found, "torch": torch.get_rng_state().numpy().tobytes()}

    random.seed(seed)
    np.random.seed(seed)
    if torch is not None:
        torch.manual_seed(seed)
    try:
        yield states
    finally:
        random.setstate(old_random)
        np.random.set_state(old_numpy)
        if torch is not None:
            torch.set_rng_state(old_torch)


def pure(
    draw: Callable[[], Value],
    what: str,
    same: Callable[[Any, Any], bool] | None = None,
    source: str = "the generator that is passed in",
    generators: Sequence[str] = GENERATORS,
) -> Value:
    """Returns ``draw()``, after checking that it is repeatable and neither reads nor changes global random state.

    Args:
        draw: The function to check.
        what: Its name in messages.
        same: Compares two results; by default they must have equal types and values.
        source: Where `draw` may draw random numbers from, for the message.
        generators: Global generators that `draw` must not use.

    Raises:
        CheckFailed: If two results differ, or `draw` changed the state of a generator.
    """
    values = []
    for seed in (1, 2):
        with poisoned(seed) as states:
            before = states()
            values.append(draw())
            changed = [name for name, state in states().items() if name in generators and state != before[name]]
        require(not changed, f"{what} changed global random state ({', '.join(changed)}); draw from {source}")
    require(
        (same or _same)(*values),
        f"{what} gave {shown(values[0])} and then {shown(values[1])}; draw from {source} only, and remember nothing",
    )
    return values[0]


def shown(value: object) -> str:
    """Returns the representation of a value on one line of at most 120 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 120 else f"{text[:117]}..."


def check_pickled(thing: object, name: str) -> None:
    """Checks that an object can be pickled, and so sent to worker processes.

    Raises:
        CheckFailed: If it cannot be pickled or unpickled.
    """
    import cloudpickle

    with called(f"sending {name} to a worker process", "keep no open file, lock or generator in it"):
        pickle.loads(cloudpickle.dumps(thing))


def _same(first: object, second: object) -> bool:
    return type(first) is type(second) and first == second
