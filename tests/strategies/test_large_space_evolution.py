"""Tests of large-space evolution: two edits of a random survivor, the lowest removed."""

import pytest

from rbflex_evo.spaces import VectorEncoding
from rbflex_evo.strategies import create_strategy
from rbflex_evo.strategies.conformance.synthetic import World, key_of

ENCODING = VectorEncoding([5] * 12)


def rounds(world, strategy, count, n=1000):
    for _ in range(count):
        genotypes = strategy.ask(n, world.view)
        strategy.tell(world.evaluate(genotypes), world.view)
        yield genotypes


def test_the_defaults_are_az_nass():
    parameters = create_strategy("large_space_evolution", ENCODING).parameters
    assert (parameters.population, parameters.edits, parameters.initial) == (1024, 2, 11)


def test_a_few_random_genotypes_begin_and_children_fill_the_population():
    world = World(ENCODING)
    strategy = create_strategy("large_space_evolution", ENCODING, 0, population=40, initial=5, batch=10)
    sizes = [(len(genotypes), len(strategy.population)) for genotypes in rounds(world, strategy, 6)]
    assert sizes == [(5, 5), (10, 15), (10, 25), (10, 35), (10, 40), (10, 40)]


@pytest.mark.parametrize("edits", [1, 2, 3])
def test_children_are_so_many_edits_from_a_survivor(edits):
    world = World(ENCODING)
    strategy = create_strategy("large_space_evolution", ENCODING, 0, edits=edits, initial=1, batch=20)
    (parent,), children = rounds(world, strategy, 2)
    distances = [ENCODING.distance(parent, child) for child in children]
    # Editing one gene twice leaves a smaller distance; a seen child is mutated again in one gene.
    assert max(distances) in (edits, edits + 1)
    assert sum(distance == edits for distance in distances) > 10


def test_any_survivor_may_be_a_parent():
    world = World(ENCODING)
    strategy = create_strategy("large_space_evolution", ENCODING, 1, initial=6, batch=90)
    first, children = rounds(world, strategy, 2)
    nearest = [min(first, key=lambda parent: ENCODING.distance(parent, child)) for child in children]
    # 15 each are expected, with a standard deviation of 3.5.
    assert all(3 <= nearest.count(parent) <= 30 for parent in first)


@pytest.mark.parametrize("objective", ["score", "archive", "generation"])
def test_the_lowest_are_removed_as_they_are_ranked_now(objective):
    world = World(ENCODING, objective)
    strategy = create_strategy("large_space_evolution", ENCODING, 0, population=20, batch=8)
    before = set()
    for genotypes in rounds(world, strategy, 12):
        pool = sorted(before | {key_of(genotype) for genotype in genotypes})
        utility = dict(zip(pool, world.archive.utility(pool), strict=True))
        kept = {candidate.key for candidate in strategy.population}
        assert len(kept) == min(len(pool), 20)
        assert min(utility[key] for key in kept) >= max((utility[key] for key in set(pool) - kept), default=-1e9)
        before = kept


def test_utilities_are_asked_for_once_a_batch_and_only_of_a_full_population():
    class Counting:
        def __init__(self, view):
            self.view, self.calls = view, []
            self.key, self.seen = view.key, view.seen

        def utility(self, keys):
            self.calls.append(len(keys))
            return self.view.utility(keys)

    world = World(ENCODING)
    view = Counting(world.view)
    strategy = create_strategy("large_space_evolution", ENCODING, 0, population=32, initial=2, batch=10)
    for _ in range(6):
        strategy.tell(world.evaluate(strategy.ask(1000, view)), view)
    assert view.calls == [42, 42]
