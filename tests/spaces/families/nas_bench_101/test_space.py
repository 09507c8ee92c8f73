"""NAS-Bench-101's cells are the benchmark's: their number, parameters, channels, and what is one architecture."""

from __future__ import annotations

import csv
import gzip
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.spaces import GenotypeError, create_space
from rbflex_evo.spaces.encodings.dag import pruned
from rbflex_evo.spaces.families.nas_bench_101.costs import cell_shapes
from rbflex_evo.spaces.space import SearchSpace
from tests.spaces.encodings.test_dag import relabelled

TABLES = os.environ.get("RBFLEX_EVO_TABLES")
needs_tables = pytest.mark.skipif(not TABLES, reason="RBFLEX_EVO_TABLES is not set")
SPACE = create_space("nasbench101")
OPERATIONS = "conv3x3-bn-relu,maxpool3x3,conv1x1-bn-relu,conv3x3-bn-relu,maxpool3x3"
CELL = f"0111000/0000110/0000100/0000001/0000010/0000001/0000000:{OPERATIONS}"


@pytest.mark.slow
def test_there_are_423624_keys():
    keys = set(SPACE.keys())
    assert len(keys) == 423_624
    rng = np.random.default_rng(0)
    assert all(SPACE.key(SPACE.encoding.sample(rng)) in keys for _ in range(500))


@given(st.integers(0, 2**32 - 1))
def test_a_key_is_the_same_for_every_order_of_the_nodes_and_for_what_is_pruned(seed):
    rng = np.random.default_rng(seed)
    genotype = SPACE.encoding.sample(rng)
    again = SPACE.encoding.genotype(relabelled(SPACE.cell(genotype), rng))
    assert SPACE.key(again) == SPACE.key(genotype)
    representative = SPACE.representative(SPACE.key(genotype))
    assert SPACE.key(representative) == SPACE.key(genotype)
    assert pruned(SPACE.encoding.dag(representative)) == SPACE.cell(representative)


@needs_tables
def test_parameters_equal_those_that_naslib_counted():
    with gzip.open(Path(TABLES) / "zc_naslib_sample.csv.gz", "rt") as file:
        rows = [row for row in csv.DictReader(file) if row["benchmark"] == "nb101"]
    assert len(rows) == 500
    for row in rows:
        # The file has seven digits.
        assert f"{SPACE.costs(SPACE.parse(row['arch'])).params / 1e6:.7g}" == f"{float(row['params']):.7g}"


@needs_tables
def test_parameters_are_those_of_the_official_table():
    official = np.load(Path(TABLES) / "nb101_means.npz")["params"]
    smallest = SPACE.parse("01/00:")  # the input alone, projected
    largest = SPACE.parse("0100001/0010001/0001000/0000100/0000010/0000001/0000000:" + ",".join(["conv3x3-bn-relu"] * 5))
    assert official.min() <= SPACE.costs(smallest).params <= SPACE.costs(largest).params <= official.max()
    known = set(official.tolist())
    rng = np.random.default_rng(0)
    # A table row is one order of a cell's nodes, and another order may move the one channel more to another node.
    found = [SPACE.costs(SPACE.encoding.sample(rng)).params in known for _ in range(400)]
    assert np.mean(found) > 0.97


def test_the_output_s_channels_are_split_among_what_it_reads():
    cell = SPACE.cell(SPACE.parse("01000/00111/00001/00001/00000:conv1x1-bn-relu,conv3x3-bn-relu,maxpool3x3"))
    shapes = cell_shapes(cell, 128)
    assert shapes.channels == {1: 43, 2: 43, 3: 42}
    assert shapes.projections == {1: 43}
    # A node that does not feed the output is as wide as the widest that reads it.
    cell = SPACE.cell(SPACE.parse("01001/00110/00001/00001/00000:conv1x1-bn-relu,conv3x3-bn-relu,maxpool3x3"))
    assert cell_shapes(cell, 7).channels == {1: 4, 2: 4, 3: 3}
    assert cell_shapes(cell, 7).projections == {1: 4, 4: 7}


