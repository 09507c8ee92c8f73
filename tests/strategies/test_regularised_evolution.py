"""Tests of regularised evolution: the oldest are removed, even the best; children are mutants of tournament winners."""

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


def test_the_population_is_asked_for_first_and_then_a_batch_of_children():
    strategy = create_strategy("regularised_evolution", ENCODING, 0, population=12, batch=5)
    assert [len(genotypes) for genotypes in rounds(World(ENCODING), strategy, 4)] == [12, 5, 5, 5]


def test_the_defaults_are_the_papers():
    parameters = create_strategy("regularised_evolution", ENCODING).parameters
    assert (parameters.population, parameters.tournament) == (100, 25)


@pytest.mark.parametrize("batch", [1, 4])
def test_the_population_is_the_last_told_whatever_they_are_worth(batch):
    world = World(ENCODING, succeeds_every=3)
    strategy = create_strategy("regularised_evolution", ENCODING, 0, population=10, tournament=3, batch=batch)
    told = []
    for genotypes in rounds(world, strategy, 20):
        told += genotypes
        assert [candidate.genotype for candidate in strategy.population] == told[-10:]


def test_the_best_dies_when_it_is_the_oldest():
    world = World(ENCODING)
    strategy = create_strategy("regularised_evolution", ENCODING, 0, population=4, tournament=2, batch=1)
    strategy.tell(world.evaluate([(1,) * 8, (4,) * 8, (3,) * 8, (2,) * 8]), world.view)
    list(rounds(world, strategy, 1))
    assert (1,) * 8 not in [candidate.genotype for candidate in strategy.population]
    assert world.archive.incumbent().genotype == (1,) * 8


def test_children_are_one_gene_from_the_best_of_their_tournament():
    # A sample of 400 from 6 holds all of them, so every parent is the best.
    world = World(ENCODING)
    strategy = create_strategy("regularised_evolution", ENCODING, 0, population=6, tournament=400)
    first, second = rounds(world, strategy, 2)
    best = max(first, key=lambda genotype: world.archive.utility([key_of(genotype)])[0])
    assert {ENCODING.distance(best, child) for child in second} == {1.0}


def test_a_tournament_of_one_takes_any_parent():
    world = World(ENCODING)
    strategy = create_strategy("regularised_evolution", ENCODING, 0, population=6, tournament=1, batch=60)
    first, second = rounds(world, strategy, 2)
    nearest = {min(first, key=lambda parent: ENCODING.distance(parent, child)) for child in second}
    assert nearest == set(first)
