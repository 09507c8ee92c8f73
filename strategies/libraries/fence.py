"""A fence around calls of a library: no global random state, log line or warning gets in or out.

Some libraries draw from the global generators of `random`, numpy or torch. Within the fence these are seeded by the caller, and
afterwards they have the state that they had before.
"""

from __future__ import annotations

import logging
import random
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np


@contextmanager
def fenced(entropy: Sequence[int], logger: str) -> Iterator[None]:
    """Seeds the global generators by `entropy`, and hides warnings and the log of a library below errors.

    Args:
        entropy: Numbers that the seeds of the global generators follow from.
        logger: Name of the logger of the library.
    """
    seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    states = random.getstate(), np.random.get_state()
    # A library that needs torch has loaded it by the time that it draws.
    torch = sys.modules.get("torch")
    torch_state = None if torch is None else torch.default_generator.get_state()
    log = logging.getLogger(logger)
    level = log.level
    random.seed(seed)
    np.random.seed(seed)
    if torch is not None:
        torch.default_generator.manual_seed(seed)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            log.setLevel(logging.ERROR)
            yield
    finally:
        log.setLevel(level)
        random.setstate(states[0])
        np.random.set_state(states[1])
        if torch is not None:
            torch.default_generator.set_state(torch_state)
