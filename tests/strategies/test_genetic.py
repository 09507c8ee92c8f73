"""Tests of the genetic algorithm: elitist, generational, each key evaluated once."""

import pytest

from rbflex_evo.spaces import VectorEncoding
from rbflex_evo.strategies import create_strategy
from rbflex_evo.strategies.conformance.synthetic import World, key_of

ENCODING = VectorEncoding([5] * 8)


def rounds(world, strategy, count, n=1000):
    for _ in range(count):
        genotypes = strategy.ask(n, world.view)
        strategy.tell(world.evaluate(genotypes), world.view)
        yield genotypes


def test_the_first_batch_is_the_population_and_the_next_ones_are_offspring():
    strategy = create_strategy("genetic", ENCODING, 0, population=12, offspring=7)
    assert [len(genotypes) for genotypes in rounds(World(ENCODING), strategy, 4)] == [12, 7, 7, 7]
    assert strategy.generation == 4


def test_a_population_cut_by_the_budget_is_filled_before_anything_is_bred():
    strategy = create_strategy("genetic", ENCODING, 0, population=12)
    assert [len(genotypes) for genotypes in rounds(World(ENCODING), strategy, 3, n=5)] == [5, 5, 2]


@pytest.mark.parametrize("objective", ["score", "archive", "generation"])
def test_the_population_holds_the_best_of_itself_and_the_offspring(objective):
    world, strategy = World(ENCODING, objective), create_strategy("genetic", ENCODING, 0, population=10)
    before = set()
    for genotypes in rounds(world, strategy, 6):
        pool = sorted(before | {key_of(genotype) for genotype in genotypes})
        utility = dict(zip(pool, world.archive.utility(pool), strict=True))
        kept = {candidate.key for candidate in strategy.population}
        assert len(kept) == 10
        assert min(utility[key] for key in kept) >= max((utility[key] for key in set(pool) - kept), default=-1e9)
        before = kept


def test_a_raw_score_never_falls_from_generation_to_generation():
    world, strategy = World(ENCODING), create_strategy("genetic", ENCODING, 2, population=10)
    best = [world.archive.utility([strategy.population[0].key])[0] for _ in rounds(world, strategy, 15)]
    assert best == sorted(best)
    assert best[-1] == world.archive.utility([world.archive.incumbent().key])[0]
    assert best[-1] > best[0]


def test_no_key_is_proposed_twice_even_late_in_a_small_space():
    encoding = VectorEncoding([3] * 4)
    world, strategy = World(encoding), create_strategy("genetic", encoding, 0, population=6)
    keys = [key_of(genotype) for genotypes in rounds(world, strategy, 40) for genotype in genotypes]
    assert len(keys) == len(set(keys)) == 6 * 9


def test_a_warm_start_takes_the_places_of_random_newcomers():
    world, strategy = World(ENCODING), create_strategy("genetic", ENCODING, 0, population=10)
    given = [(1,) * 8, (1,) * 7 + (2,), (4,) * 8]
    strategy.tell(world.evaluate(given), world.view)
    assert [len(genotypes) for genotypes in rounds(world, strategy, 2)] == [7, 10]
    assert strategy.population[0].genotype == (1,) * 8


def test_failed_candidates_leave_as_soon_as_others_succeed():
    world = World(ENCODING, succeeds_every=3)
    strategy = create_strategy("genetic", ENCODING, 0, population=8)
    list(rounds(world, strategy, 8))
    assert not any(world.archive.get(candidate.key).failed for candidate in strategy.population)


def test_children_come_from_tournament_winners():
    # The tournament includes all members. Without crossover, and with one-gene changes, all children are mutants of the best.
    world = World(ENCODING)
    strategy = create_strategy("genetic", ENCODING, 0, population=6, tournament=200, crossover=0.0, mutation=0.0)
    first, second = rounds(world, strategy, 2)
    best = max(first, key=lambda genotype: world.archive.utility([key_of(genotype)])[0])
    assert {ENCODING.distance(best, child) for child in second} == {1.0}
