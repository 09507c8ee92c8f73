"""Tests that cost per evaluation (keys asked of the view) and state size (bytes) do not grow during a run."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

from rbflex_evo.spaces import VectorEncoding
from rbflex_evo.strategies import create_strategy, own_strategies
from rbflex_evo.strategies.conformance.synthetic import World
from rbflex_evo.strategies.strategy import View

# `auto` is one of the others.
EVERY = [name for name in own_strategies() if name != "auto"]
# Populations and memories small enough to be full early.
PARAMETERS = {
    "annealing": {"memory": 100, "cooling": 0.3},
    "large_space_evolution": {"population": 100, "batch": 16},
}


class CountingView:
    """Forwards all calls and counts the keys that are asked about."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.asked = 0

    def utility(self, keys: Sequence[str]) -> np.ndarray:
        self.asked += len(keys)
        return self.view.utility(keys)

    def objectives(self, keys: Sequence[str]) -> np.ndarray:
        self.asked += len(keys)
        return self.view.objectives(keys)

    def violations(self, keys: Sequence[str]) -> np.ndarray:
        self.asked += len(keys)
        return self.view.violations(keys)

    def key(self, genotype: tuple[int, ...]) -> str:
        return self.view.key(genotype)

    def seen(self, key: str) -> bool:
        self.asked += 1
        return self.view.seen(key)


def asked_and_kept(name: str, objective: str, checkpoints: Sequence[int], **values: object) -> list[tuple[int, int]]:
    """Returns the keys asked about and the bytes of the state at each number of evaluations, in a space of 4^30 genotypes."""
    encoding = VectorEncoding([4] * 30)
    world, strategy = World(encoding, objective), create_strategy(name, encoding, 0, **values)
    view = CountingView(world.view)
    found = []
    for until in checkpoints:
        while len(world) < until:
            strategy.tell(world.evaluate(strategy.ask(until - len(world), view)), view)
        found.append((view.asked, len(json.dumps(strategy.state_dict()))))
    return found


@pytest.mark.parametrize("name", EVERY)
def test_a_strategy_asks_for_as_many_keys_an_evaluation_late_as_early(name: str) -> None:
    asked = [asked for asked, _ in asked_and_kept(name, "archive", (500, 1000, 2000), **PARAMETERS.get(name, {}))]
    early, late = (asked[1] - asked[0]) / 500, (asked[2] - asked[1]) / 1000
    assert late < 1.25 * early


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_twenty_thousand_evaluations_with_the_defaults_ask_and_keep_no_more(name: str) -> None:
    (first, _), (early, bytes_early), (late, bytes_late) = asked_and_kept(name, "score", (5_000, 10_000, 20_000))
    assert late - early < 1.25 * 2 * (early - first)
    assert bytes_late < 1.1 * bytes_early
