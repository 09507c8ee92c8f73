import itertools
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbflex_evo.spaces import GenotypeError, VectorEncoding, deap_random

categories = st.lists(st.integers(1, 6), min_size=1, max_size=8)
seeds = st.integers(0, 2**32 - 1)


def rng(seed):
    return np.random.default_rng(seed)


@given(categories, seeds)
def test_a_sample_is_valid_and_follows_its_generator(counts, seed):
    encoding = VectorEncoding(counts)
    genotype = encoding.sample(rng(seed))
    encoding.validate(genotype)
    assert genotype == encoding.sample(rng(seed))
    assert all(type(gene) is int for gene in genotype)


def test_every_genotype_is_sampled_equally_often():
    encoding, generator = VectorEncoding([2, 3]), rng(0)
    drawn = [encoding.sample(generator) for _ in range(6000)]
    counts = [drawn.count(genotype) for genotype in encoding.enumerate()]
    assert len(counts) == 6
    # 1000 expected of each; 5 standard deviations are 144.
    assert max(abs(count - 1000) for count in counts) < 144


@given(categories, seeds)
def test_a_mutation_without_probability_changes_exactly_one_gene(counts, seed):
    encoding, generator = VectorEncoding(counts), rng(seed)
    genotype = encoding.sample(generator)
    mutated = encoding.mutate(genotype, generator)
    encoding.validate(mutated)
    assert encoding.distance(genotype, mutated) == (1 if encoding.size > 1 else 0)


@given(categories, seeds)
def test_a_mutation_with_probability_one_changes_every_gene_that_can_change(counts, seed):
    encoding, generator = VectorEncoding(counts), rng(seed)
    genotype = encoding.sample(generator)
    mutated = encoding.mutate(genotype, generator, 1.0)
    encoding.validate(mutated)
    assert [a != b for a, b in zip(genotype, mutated, strict=True)] == [count > 1 for count in counts]


@given(categories, seeds, st.floats(0, 1))
def test_a_mutation_changes_something_whatever_its_probability(counts, seed, probability):
    encoding, generator = VectorEncoding([*counts, 2]), rng(seed)
    genotype = encoding.sample(generator)
    assert encoding.mutate(genotype, generator, probability) != genotype


def test_a_mutation_reaches_every_other_value_of_a_gene():
    encoding, generator = VectorEncoding([5]), rng(0)
    assert {encoding.mutate((2,), generator) for _ in range(200)} == {(0,), (1,), (3,), (4,)}


@given(categories, seeds)
def test_children_hold_between_them_both_parents_genes_in_place(counts, seed):
    encoding, generator = VectorEncoding(counts), rng(seed)
    first, second = encoding.sample(generator), encoding.sample(generator)
    children = encoding.crossover(first, second, generator)
    for genes, parents in zip(zip(*children, strict=True), zip(first, second, strict=True), strict=True):
        assert sorted(genes) == sorted(parents)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), seeds)
def test_neighbours_are_all_genotypes_one_gene_away(counts, seed):
    encoding = VectorEncoding(counts)
    genotype = encoding.sample(rng(seed))
    near = list(encoding.neighbours(genotype))
    assert len(near) == len(set(near))
    assert set(near) == {other for other in encoding.enumerate() if encoding.distance(genotype, other) == 1}


@given(seeds)
def test_the_distance_is_a_metric(seed):
    encoding, generator = VectorEncoding([3, 2, 4, 2]), rng(seed)
    a, b, c = (encoding.sample(generator) for _ in range(3))
    assert encoding.distance(a, b) == encoding.distance(b, a)
    assert (encoding.distance(a, b) == 0) == (a == b)
    assert encoding.distance(a, c) <= encoding.distance(a, b) + encoding.distance(b, c)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5))
def test_enumeration_is_the_product_of_the_genes_in_order(counts):
    encoding = VectorEncoding(counts)
    every = list(encoding.enumerate())
    assert every == list(itertools.product(*map(range, counts)))
    assert len(every) == encoding.size


def test_a_size_beyond_floating_point_is_exact():
    assert VectorEncoding([7] * 40).size == 7**40


def test_repair_moves_each_gene_to_the_nearest_category():
    assert VectorEncoding([3, 3, 3]).repair([-4, 1, 9]) == (0, 1, 2)


@pytest.mark.parametrize("wrong", [(0,), (0, 1, 0)])
def test_a_genotype_of_a_wrong_length_is_refused_everywhere(wrong):
    encoding = VectorEncoding([2, 2])
    for refuse in (encoding.validate, encoding.repair):
        with pytest.raises(GenotypeError, match="has 2 genes, but"):
            refuse(wrong)


def test_an_error_names_the_gene_and_its_range():
    with pytest.raises(GenotypeError, match=r"right of \(0, 5\) must be in 0\.\.2, but it is 5"):
        VectorEncoding([2, 3], ["left", "right"]).validate((0, 5))


@pytest.mark.parametrize("counts", [[], [2, 0], [-1]])
def test_an_encoding_without_categories_is_refused(counts):
    with pytest.raises(ValueError, match="categories must be positive"):
        VectorEncoding(counts)


def test_as_many_names_as_genes_are_expected():
    with pytest.raises(ValueError, match="1 names for 2 genes"):
        VectorEncoding([2, 2], ["one"])


def test_deap_draws_leave_the_global_generator_as_it_was():
    before = random.getstate()
    with deap_random(rng(0)):
        first = random.random()
    assert random.getstate() == before
    random.random()
    try:
        with deap_random(rng(0)):
            assert random.random() == first
    finally:
        random.setstate(before)


def test_an_error_inside_deap_leaves_the_global_generator_as_it_was():
    def failing() -> None:
        with deap_random(rng(0)):
            random.random()
            raise ZeroDivisionError

    before = random.getstate()
    with pytest.raises(ZeroDivisionError):
        failing()
    assert random.getstate() == before


def test_operators_neither_read_nor_change_global_random_state():
    encoding = VectorEncoding([4] * 6)

    def results():
        generator = rng(3)
        first, second = encoding.sample(generator), encoding.sample(generator)
        return first, encoding.mutate(first, generator, 0.5), encoding.crossover(first, second, generator)

    plain, numpy = random.getstate(), np.random.get_state()
    try:
        expected = results()
        random.seed(1)
        np.random.seed(1)
        poisoned = random.getstate(), np.random.get_state()[1].tolist()
        assert results() == expected
        assert (random.getstate(), np.random.get_state()[1].tolist()) == poisoned
    finally:
        random.setstate(plain)
        np.random.set_state(numpy)
