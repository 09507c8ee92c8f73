"""Tests of search economics: regions, their expected values, and the distribution of evaluations."""

from collections import Counter

import numpy as np
import pytest

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.fitness.objective.objective import Objective
from rbflex_evo.spaces import VectorEncoding
from rbflex_evo.strategies import create_strategy
from rbflex_evo.strategies.conformance.synthetic import World, key_of

ENCODING = VectorEncoding([5] * 8)


def advance(world, strategy, n=1000):
    genotypes = strategy.ask(n, world.view)
    strategy.tell(world.evaluate(genotypes), world.view)
    return genotypes


def test_regions_are_the_surroundings_of_anchors_far_apart():
    strategy = create_strategy("search_economics", ENCODING, 0)
    anchors = strategy.anchors
    assert len(set(anchors)) == 4
    assert [strategy.region(anchor) for anchor in anchors] == [0, 1, 2, 3]
    assert min(ENCODING.distance(a, b) for a in anchors for b in anchors if a != b) >= 6
    rng = np.random.Generator(np.random.PCG64(1))
    sizes = Counter(strategy.region(ENCODING.sample(rng)) for _ in range(2000))
    assert min(sizes.values()) > 200


def test_a_space_of_fewer_genotypes_than_regions_has_fewer_regions():
    assert len(create_strategy("search_economics", VectorEncoding([3]), 0).anchors) == 3


def test_the_first_ask_stocks_every_region_and_the_next_ones_are_rounds_of_all_searchers():
    world, strategy = World(ENCODING), create_strategy("search_economics", ENCODING, 0, searchers=3, regions=4, goods=5)
    first = advance(world, strategy)
    assert Counter(map(strategy.region, first)) == dict.fromkeys(range(4), 5)
    assert [len(advance(world, strategy)) for _ in range(3)] == [15, 15, 15]
    assert [len(goods) for goods in strategy.goods] == [5, 5, 5, 5]


def test_goods_are_the_best_of_their_region_that_were_told():
    world, strategy = World(ENCODING), create_strategy("search_economics", ENCODING, 0, goods=3)
    told = []
    for _ in range(12):
        told += advance(world, strategy)
        for region, goods in enumerate(strategy.goods):
            inside = [genotype for genotype in told if strategy.region(genotype) == region]
            utilities = np.sort(world.archive.utility([key_of(genotype) for genotype in inside]))
            kept = world.archive.utility([good.key for good in goods])
            assert kept.tolist() == utilities[::-1][:3].tolist()


def test_searchers_never_get_worse_and_stay_what_they_were_or_take_a_candidate():
    world, strategy = World(ENCODING), create_strategy("search_economics", ENCODING, 0)
    advance(world, strategy)
    strategy.ask(1000, world.view)
    for _ in range(10):
        before = world.archive.utility([searcher.key for searcher in strategy.searchers])
        advance(world, strategy)
        after = world.archive.utility([searcher.key for searcher in strategy.searchers])
        assert (after >= before).all()


def test_what_a_region_promises_is_waiting_over_investing_times_mean_times_share_of_the_best():
    world, strategy = World(ENCODING), create_strategy("search_economics", ENCODING, 2, goods=2)
    for _ in range(5):
        advance(world, strategy)
    known = sorted({c.key for goods in strategy.goods for c in goods} | {k for keys in strategy._candidates for k in keys})
    utility = dict(zip(known, world.archive.utility(known), strict=True))

    def value(key):
        others = list(utility.values())
        return (sum(u < utility[key] for u in others) + sum(u == utility[key] for u in others) / 2) / len(others)

    best = [max(value(good.key) for good in goods) for goods in strategy.goods]
    for region, expected in enumerate(strategy.expected_values(world.view)):
        mean = sum(map(value, strategy._candidates[region])) / len(strategy._candidates[region])
        wait = strategy.waited[region] / strategy.invested[region]
        assert expected == pytest.approx(wait * mean * best[region] / sum(best))


def test_a_region_waits_until_it_has_candidates_and_counts_the_rounds_in_a_row_that_it_has():
    world, strategy = World(ENCODING), create_strategy("search_economics", ENCODING, 0)
    advance(world, strategy)
    invested, waited = [1] * 4, [1] * 4
    assert (strategy.invested, strategy.waited) == (invested, waited)
    seen = set()
    for _ in range(20):
        had = set(map(strategy.region, advance(world, strategy)))
        seen.add(len(had))
        invested = [invested[j] + 1 if j in had else 1 for j in range(4)]
        waited = [1 if j in had else waited[j] + 1 for j in range(4)]
        assert (strategy.invested, strategy.waited) == (invested, waited)
    assert seen & {1, 2, 3}


def shares_of_regions(target, **values):
    """Returns the share of ten searches' candidates in each region; scores rise towards one region's anchor."""
    counts = np.zeros(4)
    for seed in range(10):
        view = ArchiveView(Objective(("rbflex",)), str)
        strategy = create_strategy("search_economics", ENCODING, seed, **values)
        for round_ in range(16):
            genotypes = strategy.ask(1000, view)
            for genotype in genotypes:
                score = -9000.0 - ENCODING.distance(genotype, strategy.anchors[target]) + genotype[0] / 100
                view.add(Evaluation(genotype, str(genotype), {"rbflex": score}))
                counts[strategy.region(genotype)] += round_ > 0
            strategy.tell([view.get(str(genotype)) for genotype in genotypes], view)
    return counts / counts.sum()


@pytest.mark.parametrize("target", [0, 3])
def test_better_regions_are_invested_in_more_and_none_is_given_up(target):
    shares = shares_of_regions(target)
    assert shares[target] > 1.5 * np.delete(shares, target).max()
    assert shares.min() > 0.1


@pytest.mark.parametrize("target", [0, 3])
def test_it_is_the_tournament_of_expected_values_that_does_so(target):
    assert shares_of_regions(target)[target] > shares_of_regions(target, tournament=1)[target] + 0.08
