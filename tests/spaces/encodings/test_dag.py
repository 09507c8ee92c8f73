"""Graphs: pruning, canonical form under relabelling, enumeration; and the operators on them."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbflex_evo.spaces import GenotypeError
from rbflex_evo.spaces.conformance.check_space import check_encoding
from rbflex_evo.spaces.encodings.dag import Dag, DagEncoding, canonical, canonical_dags, pruned

seeds = st.integers(0, 2**32 - 1)
ENCODING = DagEncoding(7, 3, 9)
SMALL = DagEncoding(4, 2, 4)


def rng(seed):
    return np.random.default_rng(seed)


def relabelled(dag, generator):
    """The same graph with its inner nodes in a random order that keeps edges forward, found by drawing node after node."""
    placed, left = [0], list(range(1, dag.nodes - 1))
    while left:
        free = [node for node in left if all(a in placed for a, b in dag.edges if b == node)]
        placed.append(free[int(generator.integers(len(free)))])
        left.remove(placed[-1])
    position = {node: i for i, node in enumerate([*placed, dag.nodes - 1])}
    edges = tuple(sorted((position[a], position[b]) for a, b in dag.edges))
    return Dag(edges, tuple(dag.operations[node - 1] for node in placed[1:]))


def brute_isomorphic(first, second):
    """Whether some order of the inner nodes makes one of the other."""
    if first.nodes != second.nodes:
        return False
    for order in itertools.permutations(range(1, first.nodes - 1)):
        moved = (0, *order, first.nodes - 1)
        same = {(moved[a], moved[b]) for a, b in first.edges} == set(second.edges)
        if same and all(first.operations[i] == second.operations[node - 1] for i, node in enumerate(order)):
            return True
    return False


@given(seeds)
def test_the_canonical_form_is_stable_under_relabelling(seed):
    generator = rng(seed)
    dag = pruned(ENCODING.dag(ENCODING.sample(generator)))
    for _ in range(5):
        assert canonical(relabelled(dag, generator)) == canonical(dag)
    assert canonical(canonical(dag)) == canonical(dag)
    assert brute_isomorphic(dag, canonical(dag))


def test_equal_canonical_forms_are_isomorphic_graphs_and_no_others():
    encoding = DagEncoding(5, 2, 6)
    generator = rng(0)
    dags = [pruned(encoding.dag(encoding.sample(generator))) for _ in range(60)]
    same = 0
    for first, second in itertools.combinations(dags, 2):
        isomorphic = brute_isomorphic(first, second)
        assert (canonical(first) == canonical(second)) == isomorphic
        same += isomorphic
    assert same > 10


@given(seeds)
def test_pruning_keeps_the_paths_from_input_to_output_and_nothing_else(seed):
    dag = ENCODING.dag(ENCODING.sample(rng(seed)))

    def paths(graph, node):
        if node == graph.nodes - 1:
            return [()]
        return [
            (graph.operations[b - 1] if b < graph.nodes - 1 else "out", *rest)
            for a, b in graph.edges
            if a == node
            for rest in paths(graph, b)
        ]

    rest = pruned(dag)
    assert Counter(paths(dag, 0)) == Counter(paths(rest, 0))
    assert {a for a, _ in rest.edges} == set(range(rest.nodes - 1))
    assert {b for _, b in rest.edges} == set(range(1, rest.nodes))
    assert pruned(rest) == rest


def test_a_graph_without_a_path_has_nothing_left():
    assert pruned(Dag(((0, 1), (2, 3)), (0, 0))) is None
    assert pruned(Dag((), ())) is None


def test_enumeration_yields_the_canonical_form_of_every_graph_once():
    listed = list(canonical_dags(5, 2, 6))
    encoding = DagEncoding(5, 2, 6)
    genotypes = itertools.product(*map(range, encoding.categories))
    forms = {canonical(pruned(encoding.dag(genotype))) for genotype in genotypes if encoding.is_valid(genotype)}
    assert len(listed) == len(set(listed))
    assert set(listed) == forms


def test_graphs_keep_the_contract_of_an_encoding():
    check_encoding(ENCODING, samples=8)
    check_encoding(SMALL, samples=8)


def test_every_valid_graph_is_sampled_equally_often():
    generator = rng(1)
    every = [genotype for genotype in itertools.product(*map(range, SMALL.categories)) if SMALL.is_valid(genotype)]
    drawn = Counter(SMALL.sample(generator) for _ in range(200 * len(every)))
    assert set(drawn) == set(every)
    # 200 expected of each, a standard deviation of 14.1
    assert max(abs(count - 200) for count in drawn.values()) < 5 * 14.2


@given(seeds)
def test_a_mutation_without_probability_changes_exactly_one_gene(seed):
    generator = rng(seed)
    genotype = ENCODING.sample(generator)
    mutated = ENCODING.mutate(genotype, generator)
    ENCODING.validate(mutated)
    assert ENCODING.distance(genotype, mutated) == 1


@given(seeds, st.floats(0, 1))
def test_a_mutation_stays_valid_and_changes_something(seed, probability):
    generator = rng(seed)
    genotype = ENCODING.sample(generator)
    mutated = ENCODING.mutate(genotype, generator, probability)
    ENCODING.validate(mutated)
    assert mutated != genotype


def test_a_mutation_reaches_every_neighbour():
    generator = rng(0)
    genotype = SMALL.sample(generator)
    assert {SMALL.mutate(genotype, generator) for _ in range(600)} == set(SMALL.neighbours(genotype))


@given(seeds)
def test_genes_of_children_come_from_their_parents_and_children_are_valid(seed):
    generator = rng(seed)
    first, second = ENCODING.sample(generator), ENCODING.sample(generator)
    for child in ENCODING.crossover(first, second, generator):
        ENCODING.validate(child)
        assert all(gene in pair for gene, *pair in zip(child, first, second, strict=True))


def test_a_crossover_mixes_its_parents():
    generator = rng(0)
    mixed = 0
    for _ in range(50):
        first, second = ENCODING.sample(generator), ENCODING.sample(generator)
        mixed += ENCODING.crossover(first, second, generator)[0] not in (first, second)
    assert mixed > 45


@given(seeds)
def test_neighbours_are_all_valid_graphs_one_gene_away(seed):
    genotype = SMALL.sample(rng(seed))
    near = list(SMALL.neighbours(genotype))
    expected = {
        other
        for other in itertools.product(*map(range, SMALL.categories))
        if SMALL.distance(genotype, other) == 1 and SMALL.is_valid(other)
    }
    assert len(near) == len(set(near))
    assert set(near) == expected
    assert all(genotype in SMALL.neighbours(other) for other in near)


@pytest.mark.parametrize(
    ("genotype", "message"),
    [
        ((0,) * 26, "has no path from input to output"),
        ((1,) * 21 + (0,) * 5, "has 21 edges after pruning, but at most 9"),
        ((1,) * 21 + (3, 0, 0, 0, 0), "operation 1 of .* must be in 0..2, but it is 3"),
        ((2,) + (0,) * 25, "edge 0>1 of .* must be in 0..1"),
        ((1,), "has 26 genes, but"),
    ],
)
def test_a_wrong_genotype_is_refused_in_one_line(genotype, message):
    with pytest.raises(GenotypeError, match=message) as caught:
        ENCODING.validate(genotype)
    assert "\n" not in str(caught.value)


def test_a_smaller_graph_is_filled_up_with_nodes_that_do_nothing():
    dag = Dag(((0, 1), (0, 2), (1, 2)), (2,))
    assert pruned(ENCODING.dag(ENCODING.genotype(dag))) == dag
