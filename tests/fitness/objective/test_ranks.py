"""Ranks in a growing set: against counting one by one, and how much is moved while it grows."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rbflex_evo.fitness.objective.ranks import RATIO, Ranks

value = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e9, 1e9))
rows = st.lists(st.tuples(value, value), max_size=60)


@given(batches=st.lists(rows, max_size=8), asked=rows)
def test_counts_between_additions_are_those_of_counting_one_by_one(batches, asked):
    ranks, known = Ranks(2, batches[0] if batches else []), list(batches[0] if batches else [])
    for batch in [[], *batches[1:]]:
        for row in batch:
            ranks.add(row)
        known += batch
        less, upto = ranks.counts(np.array(asked).reshape(-1, 2))
        assert len(ranks) == len(known)
        assert less.tolist() == [[sum(k[m] < row[m] for k in known) for m in range(2)] for row in asked]
        assert upto.tolist() == [[sum(k[m] <= row[m] for k in known) for m in range(2)] for row in asked]


def moved_while_growing(length: int, batch: int) -> float:
    """Returns how many values were written into runs, by value added, where every batch is asked about at once."""
    rng = np.random.default_rng(0)
    ranks, moved = Ranks(1), 0
    for _ in range(length // batch):
        before = {id(run): run for run in ranks.runs}
        for number in rng.normal(size=batch):
            ranks.add((number,))
        ranks.counts(np.zeros((1, 1)))
        moved += sum(run.shape[1] for run in ranks.runs if id(run) not in before)
    assert sum(run.shape[1] for run in ranks.runs) == length
    assert len(ranks.runs) <= math.log(length, RATIO) + 1
    return moved / length


def test_a_value_is_moved_logarithmically_often_not_linearly():
    often = [moved_while_growing(length, 10) for length in (500, 5_000, 50_000)]
    # Sorting anew at each batch would move 50,000 / 10 / 2 = 2500 a value, ten times as many as for 5,000.
    assert all(times <= RATIO * (math.log(length, RATIO) + 1) for times, length in zip(often, (500, 5_000, 50_000), strict=True))
    assert often[2] < 2 * often[1]


def test_asking_again_moves_nothing():
    ranks = Ranks(2, np.random.default_rng(0).normal(size=(1000, 2)).tolist())
    ranks.add((0.0, 1.0))
    first = ranks.counts(np.zeros((3, 2)))
    runs = list(ranks.runs)
    second = ranks.counts(np.zeros((3, 2)))
    assert all(run is same for run, same in zip(runs, ranks.runs, strict=True))
    np.testing.assert_array_equal(first, second)
