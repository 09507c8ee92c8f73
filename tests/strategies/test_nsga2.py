"""Tests of NSGA-II: constrained domination, selection against the paper's definition, and a known front that it finds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbflex_evo.fitness.objective.pareto import fronts
from rbflex_evo.spaces import ConfigError, VectorEncoding
from rbflex_evo.strategies import create_strategy
from rbflex_evo.strategies.conformance.synthetic import World, canonical, key_of
from rbflex_evo.strategies.nsga2 import Nsga2, Nsga2Parameters, Worth
from rbflex_evo.strategies.population import Member

ENCODING = VectorEncoding([5] * 6)


def _select(members, count, view, **values):
    return Nsga2(ENCODING, 0, Nsga2Parameters(**values))._select(members, count, view)


class Known:
    """A view with given objectives and violations by key."""

    def __init__(self, rows, broken):
        self.rows, self.broken = np.array(rows), np.array(broken)

    def objectives(self, keys):
        return self.rows[[int(key) for key in keys]]

    def violations(self, keys):
        return self.broken[[int(key) for key in keys]]


ROWS = st.lists(
    st.tuples(
        st.one_of(st.tuples(*[st.integers(0, 4).map(float)] * 2), st.just((np.nan, np.nan))),
        st.sampled_from([0.0, 0.0, 0.5, 1.5]),
    ),
    min_size=1,
    max_size=14,
)


def dominates(a, b):
    """Constrained domination as defined by Deb et al. (2002, section VI); failed candidates are dominated by all others."""
    (row_a, broken_a), (row_b, broken_b) = a, b
    if np.isnan(row_a[0]) or np.isnan(row_b[0]):
        return not np.isnan(row_a[0]) and bool(np.isnan(row_b[0]))
    if broken_a > 0 or broken_b > 0:
        return broken_a < broken_b
    return row_a != row_b and all(x >= y for x, y in zip(row_a, row_b, strict=True))


@given(ROWS)
def test_domination_is_constrained(rows):
    for a, b in itertools.product(rows, repeat=2):
        assert Worth(np.array(a[0]), a[1]).dominates(Worth(np.array(b[0]), b[1])) == dominates(a, b)


@given(ROWS, st.integers(1, 14))
def test_selection_takes_whole_fronts_and_of_the_last_the_least_crowded(rows, count):
    count = min(count, len(rows))
    view = Known(*zip(*rows, strict=True))
    members = [Member((i,), str(i)) for i in range(len(rows))]
    chosen = _select(members, count, view)
    kept = {int(individual.member.key) for individual in chosen}
    assert len(kept) == count
    left = set(range(len(rows)))
    while True:
        front = {i for i in left if not any(dominates(rows[j], rows[i]) for j in left)}
        if len(front & kept) < len(front):
            break
        left -= front
        if not left:
            return
    # Only members of the last front are kept in part; no member of a later front is kept.
    assert kept & left == kept & front
    crowd = {int(individual.member.key): individual.fitness.crowding_dist for individual in _select(members, len(rows), view)}
    assert min([crowd[i] for i in kept & front], default=np.inf) >= max(crowd[i] for i in front - kept)


def test_it_finds_the_whole_front_of_a_small_space():
    world, strategy = World(ENCODING, "pareto"), create_strategy("nsga2", ENCODING, 0, population=40)
    while len(world) < 1200:
        strategy.tell(world.evaluate(strategy.ask(1200 - len(world), world.view)), world.view)
    every = {canonical(genotype) for genotype in ENCODING.enumerate()}
    values = np.array([(-sum((gene - 1) ** 2 for gene in g) - 9000.0, -float(sum(g))) for g in every])
    true_front = {tuple(row) for row in values[fronts(values) == 0]}
    assert len(true_front) == 7
    found = {tuple(world.archive.objectives([e.key])[0]) for e in world.archive.front()}
    assert found == true_front


def test_with_one_objective_it_is_elitist():
    world, strategy = World(ENCODING), create_strategy("nsga2", ENCODING, 1, population=12)
    best = []
    for _ in range(12):
        strategy.tell(world.evaluate(strategy.ask(12, world.view)), world.view)
        best.append(max(world.archive.utility([candidate.key for candidate in strategy.population])))
    assert best == sorted(best) and best[-1] > best[0]
    assert best[-1] == world.archive.utility([world.archive.incumbent().key])[0]


def test_infeasible_candidates_leave_the_population_as_soon_as_feasible_ones_are_found():
    world = World(ENCODING, "pareto", limit=9.0, handling="deb")
    strategy = create_strategy("nsga2", ENCODING, 0, population=12)
    for _ in range(10):
        strategy.tell(world.evaluate(strategy.ask(12, world.view)), world.view)
    keys = [candidate.key for candidate in strategy.population]
    assert (world.archive.violations(keys) == 0).all()
    assert (world.archive.violations([e.key for e in world.archive.evaluations]) > 0).any()


def test_no_key_is_evaluated_twice_and_offspring_are_cut_to_the_budget():
    world, strategy = World(ENCODING, "pareto"), create_strategy("nsga2", ENCODING, 0, population=8)
    sizes, keys = [], []
    for n in (100, 100, 3, 100):
        genotypes = strategy.ask(n, world.view)
        sizes.append(len(genotypes))
        keys += [key_of(genotype) for genotype in genotypes]
        strategy.tell(world.evaluate(genotypes), world.view)
    assert sizes == [8, 8, 3, 8] and len(set(keys)) == len(keys)


def test_a_population_that_the_tournament_cannot_pair_is_refused():
    with pytest.raises(ConfigError, match=r"'strategy\.nsga2\.population': input should be a multiple of 4"):
        create_strategy("nsga2", ENCODING, population=10)
