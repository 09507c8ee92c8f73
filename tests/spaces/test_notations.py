"""Tests of architectures as users have them at hand: indices, tuples, dictionaries and what is malformed."""

import json
import warnings
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbflex_evo.spaces import SPACES, GenotypeError, create_space
from rbflex_evo.spaces.encodings.encoding import MOST_INDEXED
from rbflex_evo.spaces.errors import NotationWarning
from rbflex_evo.spaces.families.nats_bench.cell import EDGES, OPERATIONS

SMALL = {"nafbee_bert": {"layers": 2, "hidden": 12, "heads": 3, "length": 8, "vocabulary": 50}}
BUILT = {name: create_space(name, **SMALL.get(name, {})) for name in SPACES.names()}
TSS, SSS, NB101, MOBILENET = (BUILT[name] for name in ("nats_tss", "nats_sss", "nasbench101", "mobilenet"))
BEST = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"

spaces = st.sampled_from(sorted(BUILT))


@given(spaces, st.integers(0, 2**32))
def test_every_notation_and_every_list_of_genes_is_read_back(name, seed):
    space = BUILT[name]
    genotype = space.encoding.sample(np.random.default_rng(seed))
    assert space.parse(space.notation(genotype)) == genotype
    assert space.genotype_of(f" {space.notation(genotype)} ") == genotype
    assert space.genotype_of(f"genes:{list(genotype)}") == genotype
    assert space.genotype_of(f"genes:{genotype}") == genotype


TEXTS = st.one_of(
    st.text(max_size=80),
    st.text(alphabet="|~+:/-_,.()[]{}'\"0123456789 abcdeknorsv\n", max_size=80),
    st.from_regex(r"\(?(-?[0-9]{1,3}, ?){0,9}-?[0-9]{1,2}\)?", fullmatch=True),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.sampled_from(["input", "output", "maxpool3x3", "skip_connect"]),
        lambda inner: (
            st.lists(inner, max_size=5)
            | st.dictionaries(st.sampled_from(["ks", "e", "d", "wid", "matrix", "ops", "net", "ds", "ws", "genotype"]), inner)
        ),
        max_leaves=12,
    ).flatmap(lambda value: st.sampled_from([json.dumps(value), repr(value), f"Genotype({value!r})"])),
)


@settings(max_examples=300)
@given(spaces, TEXTS)
def test_any_text_is_an_architecture_or_refused(name, text):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotationWarning)
        with suppress(GenotypeError):
            BUILT[name].encoding.validate(BUILT[name].genotype_of(text))


@given(spaces, st.data())
def test_a_damaged_notation_is_refused_in_one_line_or_read(name, data):
    space = BUILT[name]
    text = space.notation(space.encoding.sample(np.random.default_rng(data.draw(st.integers(0, 99)))))
    place = data.draw(st.integers(0, len(text) - 1))
    damaged = text[:place] + data.draw(st.text(max_size=3)) + text[place + data.draw(st.integers(0, 3)) :]
    try:
        space.encoding.validate(space.parse(damaged))
    except GenotypeError as error:
        message = str(error)
    else:
        message = ""
    assert "\n" not in message


LONG = (
    "x" * 50_000,
    "(" * 15_000,
    "[" + "0, " * 9_000 + "0]",
    "9" * 30_000,
    '{"ks": [' + "3, " * 5_000 + "3]}",
    "-" * 19_000 + "1",
)


@pytest.mark.parametrize("name", sorted(BUILT))
@pytest.mark.parametrize("text", LONG, ids=[text[:9] for text in LONG])
def test_a_long_text_is_cut_in_the_message(name, text):
    for given_ in (text, f"genes:{text}"):
        with pytest.raises(GenotypeError) as caught:
            BUILT[name].genotype_of(given_)
        assert len(str(caught.value)) < 700
        assert "\n" not in str(caught.value)


# Indices.


@given(spaces, st.data())
def test_an_index_gives_the_genotype_at_its_place_or_there_are_none(name, data):
    space = BUILT[name]
    size = space.encoding.size
    if size is None or size > MOST_INDEXED:
        for index in (0, 17):
            with pytest.raises(GenotypeError, match="there are no indices, which are for spaces of at most"):
                space.at(index)
        return
    index = data.draw(st.integers(0, size - 1))
    genotype = space.at(index)
    space.encoding.validate(genotype)
    assert space.genotype_of(index) == genotype
    if getattr(space, "index", None):
        assert space.index(genotype) == index
    for wrong in (-1, size, 10**30):
        with pytest.raises(GenotypeError, match=rf"an index must be in 0\.\.{size - 1}"):
            space.at(wrong)