@pytest.mark.parametrize("channels", [4, 7])
def test_costs_equal_those_of_the_built_network(channels):
    space = create_space("nasbench101", channels=channels, classes=3)
    rng = np.random.default_rng(0)
    genotypes = [space.encoding.sample(rng) for _ in range(4)] + [space.parse("01/00:")]
    for genotype in genotypes:
        for shape in ((3, 32, 32), (3, 9, 14)):
            assert space.costs(genotype, shape) == SearchSpace.costs(space, genotype, shape)


def test_a_cell_computes_what_the_paper_says():
    """The cell of CELL written out: sums of what a node reads, the input projected, the output concatenated."""
    space = create_space("nasbench101", channels=5)
    cell = build_initialised(space, space.parse(CELL), WeightParameters()).double().cells[0]
    x = torch.randn(2, 5, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).abs()
    part = {}
    for name, module in cell.parts.items():
        words = name.split("_")  # node_1_conv3x3_2, project_to_1_2
        part[words[0] + words[1 if words[0] == "node" else 2]] = module
    with torch.no_grad():
        one = part["node1"](part["project1"](x))
        two = part["node2"](part["project2"](x))
        three = part["node3"](part["project3"](x))
        four = part["node4"](one[:, : cell.shapes.channels[4]] + two[:, : cell.shapes.channels[4]])
        five = part["node5"](one[:, : cell.shapes.channels[5]] + four[:, : cell.shapes.channels[5]])
        torch.testing.assert_close(cell(x), torch.cat([three, five], dim=1))


def test_isomorphic_cells_of_even_splits_are_one_function_of_their_weights():
    space = create_space("nasbench101", channels=4)
    first = space.parse("0110/0001/0001/0000:conv1x1-bn-relu,conv3x3-bn-relu")
    second = space.parse("0110/0001/0001/0000:conv3x3-bn-relu,conv1x1-bn-relu")
    assert space.key(first) == space.key(second)
    assert space.costs(first) == space.costs(second)


def test_naslib_tuples_are_read():
    expected = SPACE.parse("0110/0010/0001/0000:maxpool3x3,conv3x3-bn-relu")
    assert SPACE.parse("(0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 4, 1)") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected rows of a matrix and operations"),
        ("011/001/000", "expected rows of a matrix and operations"),
        ("011/001:conv3x3-bn-relu", "expected 2..7 rows of 0 and 1"),
        ("012/001/000:conv3x3-bn-relu", "expected 2..7 rows of 0 and 1"),
        ("011/001/000:conv3x3-bn-rel", "unknown operation 'conv3x3-bn-rel'; did you mean 'conv3x3-bn-relu'"),
        ("011/001/000:", "has 0 operations; expected 1"),
        ("011/101/000:maxpool3x3", "has an edge 1>0; expected an upper triangular matrix"),
        ("010/000/000:maxpool3x3", "has no path from input to output"),
        ("(0,1,0)", "is not a NASLib cell"),
        ("(0,1,0,0,7,1)", "is not a NASLib cell"),
        ("(0,x)", "is not a NASLib cell"),
    ],
)
def test_malformed_notation_is_refused_in_one_line(text, message):
    with pytest.raises(GenotypeError, match=message) as caught:
        SPACE.parse(text)
    assert "\n" not in str(caught.value)


def test_the_drawing_greys_what_is_pruned():
    drawing = SPACE.drawing(SPACE.parse("01101/00000/00011/00001/00000:maxpool3x3,conv1x1-bn-relu,conv3x3-bn-relu"))
    assert {(a, b): live for a, b, _, live in drawing.edges} == {
        (0, 1): False, (0, 2): True, (0, 6): True, (2, 3): True, (2, 6): True, (3, 6): True,
    }  # fmt: skip
