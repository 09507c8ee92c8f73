"""Stages of varying depth: one genotype a network, and operators that keep it so."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbflex_evo.spaces import GenotypeError
from rbflex_evo.spaces.conformance.check_space import check_encoding
from rbflex_evo.spaces.encodings.staged import StagedEncoding, StageRange

seeds = st.integers(0, 2**32 - 1)
stages = st.lists(
    st.builds(
        lambda low, more, choices: StageRange(low, low + more, choices), st.integers(1, 3), st.integers(0, 3), st.integers(1, 6)
    ),
    min_size=1,
    max_size=4,
)
encodings = st.builds(StagedEncoding, st.lists(st.integers(1, 5), max_size=4), stages)
SMALL = StagedEncoding([3], [StageRange(1, 3, 2), StageRange(2, 2, 2)], ["width"])


def rng(seed):
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    "encoding",
    [SMALL, StagedEncoding([], [StageRange(1, 1, 1)]), StagedEncoding([2, 5], [StageRange(1, 4, 6), StageRange(2, 4, 1)])],
)
def test_stages_keep_the_contract_of_an_encoding(encoding):
    check_encoding(encoding, samples=12)


def test_size_counts_what_is_enumerated():
    every = list(SMALL.enumerate())
    assert len(every) == len(set(every)) == SMALL.size == 3 * (2 + 4 + 8) * 4
    for genotype in itertools.product(range(3), *[range(3)] * 5):
        try:
            SMALL.validate(genotype)
        except GenotypeError:
            assert genotype not in every
        else:
            assert genotype in every


def test_depths_and_blocks_are_sampled_uniformly():
    generator = rng(0)
    drawn = [SMALL.split(SMALL.sample(generator)) for _ in range(6000)]
    assert max(abs(count - 2000) for count in Counter(plain[0] for plain, _ in drawn).values()) < 5 * 36.5
    depths = Counter(len(blocks[0]) for _, blocks in drawn)
    assert set(depths) == {1, 2, 3}
    assert max(abs(count - 2000) for count in depths.values()) < 5 * 36.5
    deep = Counter(blocks[0] for _, blocks in drawn if len(blocks[0]) == 2)
    assert len(deep) == 4
    # about 500 expected of each, a standard deviation of 21
    assert max(abs(count - depths[2] / 4) for count in deep.values()) < 5 * 21


@given(encodings, seeds)
def test_a_sample_is_valid_and_what_split_and_join_take_apart_and_together(encoding, seed):
    genotype = encoding.sample(rng(seed))
    encoding.validate(genotype)
    assert encoding.join(*encoding.split(genotype)) == genotype


@given(encodings, seeds, st.none() | st.floats(0, 1))
def test_a_mutation_stays_valid_and_changes_something(encoding, seed, probability):
    generator = rng(seed)
    genotype = encoding.sample(generator)
    mutated = encoding.mutate(genotype, generator, probability)
    encoding.validate(mutated)
    assert (mutated != genotype) == (encoding.size > 1)


@given(encodings, seeds)
def test_a_mutation_without_probability_is_a_neighbour(encoding, seed):
    generator = rng(seed)
    genotype = encoding.sample(generator)
    if encoding.size > 1:
        assert encoding.mutate(genotype, generator) in set(encoding.neighbours(genotype))


def test_a_mutation_with_probability_one_changes_every_gene_and_depth():
    encoding, generator = StagedEncoding([3, 4], [StageRange(1, 4, 6), StageRange(1, 3, 2)]), rng(0)
    for _ in range(50):
        genotype = encoding.sample(generator)
        plain, blocks = encoding.split(genotype)
        changed_plain, changed = encoding.split(encoding.mutate(genotype, generator, 1.0))
        assert all(a != b for a, b in zip(plain, changed_plain, strict=True))
        for old, new in zip(blocks, changed, strict=True):
            assert len(old) != len(new)
            assert all(a != b for a, b in zip(old, new, strict=False))


def test_a_mutation_reaches_every_neighbour():
    generator = rng(0)
    genotype = (1, 1, 2, 0, 2, 1)
    assert {SMALL.mutate(genotype, generator) for _ in range(500)} == set(SMALL.neighbours(genotype))


@given(encodings, seeds)
def test_genes_of_children_come_from_their_parents(encoding, seed):
    generator = rng(seed)
    first, second = encoding.sample(generator), encoding.sample(generator)
    children = encoding.crossover(first, second, generator)
    depths = [[len(blocks) for blocks in encoding.split(genotype)[1]] for genotype in (first, second, *children)]
    for one, two, *of_children in zip(*depths, strict=True):
        assert sorted(of_children) == sorted((one, two))
    for child in children:
        encoding.validate(child)
        assert all(gene in pair for gene, *pair in zip(child, first, second, strict=True))


def test_a_crossover_mixes_depths_and_blocks():
    generator = rng(0)
    first, second = (0, 1, 0, 0, 1, 1), (2, 2, 2, 2, 2, 2)
    children = {SMALL.crossover(first, second, generator)[0] for _ in range(400)}
    # width, depth and the shared places are drawn; places 2 and 3 of stage 1 exist in one parent only
    assert len(children) == 2 * 2 * 2 * 4


@given(encodings, seeds)
def test_neighbours_lead_back_and_differ_in_one_gene(encoding, seed):
    genotype = encoding.sample(rng(seed))
    near = list(encoding.neighbours(genotype))
    assert len(near) == len(set(near))
    for other in near:
        encoding.validate(other)
        assert encoding.distance(genotype, other) == 1
        assert genotype in encoding.neighbours(other)


@given(encodings, seeds)
def test_repair_moves_genes_into_their_ranges_and_empty_places_to_the_end(encoding, seed):
    generator = rng(seed)
    wild = [int(gene) for gene in generator.integers(-3, 9, size=len(encoding.names))]
    repaired = encoding.repair(wild)
    encoding.validate(repaired)
    assert encoding.repair(repaired) == repaired


@pytest.mark.parametrize(
    ("genotype", "message"),
    [
        ((3, 1, 0, 0, 1, 1), "width of .* must be in 0..2, but it is 3"),
        ((0, 0, 1, 0, 1, 1), "stage 1 block 1 of .* must be in 1..2, but it is 0"),
        ((0, 1, 0, 1, 1, 1), "stage 1 of .* has a block after an empty place"),
        ((0, 1), "has 6 genes, but"),
    ],
)
def test_a_wrong_genotype_is_refused_in_one_line(genotype, message):
    with pytest.raises(GenotypeError, match=message) as caught:
        SMALL.validate(genotype)
    assert "\n" not in str(caught.value)


def test_a_stage_that_is_too_deep_is_refused():
    with pytest.raises(GenotypeError, match=r"stage 1 must have 1\.\.3 blocks, but it has 4"):
        SMALL.join([0], [[1, 1, 1, 1], [1, 1]])
    with pytest.raises(ValueError, match="min_depth <= max_depth"):
        StageRange(3, 2, 1)


def test_a_depth_changes_by_whole_steps():
    encoding = StagedEncoding([], [StageRange(2, 4, 3, 2)])
    check_encoding(encoding, samples=12)
    assert encoding.size == 3**2 + 3**4 == len(list(encoding.enumerate()))
    assert {sum(gene > 0 for gene in encoding.sample(rng(seed))) for seed in range(20)} == {2, 4}
    assert {sum(gene > 0 for gene in other) for other in encoding.neighbours((1, 2, 0, 0))} == {2, 4}
    assert encoding.repair([1, 2, 3, 0]) == (1, 2, 0, 0)
    with pytest.raises(GenotypeError, match="has 3 blocks; it must have 2 or 4"):
        encoding.validate((1, 2, 3, 0))
    with pytest.raises(ValueError, match="expected whole steps"):
        StageRange(2, 5, 3, 2)