@pytest.mark.parametrize("name", [name for name, space in BUILT.items() if (space.encoding.size or 2**63) <= 7000])
def test_indices_count_the_genotypes_in_order(name):
    encoding = BUILT[name].encoding
    everything = list(encoding.enumerate())
    assert [encoding.at(index) for index in range(0, encoding.size, 97)] == everything[::97]


def test_the_indices_of_nats_bench_are_read_as_numbers_and_as_text():
    assert TSS.notation(TSS.parse("6111")) == BEST
    assert TSS.genotype_of(6111) == TSS.genotype_of("006111") == TSS.parse(BEST)
    assert SSS.notation(SSS.parse("32767")) == "64:64:64:64:64"
    for space, wrong in ((TSS, "15625"), (SSS, "32768"), (TSS, "999999")):
        with pytest.raises(GenotypeError, match=rf"an index must be in 0\.\..*, but it is {wrong}"):
            space.parse(wrong)
    for digits in ("22212220", "00000012", "9" * 18):  # codes of NAS-Bench-Macro
        for space in (TSS, SSS):
            with pytest.raises(GenotypeError, match=f"'{digits}' (has no edge|is not a network)"):
                space.parse(digits)
    for wrong in ("-1", "6111.0", "6_111", "6e3", "\u0666\u0661"):
        with pytest.raises(GenotypeError):
            TSS.genotype_of(wrong)


def test_a_text_of_digits_that_is_a_notation_is_no_index():
    macro = BUILT["nasbench_macro"]
    assert macro.genotype_of("00000012") == (0, 0, 0, 0, 0, 0, 1, 2)
    assert macro.genotype_of("12") == macro.at(12) == (0, 0, 0, 0, 0, 1, 1, 0)


def test_there_are_no_indices_where_another_list_numbers_the_networks():
    for name in ("nasbench101", "darts", "nds_darts", "nds_resnet", "mobilenet"):
        with pytest.raises(GenotypeError, match="there are no indices"):
            BUILT[name].genotype_of("17")


@pytest.mark.parametrize("text", ["genes:", "genes:[1.5]", "genes:[True]", "genes:17", "genes:{'a': 1}", "genes:[1, 2"])
def test_genes_are_whole_numbers(text):
    with pytest.raises(GenotypeError, match="holds no genes; expected whole numbers"):
        TSS.genotype_of(text)


# NATS-Bench and NASLib.


def test_the_tuples_of_naslib_have_its_order_of_edges_and_operations():
    expected = "|avg_pool_3x3~0|+|skip_connect~0|none~1|+|nor_conv_1x1~0|avg_pool_3x3~1|nor_conv_1x1~2|"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert TSS.notation(TSS.parse("naslib:(4, 0, 3, 1, 4, 3)")) == expected
        assert TSS.notation(TSS.parse("naslib:[4, 0, 3, 1, 4, 3]")) == expected
    with pytest.warns(NotationWarning, match="read as the operation indices of NASLib, not as genes"):
        assert TSS.notation(TSS.parse("(4, 0, 3, 1, 4, 3)")) == expected


@given(st.tuples(*[st.integers(0, 4)] * 6))
def test_the_numbers_of_naslib_name_the_operation_of_each_edge(numbers):
    genotype = TSS.parse(f"naslib:{numbers}")
    names = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
    of_edge = dict(zip(EDGES, genotype, strict=True))
    for (source, target), number in zip([(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)], numbers, strict=True):
        assert OPERATIONS[of_edge[source, target]] == names[number]


def test_a_list_that_may_be_genes_or_operations_of_naslib_is_refused():
    with pytest.raises(GenotypeError, match=r"write 'naslib:\[3, 3, 3, 1, 3, 2\]' or 'genes:\[3, 3, 3, 1, 3, 2\]'"):
        TSS.parse("[3, 3, 3, 1, 3, 2]")
    assert TSS.genotype_of("genes:[3, 3, 3, 1, 3, 2]") == TSS.parse(BEST)
    assert TSS.parse("[4, 4, 4, 4, 4, 4]") == (4, 4, 4, 4, 4, 4)  # the same in both


