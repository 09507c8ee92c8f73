"""Tests of simulated annealing: schedule, acceptance and restarts."""

import numpy as np
import pytest

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.fitness.objective.objective import Objective
from rbflex_evo.spaces import VectorEncoding
from rbflex_evo.strategies import create_strategy
from rbflex_evo.strategies.conformance.synthetic import World, key_of

ENCODING = VectorEncoding([5] * 8)


def test_the_default_schedule_is_a_thousand_evaluations_from_1_to_8e_4():
    world, strategy = World(ENCODING), create_strategy("annealing", ENCODING, 0)
    temperatures = []
    strategy.tell(world.evaluate(strategy.ask(1000, world.view)), world.view)
    asked = 0
    while strategy.current is not None:
        temperatures.append(strategy.temperature)
        genotypes = strategy.ask(1000, world.view)
        asked += len(genotypes)
        strategy.tell(world.evaluate(genotypes), world.view)
    assert asked == 1000
    assert sorted(set(temperatures), reverse=True) == pytest.approx([0.745**i for i in range(25)])
    assert all(temperatures.count(temperature) == 4 for temperature in set(temperatures))


def test_proposals_are_one_gene_from_current_while_its_neighbours_are_unseen():
    world, strategy = World(ENCODING), create_strategy("annealing", ENCODING, 1)
    strategy.tell(world.evaluate([(0, 1, 2, 3, 4, 0, 1, 2)]), world.view)
    genotypes = strategy.ask(1000, world.view)
    assert len(genotypes) == 10
    assert {ENCODING.distance(strategy.current.genotype, genotype) for genotype in genotypes} == {1.0}


def test_where_all_neighbours_are_seen_it_looks_further_away():
    world, strategy = World(ENCODING), create_strategy("annealing", ENCODING, 1)
    start = (1, 1, 1, 1, 1, 1, 1, 1)
    strategy.tell(world.evaluate([start, *ENCODING.neighbours(start)]), world.view)
    assert strategy.current.genotype == start
    assert {ENCODING.distance(start, genotype) for genotype in strategy.ask(5, world.view)} == {2.0}


def told_step(strategy, world, genotypes):
    """Tells one step with given proposals, so that the expected acceptance is known."""
    strategy.generation = max(strategy.generation, 1)
    strategy.tell(world.evaluate(genotypes), world.view)


def test_a_better_candidate_is_always_taken_and_the_best_of_its_batch():
    for seed in range(20):
        world, strategy = World(ENCODING), create_strategy("annealing", ENCODING, seed, start_temperature=1e-3)
        strategy.tell(world.evaluate([(3,) * 8]), world.view)
        told_step(strategy, world, [(4,) * 8, (1,) * 8, (2,) * 8])
        assert strategy.current.genotype == (1,) * 8


@pytest.mark.parametrize(("temperature", "low", "high"), [(1e6, 199, 200), (0.5, 22, 54), (8e-4, 0, 0)])
def test_a_worse_candidate_is_taken_with_the_probability_of_metropolis(temperature, low, high):
    accepted = 0
    for seed in range(200):
        world = World(ENCODING)
        strategy = create_strategy("annealing", ENCODING, seed, start_temperature=temperature, end_temperature=1e-9)
        # The candidate, told as the sixth, is the worst of six and current the best: 0.5/6 - 5.5/6 = -5/6.
        strategy.tell(world.evaluate([(gene,) * 7 + (1,) for gene in (1, 2, 3)]), world.view)
        strategy.tell(world.evaluate([(3,) * 8, (3,) * 7 + (4,)]), world.view)
        told_step(strategy, world, [(4,) * 8])
        accepted += strategy.current.genotype == (4,) * 8
    # 200 exp(-(5/6) / 0.5) = 38 with a standard deviation of 5.5; nearly 200 and nearly 0 at the extremes.
    assert low <= accepted <= high


@pytest.mark.parametrize("stretch", [lambda v: 1e-6 * v, lambda v: -np.exp(-v / 20) - 9000.0])
def test_a_monotone_transform_of_the_score_changes_no_proposal(stretch):
    def run(transform):
        view = ArchiveView(Objective(("rbflex",)), key_of)
        strategy = create_strategy("annealing", ENCODING, 4, cooling=0.3)
        for _ in range(60):
            genotypes = strategy.ask(10, view)
            evaluations = [
                Evaluation(g, key_of(g), {"rbflex": float(transform(-sum((gene - 1) ** 2 for gene in g)))}) for g in genotypes
            ]
            for evaluation in evaluations:
                view.add(evaluation)
            strategy.tell(evaluations, view)
            yield genotypes

    assert list(run(lambda v: v)) == list(run(stretch))


def test_after_the_schedule_it_begins_again_hot_from_random_genotypes():
    world = World(ENCODING)
    strategy = create_strategy("annealing", ENCODING, 0, steps=1, cooling=0.01, neighbours=5)
    for _ in range(3):
        strategy.tell(world.evaluate(strategy.ask(1000, world.view)), world.view)
    assert strategy.current is None
    assert strategy.temperature == 1.0
    genotypes = strategy.ask(1000, world.view)
    assert len(genotypes) == 5
    strategy.tell(world.evaluate(genotypes), world.view)
    assert strategy.current.genotype in genotypes


def test_a_failed_batch_is_not_moved_to_from_a_candidate_that_succeeded():
    for seed in range(20):
        world = World(ENCODING)
        strategy = create_strategy("annealing", ENCODING, seed)
        strategy.tell(world.evaluate([(1,) * 8]), world.view)
        world.succeeds_every = None
        told_step(strategy, world, [(2,) * 8, (3,) * 8])
        assert strategy.current.genotype == (1,) * 8
