"""Tests of random search: it enumerates a small space once and rejects seen draws in a large one."""

from collections import Counter

from rbflex_evo.spaces import VectorEncoding
from rbflex_evo.strategies import create_strategy
from rbflex_evo.strategies.conformance.synthetic import World, key_of
from rbflex_evo.strategies.unseen import ENUMERABLE
from tests.support.open_encoding import OpenEncoding


def run(encoding, seed, **values):
    world, strategy = World(encoding), create_strategy("random", encoding, seed, **values)
    proposals = []
    while genotypes := strategy.ask(10**9, world.view):
        strategy.tell(world.evaluate(genotypes), world.view)
        proposals += genotypes
    return proposals


def test_a_walked_space_gives_every_key_exactly_once():
    encoding = VectorEncoding([3, 3, 4, 2])
    keys = [key_of(genotype) for genotype in run(encoding, 0)]
    assert len(keys) == len(set(keys))
    assert set(keys) == {key_of(genotype) for genotype in encoding.enumerate()}


def test_seeds_walk_in_different_orders():
    encoding = VectorEncoding([4, 4, 4])
    assert run(encoding, 0) != run(encoding, 1)


def test_the_first_genotype_is_uniform():
    encoding = VectorEncoding([2, 3])
    view = World(encoding).view
    first = Counter(create_strategy("random", encoding, seed).ask(1, view)[0] for seed in range(1200))
    # 6 genotypes, 200 expected each, standard deviation 13.
    assert len(first) == 6
    assert all(135 < count < 265 for count in first.values())


def test_the_batch_size_does_not_change_the_order():
    encoding = VectorEncoding([4, 4, 4])
    assert run(encoding, 5, batch=1) == run(encoding, 5, batch=50)


def test_what_was_seen_before_is_skipped():
    encoding = VectorEncoding([3, 3, 3])
    world = World(encoding)
    warm = [genotype for genotype in encoding.enumerate() if genotype[2] != 2]
    strategy = create_strategy("random", encoding, 0)
    strategy.tell(world.evaluate(warm), world.view)
    genotypes = strategy.ask(100, world.view)
    assert {key_of(genotype) for genotype in genotypes} == {
        key_of(genotype) for genotype in encoding.enumerate() if genotype[2] == 2
    }


def test_a_space_too_large_to_walk_is_sampled_without_repetition():
    encoding = VectorEncoding([10] * 12)
    assert encoding.size > ENUMERABLE
    for chosen in (encoding, OpenEncoding(encoding)):
        world, strategy = World(chosen), create_strategy("random", chosen, 0)
        for _ in range(4):
            strategy.tell(world.evaluate(strategy.ask(100, world.view)), world.view)
        assert len(world) == 200