@pytest.mark.parametrize(
    "text", ["(4, 0, 3, 1, 4)", "(4, 0, 3, 1, 4, 5)", "(4, 0, 3, 1, 4, -1)", "(4, 0, 3, 1, 4, 1.0)", "naslib:6111", "(4"]
)
def test_what_is_no_cell_of_naslib_is_refused(text):
    with pytest.raises(GenotypeError, match=r"is not a NASLib cell; expected 6 operations of 0\.\.4"):
        TSS.parse(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "|nor_conv_3x3~0|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
            "from node 0 to node 1 twice, 'nor_conv_3x3~0' and 'none~0'",
        ),
        ("|none~0|+|none~0|none~1|none~1|+|none~0|none~1|none~2|", "from node 1 to node 2 twice"),
        ("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|none~2|", "from node 2 to node 3 twice"),
    ],
)
def test_an_edge_that_stands_twice_is_refused(text, said):
    with pytest.raises(GenotypeError, match=said):
        TSS.parse(text)


# NAS-Bench-101.

MATRIX, OPS = [[0, 1, 1], [0, 0, 1], [0, 0, 0]], ["input", "conv3x3-bn-relu", "output"]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"module_adjacency": MATRIX, "module_operations": OPS}),
        json.dumps({"matrix": MATRIX, "ops": OPS}),
        repr({"matrix": MATRIX, "ops": tuple(OPS)}),
        repr({"module_adjacency": np.array(MATRIX, dtype=np.int8), "module_operations": OPS, "trainable_parameters": 8}),
        "{'matrix': [[False, True, True], [False, False, True], [False, False, False]], 'ops': ['conv3x3-bn-relu']}",
    ],
)
def test_dictionaries_of_nas_bench_101_are_read(text):
    assert NB101.parse(text) == NB101.parse("011/001/000:conv3x3-bn-relu")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ({"matrix": MATRIX}, "expected module_adjacency and module_operations or matrix and ops"),
        ({"matrix": MATRIX, "module_operations": OPS}, "expected module_adjacency and"),
        ({"matrix": MATRIX, "ops": OPS, "module_adjacency": MATRIX, "module_operations": OPS}, "expected module_adjacency and"),
        ({"matrix": "011", "ops": OPS}, "matrix is '011'; expected rows of 0 and 1"),
        ({"matrix": [[0, 0.5], [0, 0]], "ops": OPS}, "expected rows of 0 and 1"),
        ({"matrix": [[0, 1], [0]], "ops": ["input", "output"]}, "rows of 0 and 1"),
        ({"matrix": [[0, 10], [0, 0]], "ops": ["input", "output"]}, "rows of 0 and 1"),
        ({"matrix": [[0, 1], [1, 0]], "ops": ["input", "output"]}, "has an edge 1>0"),
        ({"matrix": MATRIX, "ops": ["input", "conv3x3", "output"]}, "unknown operation 'conv3x3'; did you mean 'conv3x3-bn-relu'"),
        ({"matrix": MATRIX, "ops": ["input", 3, "output"]}, "expected names of operations"),
        ({"matrix": MATRIX, "ops": ["input", "output"]}, "has 2 operations; expected 1"),
    ],
)
def test_a_wrong_dictionary_of_nas_bench_101_is_refused(text, said):
    for written in (json.dumps(text), repr(text)):
        with pytest.raises(GenotypeError, match=said):
            NB101.parse(written)


def test_a_key_that_stands_twice_is_refused():
    for text in ('{"matrix": [[0]], "matrix": [[0, 1], [0, 0]], "ops": []}', "{'matrix': [[0]], 'matrix': [], 'ops': []}"):
        with pytest.raises(GenotypeError, match="a key appears twice"):
            NB101.parse(text)
    with pytest.raises(GenotypeError, match="is not a network"):
        BUILT["nds_resnet"].parse('{"net": {"ds": [1, 1, 1], "ds": [2, 2, 2], "ws": [16, 16, 16]}}')


# Once-for-all.


def once_for_all(blocks=21, stages=6, **fields):
    values = {"wid": None, "ks": [3, 5, 7] * 7, "e": [3, 6, 6] * 7, "d": [2, 3, 4, 1, 2, 1]}
    values = {**values, "ks": values["ks"][:blocks], "e": values["e"][:blocks], "d": values["d"][:stages], **fields}
    return json.dumps(values)


