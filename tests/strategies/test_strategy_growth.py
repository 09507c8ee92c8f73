"""How much a strategy asks of the view, counted in keys: as much an evaluation late in a run as early in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from spaces import VectorEncoding
from strategies import STRATEGIES, create_strategy
from strategies.strategy import View
from strategies.synthetic import World

PARAMETERS = {"annealing": {"memory": 100, "cooling": 0.3}}


class CountingView:
    """Passes everything on and counts the keys whose utility or place in the archive is asked for."""

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


@pytest.mark.parametrize("name", STRATEGIES.names())
def test_a_strategy_asks_for_as_many_keys_an_evaluation_late_as_early(name: str) -> None:
    encoding = VectorEncoding([4] * 30)
    world, strategy = World(encoding, "archive"), create_strategy(name, encoding, 0, **PARAMETERS.get(name, {}))
    view = CountingView(world.view)
    asked = []
    for until in (500, 1000, 2000):
        while len(world) < until:
            strategy.tell(world.evaluate(strategy.ask(until - len(world), view)), view)
        asked.append(view.asked)
    early, late = (asked[1] - asked[0]) / 500, (asked[2] - asked[1]) / 1000
    assert late < 1.25 * early
