"""Training-free fitness: scores of untrained networks, their measurement, cache and combination by rank."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rbflex_evo.fitness.costs.metric import METRICS
from rbflex_evo.fitness.evaluation import Evaluation, keyed, six_digits
from rbflex_evo.fitness.passes.observer import CandidateFailed, Observer, Statistics
from rbflex_evo.fitness.proxies.proxy import PROXIES, Proxy, create_proxy

if TYPE_CHECKING:
    from rbflex_evo.fitness.data.batch import create_batch
    from rbflex_evo.fitness.measuring.conditions import Conditions
    from rbflex_evo.fitness.measuring.evaluator import Evaluator
    from rbflex_evo.fitness.passes.weights import WeightParameters
    from rbflex_evo.fitness.proxies.rbflex.of_module import rbflex_score

# Modules that import torch are loaded on first use, so that the command line starts fast.
_LATE = {
    "create_batch": "rbflex_evo.fitness.data.batch",
    "Conditions": "rbflex_evo.fitness.measuring.conditions",
    "Evaluator": "rbflex_evo.fitness.measuring.evaluator",
    "WeightParameters": "rbflex_evo.fitness.passes.weights",
    "rbflex_score": "rbflex_evo.fitness.proxies.rbflex.of_module",
}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        from importlib import import_module

        return getattr(import_module(_LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "METRICS",
    "PROXIES",
    "CandidateFailed",
    "Conditions",
    "Evaluation",
    "Evaluator",
    "Observer",
    "Proxy",
    "Statistics",
    "WeightParameters",
    "create_batch",
    "create_proxy",
    "keyed",
    "rbflex_score",
    "six_digits",
]
