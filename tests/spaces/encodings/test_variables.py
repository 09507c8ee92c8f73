"""Encodings as a fixed list of variables, for optimisers of vectors."""

import numpy as np
import pytest

from rbflex_evo.spaces import GenotypeError, VectorEncoding
from rbflex_evo.spaces.conformance.check_encoding import check_encoding
from rbflex_evo.spaces.conformance.checking import CheckFailed
from rbflex_evo.spaces.encodings.conditional import INACTIVE, ConditionalEncoding, Gene, Rule
from rbflex_evo.spaces.encodings.constrained import ConstrainedEncoding
from rbflex_evo.spaces.encodings.dag import DagEncoding
from rbflex_evo.spaces.encodings.staged import StagedEncoding, StageRange
from rbflex_evo.strategies.conformance.synthetic import VariableLengthEncoding

IS_ONE = Rule((0,), lambda value: value == 1, "a is 1")
ENCODINGS = [
    VectorEncoding((3, 1, 4)),
    DagEncoding(4, 2, 4),
    StagedEncoding([2, 3], [StageRange(1, 3, 4), StageRange(2, 4, 2, step=2), StageRange(2, 2, 3)]),
    ConditionalEncoding([Gene("a", 2), Gene("b", 3, ordered=True, condition=IS_ONE), Gene("c", 2)]),
    ConstrainedEncoding(VectorEncoding((3, 3)), lambda genes: "equal" if genes[0] == genes[1] else None),
]


@pytest.mark.parametrize("encoding", ENCODINGS, ids=lambda encoding: type(encoding).__name__)
def test_decoding_undoes_encoding(encoding):
    check_encoding(encoding)
    rng = np.random.Generator(np.random.PCG64(0))
    for _ in range(50):
        genotype = encoding.sample(rng)
        values = encoding.encode(genotype)
        assert len(values) == len(encoding.variables)
        assert encoding.decode(values.__getitem__) == genotype


@pytest.mark.parametrize("encoding", ENCODINGS, ids=lambda encoding: type(encoding).__name__)
def test_values_in_their_ranges_describe_a_valid_genotype_or_are_refused(encoding):
    rng = np.random.Generator(np.random.PCG64(1))
    valid = 0
    for _ in range(100):
        values = [int(rng.integers(variable.count)) for variable in encoding.variables]
        try:
            encoding.validate(encoding.decode(values.__getitem__))
        except GenotypeError:
            assert isinstance(encoding, DagEncoding)
        else:
            valid += 1
    assert valid > 10


def test_only_variables_that_have_an_effect_are_read():
    read = []

    def zero(i):
        read.append(i)
        return 0

    assert ENCODINGS[3].decode(zero) == (0, INACTIVE, 0)
    assert read == [0, 2]
    read.clear()
    # Plain genes, then for each stage its depth and the blocks of that depth.
    ENCODINGS[2].decode(zero)
    assert sorted(read) == [0, 1, 2, 3, 6, 7, 8, 11, 12, 13]


def test_a_forbidden_combination_is_refused():
    both = Rule((0, 1), lambda a, b: a == b == 1, "both are 1")
    encoding = ConditionalEncoding([Gene("a", 2), Gene("b", 2)], [both])
    with pytest.raises(GenotypeError, match="both are 1"):
        encoding.decode([1, 1].__getitem__)


def test_values_that_break_a_condition_give_the_nearest_genotype():
    assert ENCODINGS[4].decode([1, 1].__getitem__) in {(0, 1), (1, 0), (1, 2), (2, 1)}


def test_an_encoding_of_varying_length_has_no_variables():
    encoding = VariableLengthEncoding(4)
    assert encoding.variables is None
    with pytest.raises(NotImplementedError, match="VariableLengthEncoding has no variables"):
        encoding.encode((1,))
    with pytest.raises(NotImplementedError, match="VariableLengthEncoding has no variables"):
        encoding.decode(lambda i: 0)


class Shifted(VectorEncoding):
    def encode(self, genotype):
        return [gene + 1 for gene in genotype]


class Forgetful(VectorEncoding):
    def encode(self, genotype):
        return [0] * len(genotype)


@pytest.mark.parametrize(("encoding", "reason"), [(Shifted, "give 0 .. count - 1 or None"), (Forgetful, "must undo")])
def test_the_conformance_check_finds_wrong_variables(encoding, reason):
    with pytest.raises(CheckFailed, match=reason):
        check_encoding(encoding((3, 3)))
