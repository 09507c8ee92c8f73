"""Defaults of strategies that follow the budget and the space, and the strategy that stands for the one that won."""

import pytest

from rbflex_evo.spaces import VectorEncoding, parse
from rbflex_evo.strategies import STRATEGIES, Situation, create_strategy, own_strategies
from rbflex_evo.strategies.auto import Auto, winners
from rbflex_evo.strategies.conformance.check_strategy import check_strategy

SITUATIONS = [
    Situation(evaluations, size, objectives)
    for evaluations in (1, 10, 100, 200, 1000, 100_000)
    for size in (12, 15_625, 10**18, None)
    for objectives in (1, 2, 3)
]
NAMES = [name for name in own_strategies() if name != Auto.name]


@pytest.mark.parametrize("name", NAMES)
def test_defaults_are_valid_parameters_in_every_situation(name):
    strategy = STRATEGIES.get(name)
    for situation in SITUATIONS:
        values = strategy.defaults_for(situation, {})
        parse(strategy.Parameters, values, name)
        assert values == strategy.defaults_for(situation, {})


@pytest.mark.parametrize("name", NAMES)
def test_a_strategy_with_defaults_that_follow_the_budget_says_so(name):
    strategy = STRATEGIES.get(name)
    values = [strategy.defaults_for(situation, {}) for situation in SITUATIONS]
    assert bool(strategy.default_rule) == any(values)


@pytest.mark.parametrize("evaluations", [20, 200, 5000])
@pytest.mark.parametrize("name", NAMES)
def test_strategies_keep_the_contract_with_the_defaults_of_a_budget(name, evaluations):
    check_strategy(name, **STRATEGIES.get(name).defaults_for(Situation.of(evaluations, 1024), {}))


@pytest.mark.parametrize("name", NAMES)
def test_a_strategy_that_is_created_directly_has_the_defaults_of_its_class(name):
    strategy = create_strategy(name, VectorEncoding([3] * 6))
    assert strategy.parameters == strategy.Parameters()


def test_a_budget_of_time_counts_as_a_thousand_evaluations_and_a_space_limits_it():
    assert Situation.of(None, None).evaluations == 1000
    assert Situation.of(None, 27).evaluations == 27
    assert Situation.of(200, 15_625) == Situation(200, 15_625, 1)


def test_the_root_of_a_budget_is_rounded_to_a_multiple_within_bounds():
    assert [Situation(n).root(1.0, 8, 50) for n in (1, 100, 200, 1000, 10_000)] == [8, 10, 14, 32, 50]
    assert [Situation(n).root(1.0, 8, 100, multiple=4) for n in (100, 200, 1000)] == [8, 16, 32]


def test_the_table_of_winners_has_a_strategy_of_ours_for_every_situation():
    assert all(Auto.choice(situation) in NAMES for situation in SITUATIONS)
    assert {row.strategy for row in winners()} <= set(NAMES)
