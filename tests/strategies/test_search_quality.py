"""Guided strategies find better candidates than random search at the same budget, on smooth landscapes."""

import statistics
from functools import cache

import numpy as np
import pytest

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.fitness.objective.objective import Objective
from rbflex_evo.spaces import VectorEncoding
from rbflex_evo.strategies import create_strategy, own_strategies

ENCODING = VectorEncoding([4] * 8)
BUDGET = 200
SEEDS = range(9)


def smooth(genotype):
    """Returns an additive score with one interaction, so that most genes can be improved independently."""
    worth = np.sin(np.arange(32).reshape(8, 4) * 1.7)
    return float(sum(worth[i, gene] for i, gene in enumerate(genotype)) + 0.5 * (genotype[0] == genotype[7]))


def best_smooth(name, seed, objective, **values):
    view = ArchiveView(objective, str)
    strategy = create_strategy(name, ENCODING, seed, **values)
    while len(view) < BUDGET:
        genotypes = strategy.ask(BUDGET - len(view), view)
        evaluations = [
            Evaluation(g, str(g), {"smooth": -9000 + smooth(g), "size": float(sum(g)) / 10 + smooth(g)}) for g in genotypes
        ]
        for evaluation in evaluations:
            view.add(evaluation)
        strategy.tell(evaluations, view)
    return smooth(view.incumbent().genotype)


GUIDED = {
    "auto": {},
    "genetic": {},
    "annealing": {},
    "regularised_evolution": {},
    "free_rea": {},
    "local_search": {},
    "search_economics": {},
    # The default of 1024 is never full within 200 evaluations, so nothing would be selected.
    "large_space_evolution": {"population": 32, "batch": 8},
    "reinforce": {},
    "nsga2": {"population": 40},
    "nsga3": {"population": 40},
}


@cache
def median_best(name, objective):
    return statistics.median(best_smooth(name, seed, objective, **GUIDED.get(name, {})) for seed in SEEDS)


def test_every_strategy_but_random_search_is_guided():
    assert {"random", *GUIDED} == set(own_strategies())


@pytest.mark.parametrize("name", GUIDED)
@pytest.mark.parametrize("objective", [Objective(("smooth",)), Objective(("smooth", "size"), "log")])
def test_guided_strategies_beat_random_search_in_the_median(name, objective):
    assert median_best(name, objective) > median_best("random", objective) + 0.3