def test_a_dictionary_of_once_for_all_gives_the_first_blocks_of_every_stage():
    expected = (
        "stem 1.0 | 1.0: k3e1 | 1.0: k3e3 k5e6 | 1.0: k5e6 k7e6 k3e3 | 1.0: k7e6 k3e3 k5e6 k7e6 | 1.0: k3e3 | 1.0: k5e6 k7e6 | "
        "1.0: k7e6 | head 1.0"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert MOBILENET.notation(MOBILENET.parse(once_for_all())) == expected
    with pytest.warns(NotationWarning, match="with 5 stages, as of its MobileNetV3, is read as the stages of MobileNetV2"):
        read = MOBILENET.parse(once_for_all(20, 5))
    assert MOBILENET.notation(read) == expected.replace("k7e6 | head", "k3e6 | head")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (once_for_all(4, 5), "have 4, 4 and 5 entries; expected 21, 21 and 6"),
        (once_for_all(21, 5), "have 21, 21 and 5 entries"),
        (once_for_all(20, 6), "have 20, 20 and 6 entries"),
        (once_for_all(e=[3] * 20), "have 21, 20 and 6 entries"),
        (once_for_all(e=[4] * 21), "stage 2 has no block 'k3e4'"),
        (once_for_all(ks=[9] * 21), "stage 2 has no block 'k9e3'"),
        (once_for_all(d=[0, 2, 2, 2, 2, 1]), "gives stage 1 the depth 0; expected 1..4"),
        (once_for_all(d=[2, 2, 2, 2, 5, 1]), "gives stage 5 the depth 5"),
        (once_for_all(d=[2, 2, 2, 2, 2, 2]), "gives stage 6 the depth 2; expected 1..1"),
        (once_for_all(wid=1), "'wid' is 1, a position in a list"),
        (once_for_all(ks=3), "'ks' is 3; expected a list of whole numbers"),
        (once_for_all(d=[2, 2, 2, 2, 2.0, 1]), "expected a list of whole numbers"),
        ('{"ks": [3]}', "expected the keys 'ks', 'e' and 'd'"),
        ("{3}", "is not a dictionary of once-for-all"),
    ],
)
def test_a_dictionary_that_does_not_fit_says_what_is_wrong(text, said):
    with pytest.raises(GenotypeError, match=said):
        MOBILENET.parse(text)


# DARTS.

CELL = [("sep_conv_3x3", 1), ("sep_conv_3x3", 0)] + [("skip_connect", 0), ("sep_conv_5x5", 2)] * 3


@pytest.mark.parametrize(
    "text",
    [
        f"Genotype(normal={CELL}, normal_concat=range(2, 6), reduce={CELL}, reduce_concat=range(2, 6))",
        f"Genotype(normal={CELL}, normal_concat=[2, 3, 4, 5], reduce={CELL}, reduce_concat=[2, 3, 4, 5])",
        f"Genotype({CELL}, range(2, 6), {[list(edge) for edge in CELL]}, (5, 4, 3, 2))",
        f"({CELL}, range(2, 6), {CELL}, range(2, 6))",
        f"{CELL}, [2, 3, 4, 5], {CELL}, [2, 3, 4, 5]",
    ],
)
def test_genotypes_of_darts_are_read_with_ranges_lists_and_as_a_tuple(text):
    darts = BUILT["darts"]
    first = darts.parse(f"Genotype(normal={CELL}, normal_concat=range(2, 6), reduce={CELL}, reduce_concat=range(2, 6))")
    assert darts.parse(text) == first


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"({CELL[:2]}, range(2, 6), [], range(2, 6))", "normal must be 8 pairs .* but it is 2 of them"),
        (
            f"({CELL}, range(2, 5), {CELL}, range(2, 6))",
            r"normal_concat must be \[2, 3, 4, 5\] in this space, but it is \[2, 3, 4\]",
        ),
        (f"({CELL}, range(2, 6), {CELL})", "is not a genotype"),
        (f"Genotype({CELL}, range(2, 6), reduce={CELL}, normal={CELL})", "is not a genotype"),
        (f"Genotype({CELL}, range(0, 10**9), {CELL}, range(2, 6))", "is not a genotype"),
        (f"__import__('os')({CELL}, range(2, 6), {CELL}, range(2, 6))", "is not a genotype"),
    ],
)
def test_a_wrong_genotype_of_darts_is_refused(text, said):
    with pytest.raises(GenotypeError, match=said):
        BUILT["darts"].parse(text)


# Aliases.


@pytest.mark.parametrize(
    ("alias", "name"), [("nasbench201", "nats_tss"), ("nas_bench_201", "nats_tss"), ("nas_bench_101", "nasbench101")]
)
def test_a_space_has_the_names_of_the_field(alias, name):
    assert create_space(alias).name == name
    assert SPACES.canonical(alias) == name
    assert alias in SPACES.aliases(name)
    assert alias not in SPACES.names()
