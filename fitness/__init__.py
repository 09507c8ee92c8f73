"""Training-free fitness: scores of untrained networks, measured many at a time, cached, combined by rank."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .evaluation import Evaluation, six_digits
from .metrics import METRICS
from .observer import CandidateFailed, Observer, Statistics
from .proxy import PROXIES, Proxy, create_proxy

if TYPE_CHECKING:
    from .batches import create_batch
    from .evaluator import Evaluator
    from .initialise import WeightParameters
    from .score import rbflex_score

# What needs torch is imported when it is first asked for, so that a command line answers at once.
_LATE = {
    "create_batch": "fitness.batches",
    "Evaluator": "fitness.evaluator",
    "WeightParameters": "fitness.initialise",
    "rbflex_score": "fitness.score",
}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        from importlib import import_module

        return getattr(import_module(_LATE[name]), name)
    raise AttributeError(f"module 'fitness' has no attribute {name!r}")


__all__ = [
    "METRICS",
    "PROXIES",
    "CandidateFailed",
    "Evaluation",
    "Evaluator",
    "Observer",
    "Proxy",
    "Statistics",
    "WeightParameters",
    "create_batch",
    "create_proxy",
    "rbflex_score",
    "six_digits",
]
