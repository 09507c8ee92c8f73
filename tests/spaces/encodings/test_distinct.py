"""Distinct genotypes come in the order of their first draw, and no more are drawn than are taken."""

from __future__ import annotations

from itertools import islice

import numpy as np

from rbflex_evo.spaces import VectorEncoding
from rbflex_evo.spaces.encodings.distinct import distinct, draws


def test_the_first_genotype_of_each_key_is_kept_in_order() -> None:
    genotypes = [(0, 1), (1, 0), (0, 2), (1, 0), (2, 0)]
    assert list(distinct(genotypes, lambda genotype: genotype[0])) == [(0, (0, 1)), (1, (1, 0)), (2, (2, 0))]


def test_it_stops_after_so_many_genotypes_without_a_new_key() -> None:
    genotypes = [(0,), (0,), (1,), (1,), (1,), (2,)]
    assert [key for key, _ in distinct(genotypes, str, idle=2)] == ["(0,)", "(1,)"]
    assert len(list(distinct(genotypes, str, idle=3))) == 3


def test_no_more_genotypes_are_drawn_than_are_taken() -> None:
    encoding = VectorEncoding([50] * 4)
    one, other = np.random.default_rng(1), np.random.default_rng(1)
    taken = list(islice(distinct(draws(encoding, one), str), 3))
    assert [genotype for _, genotype in taken] == [encoding.sample(other) for _ in range(3)]
    assert one.random() == other.random()
