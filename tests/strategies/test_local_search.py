"""Tests of local search: all neighbours of the current member, a move to the best, and a restart at a local optimum."""

import pytest

from rbflex_evo.spaces import VectorEncoding
from rbflex_evo.strategies import create_strategy
from rbflex_evo.strategies.conformance.synthetic import World, key_of

ENCODING = VectorEncoding([5] * 8)
START = (0, 1, 2, 3, 4, 0, 1, 2)


def keys(genotypes):
    return {key_of(genotype) for genotype in genotypes}


def begun(world, start, **values):
    strategy = create_strategy("local_search", ENCODING, 0, **values)
    strategy.tell(world.evaluate([start]), world.view)
    return strategy


def test_every_neighbour_is_asked_for_at_once_or_in_batches():
    for batch, n in ((None, 1000), (7, 1000), (None, 5), (1, 3)):
        world = World(ENCODING)
        strategy = begun(world, START, batch=batch)
        neighbours = keys(ENCODING.neighbours(START))
        asked = set()
        while asked < neighbours:
            genotypes = strategy.ask(n, world.view)
            assert strategy.current.genotype == START
            assert len(genotypes) == min(n, batch or n, len(neighbours - asked))
            assert not keys(genotypes) & asked
            strategy.tell(world.evaluate(genotypes), world.view)
            asked |= keys(genotypes)
        assert asked == neighbours


@pytest.mark.parametrize("objective", ["score", "archive", "generation"])
def test_it_moves_to_the_best_of_all_neighbours(objective):
    world = World(ENCODING, objective)
    strategy = begun(world, START)
    strategy.tell(world.evaluate(strategy.ask(1000, world.view)), world.view)
    known = [key_of(START), *sorted(keys(ENCODING.neighbours(START)))]
    utility = dict(zip(known, world.archive.utility(known), strict=True))
    strategy.ask(1000, world.view)
    assert utility[strategy.current.key] == max(utility.values()) > utility[key_of(START)]


def test_a_climb_ends_where_no_neighbour_is_better_and_begins_again():
    world = World(ENCODING)
    strategy = create_strategy("local_search", ENCODING, 3)
    climbed = []
    while (genotypes := strategy.ask(1000, world.view)) and not (climbed and strategy.current is None):
        if strategy.current is not None:
            climbed.append(world.archive.utility([strategy.current.key])[0])
        strategy.tell(world.evaluate(genotypes), world.view)
    assert climbed == sorted(set(climbed))
    # The landscape has one optimum. When all of its neighbours are known, one random genotype is asked for.
    assert world.archive.incumbent().genotype == (1,) * 8
    assert all(world.view.seen(key) for key in keys(ENCODING.neighbours((1,) * 8)))
    assert len(genotypes) == 1


def test_equal_neighbours_are_no_reason_to_move():
    world = World(ENCODING, flat=True)
    strategy = begun(world, START)
    strategy.tell(world.evaluate(strategy.ask(1000, world.view)), world.view)
    strategy.ask(1000, world.view)
    assert strategy.current is None


def test_neighbours_that_were_seen_count_but_are_not_asked_for():
    world = World(ENCODING)
    strategy = begun(world, START)
    world.evaluate(list(ENCODING.neighbours(START)))
    genotypes = strategy.ask(1000, world.view)
    best = strategy.current.genotype
    assert ENCODING.distance(best, START) == 1.0
    assert keys(genotypes) == keys(ENCODING.neighbours(best)) - keys([START]) - keys(ENCODING.neighbours(START))


def test_a_climb_begins_at_the_best_of_its_random_genotypes():
    world, strategy = World(ENCODING), create_strategy("local_search", ENCODING, 0, initial=9)
    genotypes = strategy.ask(1000, world.view)
    strategy.tell(world.evaluate(genotypes), world.view)
    assert len(genotypes) == 9
    worth = dict(zip(genotypes, world.archive.utility([key_of(g) for g in genotypes]), strict=True))
    assert worth[strategy.current.genotype] == max(worth.values())


def test_ranks_that_contradict_each_other_end_a_climb_over_known_ground():
    # Every key is seen, so only the climb could run forever: "generation" ranks are computed anew in each comparison.
    encoding = VectorEncoding([3] * 4)
    world = World(encoding, "generation")
    world.evaluate(list({key_of(genotype): genotype for genotype in encoding.enumerate()}.values()))
    for genotype in encoding.enumerate():
        strategy = create_strategy("local_search", encoding, 0)
        strategy.tell(world.evaluate([genotype]), world.view)
        assert strategy.ask(1000, world.view) == []
