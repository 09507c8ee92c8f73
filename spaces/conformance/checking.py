"""What all conformance checks share: how one fails, and how it makes sure that global random state is left alone."""

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
    """Something breaks its contract; the message is one line that says what is wrong, with what, and how to mend it."""


def require(condition: object, message: str) -> None:
    """Does nothing if `condition` holds.

    Raises:
        CheckFailed: with `message` if it does not.
    """
    if not condition:
        raise CheckFailed(message)


@contextmanager
def called(what: str, remedy: str, *meant: type[Exception]) -> Iterator[None]:
    """Turns an exception of the code that is checked into a line about `what`; those that are `meant` pass.

    Raises:
        CheckFailed: with the exception as its cause.
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
    """Seeds the global generators of `random`, numpy and, where it is loaded, torch, and yields what reads them.

    Afterwards they are what they were.
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
    """Returns ``draw()``, which must give the same twice and neither read nor change global random state.

    Args:
        same: how two results are compared where equal types and values would not do.
        source: where it may draw from, for the message.
        generators: those that `draw` must leave alone.

    Raises:
        CheckFailed: if it does not.
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
    """Returns a value as it is written in a message, on one line and not too long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 120 else f"{text[:117]}..."


def check_pickled(thing: object, name: str) -> None:
    """Checks that worker processes can be given it.

    Raises:
        CheckFailed: if it cannot be sent to another process.
    """
    with called(
        f"sending {name} to a worker process",
        "define its class at the top of a module, and keep no open file, lambda or generator in it",
    ):
        pickle.loads(pickle.dumps(thing))


def _same(first: object, second: object) -> bool:
    return type(first) is type(second) and first == second
