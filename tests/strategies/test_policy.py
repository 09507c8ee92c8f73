"""Tests of the softmax policy: draws, gradient and steps, compared with torch."""

from collections import Counter

import numpy as np
import pytest
import torch

from rbflex_evo.strategies.policy import Policy

CATEGORIES = (3, 1, 4)


def generator(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


def trained(seed=0):
    """Returns a policy that is not uniform."""
    policy, rng = Policy(CATEGORIES), generator(seed)
    for _ in range(20):
        genotypes = policy.draw(4, rng)
        policy.learn(genotypes, [policy.expected()] * 4, rng.normal(size=4), 0.2)
    return policy


def test_a_new_policy_is_uniform():
    probabilities = Policy(CATEGORIES).probabilities()
    assert probabilities == pytest.approx(np.array([[1 / 3] * 3 + [0], [1, 0, 0, 0], [1 / 4] * 4]))


def test_draws_have_the_probabilities_of_the_softmax():
    policy = trained()
    draws = policy.draw(20_000, generator(1))
    for gene, probabilities in enumerate(policy.probabilities()):
        counts = Counter(genotype[gene] for genotype in draws)
        for value, probability in enumerate(probabilities):
            # Four standard deviations.
            assert counts[value] / 20_000 == pytest.approx(probability, abs=4 * np.sqrt(0.25 / 20_000))
    assert np.ptp(policy.probabilities()[0]) > 0.1


def test_learning_is_reinforce_with_adam_as_torch_does_it():
    rng, policy = generator(2), Policy(CATEGORIES)
    logits = [torch.zeros(count, dtype=torch.float64, requires_grad=True) for count in CATEGORIES]
    adam = torch.optim.Adam(logits, lr=0.05)
    for _ in range(30):
        genotypes, advantages = policy.draw(5, rng), rng.normal(size=5)
        policy.learn(genotypes, [policy.expected()] * 5, advantages, 0.05)
        loss = torch.zeros((), dtype=torch.float64)
        for genotype, advantage in zip(genotypes, advantages, strict=True):
            for gene, value in enumerate(genotype):
                loss = loss - advantage * torch.log_softmax(logits[gene], 0)[value] / 5
        adam.zero_grad()
        loss.backward()
        adam.step()
    for gene, count in enumerate(CATEGORIES):
        wanted = torch.softmax(logits[gene].detach(), 0).numpy()
        assert policy.probabilities()[gene][:count] == pytest.approx(wanted, abs=1e-9)


MENU = [(0,), (0, 1), (0, 1, 2), (2, 1), (2,)]


def test_a_menu_is_chosen_from_by_the_softmax_of_its_genotypes():
    policy, rng = Policy(), generator(3)
    for _ in range(10):
        genotype, expected = policy.choose(MENU, rng)
        policy.learn([genotype], [expected], np.array([1.0]), 0.1)
    weights = {tuple(pair): weight for pair, weight in zip(*map(policy.to_json().get, ("pairs", "theta")), strict=True)}
    exponents = np.exp([sum(weights[pair] for pair in enumerate(genotype)) for genotype in MENU])
    counts = Counter(policy.choose(MENU, rng)[0] for _ in range(4000))
    for genotype, probability in zip(MENU, exponents / exponents.sum(), strict=True):
        assert counts[genotype] / 4000 == pytest.approx(probability, abs=4 * np.sqrt(0.25 / 4000))


def test_the_gradient_over_a_menu_is_that_of_the_log_probability():
    rng, policy = generator(4), Policy()
    theta = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([theta], lr=0.1)
    for _ in range(10):
        genotype, expected = policy.choose(MENU, rng)
        policy.learn([genotype], [expected], np.array([0.7]), 0.1)
        exponents = torch.stack([sum(theta[i, gene] for i, gene in enumerate(g)) for g in MENU])
        adam.zero_grad()
        (-0.7 * torch.log_softmax(exponents, 0)[MENU.index(genotype)]).backward()
        adam.step()
    data = policy.to_json()
    for (position, value), weight in zip(data["pairs"], data["theta"], strict=True):
        assert weight == pytest.approx(theta[position, value].item(), abs=1e-9)


def test_a_restored_policy_goes_on_as_the_other():
    policy = trained()
    twin = Policy(CATEGORIES)
    twin.restore(policy.to_json())
    for one in (policy, twin):
        one.learn([(0, 0, 3)], [one.expected()], np.array([1.0]), 0.1)
    assert twin.to_json() == policy.to_json()
    assert twin.draw(9, generator(5)) == policy.draw(9, generator(5))
