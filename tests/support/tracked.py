"""A small search for callbacks that write curves, and the curves that they must have written."""

from __future__ import annotations

from pathlib import Path

import pytest

from rbflex_evo.engine import Callback
from rbflex_evo.engine.search.search import Search
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import create_space
from tests.support.instant import InstantEvaluator, toy_config

Curves = dict[str, list[tuple[int, float]]]


def tracked_search(runs: Path, *callbacks: Callback) -> Search:
    """Returns a search of 50 evaluations with scores, costs and failures."""
    config = toy_config(
        runs,
        space={"name": "toy", "genes": 6, "choices": 4},
        fitness={
            "proxies": {"naswot": {}, "synflow": {}},
            "objective": {"rank": ["naswot", "synflow"]},
            "constraints": {"params": {"max": 3500}},
        },
        budget={"evaluations": 50},
    )
    evaluator = InstantEvaluator(create_space(config.space.name, **config.space.values))
    return Search(config, evaluator, quiet=True, report=False, callbacks=callbacks)


def curves_of(told: list[Evaluation]) -> Curves:
    """Returns the curves of a run from their description: (step, value) by name."""
    curves: Curves = {}
    for step, evaluation in enumerate(told, 1):
        scored = [each for each in told[:step] if not each.failed]
        values = {f"score/{name}": value for name, value in evaluation.scores.items()}
        values |= {f"cost/{name}": value for name, value in evaluation.costs.items()}
        values["failed"] = float(sum(each.failed for each in told[:step]))
        if not evaluation.failed:
            values |= {f"best/{name}": max(each.scores[name] for each in scored) for name in evaluation.scores}
        for name, value in values.items():
            curves.setdefault(name, []).append((step, value))
    return curves


def assert_equal(found: Curves, wanted: Curves) -> None:
    """Compares curves, of which a program may keep float32 values."""
    assert {name: [step for step, _ in curve] for name, curve in found.items()} == {
        name: [step for step, _ in curve] for name, curve in wanted.items()
    }
    for name, curve in wanted.items():
        assert [value for _, value in found[name]] == pytest.approx([value for _, value in curve], rel=1e-6), name
