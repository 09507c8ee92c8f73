"""An encoding under a condition keeps the contract, draws uniformly, and never leaves what the condition allows."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from rbflex_evo.spaces import GenotypeError, VectorEncoding, create_space
from rbflex_evo.spaces.conformance.check_space import check_encoding
from rbflex_evo.spaces.encodings.constrained import ConstrainedEncoding


def even(genotype):
    return None if sum(genotype) % 2 == 0 else f"the genes of {genotype} must add up to an even number"


@pytest.fixture
def evens():
    return ConstrainedEncoding(VectorEncoding([3, 3, 3]), even)


def test_it_keeps_the_contract(evens):
    check_encoding(evens)
    check_encoding(create_space("transnas_macro").encoding, samples=40)


def test_it_lists_what_keeps_the_condition(evens):
    assert evens.size == 14
    assert list(evens.enumerate()) == [g for g in VectorEncoding([3, 3, 3]).enumerate() if sum(g) % 2 == 0]
    with pytest.raises(GenotypeError, match="must add up to an even number"):
        evens.validate((0, 0, 1))
    with pytest.raises(GenotypeError, match="must be in"):
        evens.validate((0, 0, 4))


def test_every_genotype_is_drawn_equally_often(evens):
    rng = np.random.default_rng(0)
    counts = Counter(evens.sample(rng) for _ in range(14 * 400))
    assert len(counts) == 14
    # Chi-squared with 13 degrees of freedom lies below 34.5 in 99.9 % of the draws.
    assert sum((count - 400) ** 2 / 400 for count in counts.values()) < 34.5


def test_operators_are_the_other_encoding_s_where_these_keep_the_condition(evens):
    rng = np.random.default_rng(1)
    assert all(even(evens.mutate((0, 1, 1), rng, p)) is None for p in (None, 0.3, 1.0) for _ in range(50))
    children = {child for _ in range(200) for child in evens.crossover((0, 1, 1), (2, 2, 2), rng)}
    assert children == {(a, b, c) for a in (0, 2) for b, c in ((1, 1), (2, 2))}


def test_where_no_mutation_keeps_the_condition_another_genotype_is_drawn():
    lonely = ConstrainedEncoding(VectorEncoding([3, 3]), lambda genotype: None if genotype in ((0, 0), (2, 2)) else "no")
    assert list(lonely.neighbours((0, 0))) == []
    assert lonely.mutate((0, 0), np.random.default_rng(0)) == (2, 2)
    only = ConstrainedEncoding(VectorEncoding([3]), lambda genotype: None if genotype == (1,) else "no")
    assert only.mutate((1,), np.random.default_rng(0)) == (1,)


def test_where_no_children_keep_the_condition_they_are_the_parents():
    diagonal = ConstrainedEncoding(VectorEncoding([3, 3]), lambda genotype: None if len(set(genotype)) == 1 else "no")
    rng = np.random.default_rng(0)
    assert all(set(diagonal.crossover((0, 0), (2, 2), rng)) == {(0, 0), (2, 2)} for _ in range(20))


def test_a_genotype_is_repaired_to_the_nearest(evens):
    assert evens.repair([0, 5, 0]) == (0, 2, 0)
    repaired = evens.repair([0, 0, 1])
    assert even(repaired) is None
    assert evens.distance(repaired, (0, 0, 1)) == 1


def test_a_condition_that_nothing_keeps_is_an_error():
    with pytest.raises(ValueError, match="no genotype of VectorEncoding satisfies the condition"):
        ConstrainedEncoding(VectorEncoding([2]), lambda genotype: "no")
