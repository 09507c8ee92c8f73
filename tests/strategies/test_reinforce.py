"""Tests of REINFORCE: the policy learns rewarded genes of any encoding; rewards are percentiles."""

import numpy as np
import pytest

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.fitness.objective.objective import Objective
from rbflex_evo.spaces import VectorEncoding
from rbflex_evo.strategies import create_strategy
from rbflex_evo.strategies.conformance.synthetic import World, key_of
from tests.support.open_encoding import OpenEncoding

ENCODING = VectorEncoding([5] * 8)


def run(encoding, score, rounds, seed=0, **values):
    """Returns the strategy after some rounds on the given score, and the batches that it asked for."""
    view = ArchiveView(Objective(("rbflex",)), str)
    strategy = create_strategy("reinforce", encoding, seed, **values)
    batches = []
    for _ in range(rounds):
        genotypes = strategy.ask(1000, view)
        evaluations = [Evaluation(g, str(g), {"rbflex": float(score(g))}) for g in genotypes]
        for evaluation in evaluations:
            view.add(evaluation)
        strategy.tell(evaluations, view)
        batches.append(genotypes)
    return strategy, batches


def test_the_policy_moves_to_the_rewarded_gene_and_leaves_the_others_alone():
    strategy, batches = run(ENCODING, lambda g: 10.0 * (g[2] == 3) - 9000, 60)
    probabilities = strategy.policy.probabilities()
    assert probabilities[2].argmax() == 3
    assert probabilities[2, 3] > 0.8
    others = np.delete(probabilities, 2, axis=0)
    assert others.max() < 0.6
    shares = [np.mean([g[2] == 3 for batch in part for g in batch]) for part in (batches[:10], batches[-10:])]
    assert shares[0] < 0.45 < 0.8 < shares[1]


def test_over_another_encoding_the_rewarded_gene_is_chosen_too():
    encoding = OpenEncoding(VectorEncoding([5] * 8))
    _, batches = run(encoding, lambda g: 10.0 * (g[2] == 3) - 9000, 60)
    shares = [np.mean([g[2] == 3 for batch in part for g in batch]) for part in (batches[:2], batches[-10:])]
    assert shares[0] < 0.5 < 0.8 < shares[1]


def test_over_another_encoding_it_climbs_further_than_random_menus_reach():
    encoding = OpenEncoding(VectorEncoding([5] * 8))
    _, batches = run(encoding, lambda g: -sum((gene - 1) ** 2 for gene in g), 120)
    best = [max(-sum((gene - 1) ** 2 for gene in g) for g in batch) for batch in batches]
    rng = np.random.Generator(np.random.PCG64(0))
    random_best = max(-sum((gene - 1) ** 2 for gene in encoding.sample(rng)) for _ in range(120 * 32))
    assert max(best) > random_best


@pytest.mark.parametrize("stretch", [lambda v: 1e-6 * v, lambda v: -np.exp(-v / 20) - 9000.0])
@pytest.mark.parametrize("encoding", [ENCODING, OpenEncoding(ENCODING)], ids=["vector", "open"])
def test_a_monotone_transform_of_the_score_changes_no_proposal(stretch, encoding):
    def score(genotype):
        return float(-sum((gene - 1) ** 2 for gene in genotype))

    assert run(encoding, score, 30, seed=4)[1] == run(encoding, lambda g: stretch(score(g)), 30, seed=4)[1]


def test_the_baseline_is_the_moving_average_of_the_rewards():
    world, strategy = World(ENCODING), create_strategy("reinforce", ENCODING, 0, momentum=0.75)
    told, baseline = [], 0.5
    for _ in range(5):
        genotypes = strategy.ask(1000, world.view)
        strategy.tell(world.evaluate(genotypes), world.view)
        told += genotypes
        utilities = world.archive.utility([key_of(genotype) for genotype in told])
        rewards = [np.mean(utilities < u) + np.mean(utilities == u) / 2 for u in utilities[-len(genotypes) :]]
        baseline = 0.75 * baseline + 0.25 * np.mean(rewards)
        assert strategy.baseline == pytest.approx(baseline)


def test_a_warm_start_is_compared_with_but_moves_no_policy():
    world, strategy = World(ENCODING), create_strategy("reinforce", ENCODING, 0)
    strategy.tell(world.evaluate([(1,) * 8, (2,) * 8]), world.view)
    assert np.ptp(strategy.policy.probabilities()) == 0
    assert strategy.baseline == 0.5


def test_where_the_policy_is_sure_it_still_proposes_what_was_not_seen():
    strategy, batches = run(VectorEncoding([4] * 5), lambda g: -sum(g), 60, learning_rate=2.0)
    assert strategy.policy.probabilities().max(axis=1).min() > 0.99
    proposed = [genotype for batch in batches for genotype in batch]
    assert len(proposed) == len(set(proposed)) == 480
