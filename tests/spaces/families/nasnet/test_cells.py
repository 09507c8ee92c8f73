"""The encoding of two cells: its operators keep what the spaces claim, and its canonical form names architectures."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbflex_evo.spaces import GenotypeError
from rbflex_evo.spaces.conformance.check_space import check_encoding
from rbflex_evo.spaces.families.nasnet.cells import TwoCellEncoding, canonical, every, unused

seeds = st.integers(0, 2**32 - 1)
encodings = st.builds(
    lambda nodes, operations, distinct, choices: TwoCellEncoding(nodes, operations, distinct=distinct, choices=choices),
    st.integers(1, 4),
    st.integers(1, 5),
    st.booleans(),
    st.sampled_from([{}, {"depth": 3}, {"depth": 2, "width": 4}]),
)


def rng(seed):
    return np.random.default_rng(seed)


def sets(cell):
    """A cell as what it computes: for each node the edges, in any order."""
    return [sorted(edges) for edges in cell]


@pytest.mark.parametrize("distinct", [True, False])
def test_the_encoding_keeps_the_contract(distinct):
    check_encoding(TwoCellEncoding(3, 4, distinct=distinct, choices={"depth": 3}), samples=10)
    check_encoding(TwoCellEncoding(2, 1, distinct=distinct), samples=5)


@given(encodings, seeds)
def test_cells_and_choices_hold_all_of_a_genotype(encoding, seed):
    genotype = encoding.sample(rng(seed))
    normal, reduce = encoding.cells(genotype)
    assert encoding.genotype(normal, reduce, encoding.chosen(genotype)) == genotype


@given(encodings, seeds)
def test_nodes_read_states_before_them_and_distinct_ones_where_the_space_says_so(encoding, seed):
    for cell in encoding.cells(encoding.sample(rng(seed))):
        assert len(cell) == encoding.nodes
        for node, ((first, one), (second, two)) in enumerate(cell):
            assert max(first, second) < node + 2
            assert max(one, two) < encoding.operations
            assert first != second or not encoding.distinct


@given(encodings, seeds)
def test_a_mutated_gene_changes_what_a_cell_or_a_choice_is(encoding, seed):
    generator = rng(seed)
    genotype = encoding.sample(generator)
    mutated = encoding.mutate(genotype, generator)
    encoding.validate(mutated)
    if encoding.size > 1:
        before, after = encoding.cells(genotype), encoding.cells(mutated)
        assert list(map(sets, before)) != list(map(sets, after)) or encoding.chosen(genotype) != encoding.chosen(mutated)


@given(encodings, seeds)
def test_children_have_every_operation_and_input_from_a_parent(encoding, seed):
    generator = rng(seed)
    parents = [encoding.sample(generator) for _ in range(2)]
    for child in encoding.crossover(*parents, generator):
        encoding.validate(child)
        for i, cell in enumerate(encoding.cells(child)):
            of_parents = [encoding.cells(parent)[i] for parent in parents]
            for node, edges in enumerate(cell):
                for edge, (state, operation) in enumerate(edges):
                    assert state in {parent[node][edge][0] for parent in of_parents}
                    assert operation in {parent[node][edge][1] for parent in of_parents}


@pytest.mark.parametrize(("distinct", "nodes"), [(True, 2), (False, 1)])
def test_every_genotype_is_sampled_equally_often(distinct, nodes):
    encoding, generator = TwoCellEncoding(nodes, 1, distinct=distinct, choices={"depth": 2}), rng(0)
    every_one = list(encoding.enumerate())
    assert len(every_one) == encoding.size == (2 * 3**2 if distinct else 2 * 4**2)
    drawn = 200 * len(every_one)
    counts = dict.fromkeys(every_one, 0)
    for _ in range(drawn):
        counts[encoding.sample(generator)] += 1
    # 200 expected of each; 5.5 standard deviations are 78.
    assert max(abs(count - 200) for count in counts.values()) < 78


def test_the_number_of_cells_is_the_product_over_the_nodes():
    # Of DARTS: pairs of different states, an operation on each.
    assert TwoCellEncoding(4, 7, distinct=True).size == (7**8 * math.prod(math.comb(n, 2) for n in (2, 3, 4, 5))) ** 2
    assert TwoCellEncoding(5, 5, distinct=False).size == (5**10 * math.prod(n * n for n in (2, 3, 4, 5, 6))) ** 2


def test_two_equal_inputs_are_refused_where_they_must_differ():
    encoding = TwoCellEncoding(1, 2, distinct=True)
    with pytest.raises(GenotypeError, match="two inputs of node 2 must differ, but both are 1"):
        encoding.genotype((((1, 0), (1, 1)),), (((0, 0), (1, 0)),))


def renumbered(cell, order):
    """The cell with its nodes in another order, or None if a node would come before what it reads."""
    places = {0: 0, 1: 1} | {old + 2: new + 2 for new, old in enumerate(order)}
    nodes = tuple(tuple((places[state], operation) for state, operation in cell[old]) for old in order)
    return nodes if all(state < node + 2 for node, edges in enumerate(nodes) for state, _ in edges) else None


@given(encodings, seeds)
def test_the_canonical_form_is_stable_under_swapped_edges_and_renumbered_nodes(encoding, seed):
    generator = rng(seed)
    cell, _ = encoding.cells(encoding.sample(generator))
    form = canonical(cell)
    assert canonical(form) == form
    for order in permutations(range(encoding.nodes)):
        other = renumbered(cell, order)
        if other is not None:
            swapped = tuple(edges[::-1] if generator.random() < 0.5 else edges for edges in other)
            assert canonical(swapped) == form


@given(encodings, seeds)
def test_the_canonical_form_is_one_of_the_renumbered_cells(encoding, seed):
    cell, _ = encoding.cells(encoding.sample(rng(seed)))
    others = [renumbered(cell, order) for order in permutations(range(encoding.nodes))]
    assert sets(canonical(cell)) in [sets(other) for other in others if other is not None]


def test_an_operation_that_makes_zeros_may_read_anything():
    first, second = (((0, 1), (1, 2)), ((2, 0), (1, 1))), (((0, 1), (1, 2)), ((0, 0), (1, 1)))
    assert canonical(first) != canonical(second)
    assert canonical(first, zero=0) == canonical(second, zero=0)


def test_unused_nodes_are_those_that_no_node_reads():
    cell = (((0, 0), (1, 0)), ((2, 0), (2, 0)), ((0, 0), (1, 0)))
    assert unused(cell) == (3, 4)
    assert every(cell) == (2, 3, 4)
