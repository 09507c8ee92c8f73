"""Choices with conditions and forbidden combinations keep the contract, and every network has one genotype."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from rbflex_evo.spaces import ConfigError, GenotypeError
from rbflex_evo.spaces.conformance.check_space import check_encoding
from rbflex_evo.spaces.encodings.conditional import INACTIVE, ConditionalEncoding, Gene, Rule

DEPTH = Gene("depth", 3, ordered=True)
KERNEL = Gene("kernel", 2, condition=Rule((0,), lambda depth: depth == 2, "depth == 2"))
DILATION = Gene("dilation", 2, condition=Rule((1,), lambda kernel: kernel == 1, "kernel == 1"))
ACT = Gene("act", 3)
WIDE = Rule((0, 3), lambda depth, act: depth == 1 and act == 2, "depth == 1 and act == 2")


def encoding():
    return ConditionalEncoding([DEPTH, KERNEL, DILATION, ACT], [WIDE])


def literal():
    """Lists what is valid, one rule after the other."""
    found = []
    for depth, kernel, dilation, act in itertools.product(range(3), (-1, 0, 1), (-1, 0, 1), range(3)):
        if (depth == 2) == (kernel != -1) and (kernel == 1) == (dilation != -1) and not (depth == 1 and act == 2):
            found.append((depth, kernel, dilation, act))
    return found


def test_it_keeps_the_contract():
    check_encoding(encoding(), samples=40)
    check_encoding(ConditionalEncoding([ACT]))
    check_encoding(ConditionalEncoding([DEPTH, ACT], [Rule((0, 1), WIDE.holds, WIDE.text)]))


def test_it_lists_every_valid_genotype_once_and_nothing_else():
    assert sorted(encoding().enumerate()) == sorted(literal())
    assert encoding().size == len(literal()) == 3 + 2 + 9


def test_inactive_genes_have_one_value():
    for wrong in [(0, 0, -1, 0), (2, -1, -1, 0), (2, 0, 1, 0), (2, 1, -1, 0)]:
        with pytest.raises(GenotypeError, match="inactive"):
            encoding().validate(wrong)
    with pytest.raises(GenotypeError, match="is forbidden: depth == 1 and act == 2"):
        encoding().validate((1, -1, -1, 2))


def test_neighbours_of_an_ordered_choice_are_the_next_values_and_new_choices_take_every_value():
    near = set(encoding().neighbours((1, -1, -1, 0)))
    assert near == {(0, -1, -1, 0), (2, 0, -1, 0), (2, 1, 0, 0), (2, 1, 1, 0), (1, -1, -1, 1)}


def test_neighbours_are_symmetric_and_connect_everything():
    near = {genotype: set(encoding().neighbours(genotype)) for genotype in encoding().enumerate()}
    assert all(a in near[b] for a in near for b in near[a])
    reached, pending = set(), [(0, -1, -1, 0)]
    while pending:
        genotype = pending.pop()
        if genotype not in reached:
            reached.add(genotype)
            pending += near[genotype]
    assert reached == set(near)


def test_samples_are_uniform_without_conditions():
    wide = Rule((0, 1), WIDE.holds, WIDE.text)
    made, rng = ConditionalEncoding([DEPTH, ACT], [wide]), np.random.default_rng(0)
    counts = Counter(made.sample(rng) for _ in range(8 * 400))
    assert len(counts) == made.size == 8
    # Chi-squared with 7 degrees of freedom lies below 24.3 in 99.9 % of the draws.
    assert sum((count - 400) ** 2 / 400 for count in counts.values()) < 24.3


def test_a_mutation_without_probability_is_one_step_and_the_rest_follows():
    rng = np.random.default_rng(1)
    for genotype in encoding().enumerate():
        near = set(encoding().neighbours(genotype))
        assert {encoding().mutate(genotype, rng) for _ in range(10)} <= near


def test_children_take_their_active_choices_from_the_parents():
    rng = np.random.default_rng(2)
    children = {child for _ in range(60) for child in encoding().crossover((2, 1, 1, 0), (0, -1, -1, 1), rng)}
    assert children == {(2, 1, 1, 0), (2, 1, 1, 1), (0, -1, -1, 0), (0, -1, -1, 1)}


def test_a_size_is_counted_by_independent_groups_and_unknown_where_there_are_too_many():
    free = [Gene(f"free {i}", 10) for i in range(12)]
    assert ConditionalEncoding([DEPTH, KERNEL, *free]).size == 4 * 10**12
    first = Rule(tuple(range(12)), lambda *genes: sum(genes) == 0, "all 0")
    large = ConditionalEncoding(free, [first])
    assert large.size is None
    with pytest.raises(GenotypeError, match="is forbidden"):
        large.repair([0] * 12)


def test_a_rare_combination_is_found_by_enumeration():
    only = Rule((0, 1, 2), lambda *genes: genes != (7, 0, 9), "all but one")
    made = ConditionalEncoding([Gene(name, 10) for name in "abc"], [only])
    assert made.sample(np.random.default_rng(0)) == made.repair([7, 1, 9]) == (7, 0, 9)
    assert made.mutate((7, 0, 9), np.random.default_rng(0)) == (7, 0, 9)


def test_choices_that_depend_on_each_other_in_a_circle_and_empty_spaces_are_refused():
    def on(i):
        return Rule((i,), lambda gene: gene == 0, "0")

    with pytest.raises(ConfigError, match="conditions of a, b depend on each other in a circle"):
        ConditionalEncoding([Gene("a", 2, condition=on(1)), Gene("b", 2, condition=on(0))])
    with pytest.raises(ConfigError, match="no combination of the choices was found that is not forbidden"):
        ConditionalEncoding([Gene("a", 2)], [Rule((0,), lambda gene: True, "true")])


def test_distance_is_that_of_values_for_ordered_choices():
    assert encoding().distance((0, -1, -1, 0), (1, -1, -1, 0)) == 0.5
    assert encoding().distance((0, -1, -1, 0), (2, 0, -1, 1)) == 3.0
    assert INACTIVE == -1
