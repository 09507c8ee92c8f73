"""Tests of FreeREA: two mutants and a crossover per step; the oldest member is removed, then the worst."""

import pytest

from rbflex_evo.spaces import VectorEncoding
from rbflex_evo.strategies import create_strategy
from rbflex_evo.strategies.conformance.synthetic import World, key_of

ENCODING = VectorEncoding([5] * 8)


def worth(world, genotypes):
    return world.archive.utility([key_of(genotype) for genotype in genotypes])


def filled(world, population, seed=0, **values):
    """Returns a strategy with a full population of given genotypes, oldest first."""
    strategy = create_strategy("free_rea", ENCODING, seed, population=len(population), **values)
    strategy.tell(world.evaluate(population), world.view)
    return strategy


def test_a_step_is_a_mutant_of_each_of_the_best_two_and_their_crossover():
    population = [(3, 4) * 4, (1,) * 8, (4, 3) * 4, (2,) * 8, (4,) * 8, (3,) * 8]
    for seed in range(20):
        world = World(ENCODING)
        first, second, crossed = filled(world, population, seed, tournament=6).ask(1000, world.view)
        assert ENCODING.distance(first, (1,) * 8) == 1.0
        assert ENCODING.distance(second, (2,) * 8) == 1.0
        # A child that was seen, a parent in all its genes, is mutated in one.
        assert sum(gene in (1, 2) for gene in crossed) >= 7


def test_a_tournament_draws_distinct_members():
    # With two members a tournament of 25 holds both, so the second parent is always the other one.
    for seed in range(20):
        world = World(ENCODING)
        second = filled(world, [(1,) * 8, (2,) * 8], seed, tournament=25).ask(1000, world.view)[1]
        assert ENCODING.distance(second, (2,) * 8) == 1.0


def test_several_steps_are_asked_at_once():
    world = World(ENCODING)
    assert len(filled(world, [(1,) * 8, (2,) * 8, (3,) * 8], steps=4).ask(1000, world.view)) == 12


@pytest.mark.parametrize("told", [1, 2, 3])
def test_the_oldest_goes_and_then_the_worst(told):
    world = World(ENCODING)
    population = [(1,) * 8, (4,) * 8, (2,) * 8, (3,) * 8, (1, 1, 1, 1, 2, 2, 2, 2)]
    strategy = filled(world, population)
    genotypes = strategy.ask(told, world.view)
    strategy.tell(world.evaluate(genotypes), world.view)
    rest = [*population[1:], *genotypes]
    kept = sorted(rest, key=lambda genotype: -worth(world, [genotype])[0])[:5]
    assert [candidate.genotype for candidate in strategy.population] == [g for g in rest if g in kept]
    assert (1,) * 8 not in kept


def test_several_steps_at_once_remove_as_many_of_the_oldest():
    world = World(ENCODING)
    population = [(1,) * 8, (1,) * 7 + (2,), *((4,) * 6 + (i, 3) for i in range(5))]
    strategy = filled(world, population, steps=2)
    strategy.tell(world.evaluate(strategy.ask(1000, world.view)), world.view)
    left = [candidate.genotype for candidate in strategy.population]
    assert len(left) == 7
    assert population[0] not in left
    assert population[1] not in left


def test_no_member_is_removed_for_its_age_while_the_population_fills():
    world, strategy = World(ENCODING), create_strategy("free_rea", ENCODING, 0, population=12)
    first = strategy.ask(7, world.view)
    strategy.tell(world.evaluate(first), world.view)
    second = strategy.ask(1000, world.view)
    strategy.tell(world.evaluate(second), world.view)
    assert [candidate.genotype for candidate in strategy.population] == [*first, *second]
    assert len(second) == 5


def test_a_warm_start_larger_than_the_population_keeps_its_best():
    world, strategy = World(ENCODING), create_strategy("free_rea", ENCODING, 0, population=3)
    strategy.tell(world.evaluate([(1,) * 8, (4,) * 8, (3,) * 8, (2,) * 8]), world.view)
    assert [candidate.genotype for candidate in strategy.population] == [(1,) * 8, (3,) * 8, (2,) * 8]
