"""Budgets: exact, never exceeded, and a reason that a person can read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rbflex_evo.engine.search.budget import UNLIMITED, Budget


@given(limit=st.integers(1, 1000), evaluations=st.integers(0, 1000))
def test_what_is_allowed_fills_the_budget_and_no_more(limit: int, evaluations: int) -> None:
    budget = Budget(evaluations=limit)
    assert budget.allows(evaluations) == max(0, limit - evaluations)
    assert (budget.spent(evaluations, 0.0, 0) is not None) == (budget.allows(evaluations) == 0)


def test_without_a_limit_of_evaluations_any_number_is_allowed() -> None:
    assert Budget(seconds=1.0).allows(10**6) == UNLIMITED


def test_each_limit_ends_the_search_with_a_sentence() -> None:
    budget = Budget(evaluations=1000, seconds=60, generations=1)
    assert budget.spent(999, 59.9, 0) is None
    assert budget.spent(1000, 0, 0) == "the budget of 1,000 evaluations is spent"
    assert budget.spent(0, 60, 0) == "the budget of 60 seconds is spent"
    assert budget.spent(0, 0, 1) == "the budget of 1 generation is spent"
    assert budget.out_of_time(60) and not budget.out_of_time(59.9)
