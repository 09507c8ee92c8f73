"""New memory that is marked, so that a network that reads it before it is written cannot go unnoticed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def marked_memory() -> Iterator[None]:
    """Context in which memory that torch does not initialise, as by ``torch.empty``, holds NaN, or the largest integer."""
    import torch

    deterministic: Any = torch.utils.deterministic
    modes = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    filled = deterministic.fill_uninitialized_memory
    # `torch.use_deterministic_algorithms` imports the compiler first, which takes more than a second in each process.
    torch._C._set_deterministic_algorithms(True, warn_only=True)
    deterministic.fill_uninitialized_memory = True
    try:
        yield
    finally:
        deterministic.fill_uninitialized_memory = filled
        torch._C._set_deterministic_algorithms(modes[0], warn_only=modes[1])
