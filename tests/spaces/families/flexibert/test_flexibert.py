"""FlexiBERT networks are those of NAS-Bench-BERT: their forward written out, their parameters, their notation."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
import scipy.fft
import torch
from torch.nn import functional

from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.spaces import ConfigError, GenotypeError, create_space
from rbflex_evo.spaces.architecture.chain import chain_of
from rbflex_evo.spaces.conformance.check_space import check_space
from rbflex_evo.spaces.families.flexibert.layout import OPERATIONS
from rbflex_evo.spaces.space import SearchSpace
from rbflex_evo.spaces.tables.files import read_csv
from tests.support.transformers import FLEXIBERT

TABLES = os.environ.get("RBFLEX_EVO_TABLES")
EVERY = "16: SA-SDP-2-12-1;SA-WMA-4-16-3;LT-DFT-2-12-1;LT-DCT-4-16-3"
SPANS = "8: DSC-5-2-12-1;DSC-9-4-16-3"


def small(**values):
    return create_space("flexibert", **{**FLEXIBERT, **values})


def linear(layer, x):
    return x @ layer.weight.T + (0 if layer.bias is None else layer.bias)


def norm(layer, x):
    return (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, correction=0, keepdim=True) + 1e-12) * layer.weight + layer.bias


def attention(query, key, value, heads, words):
    """Attention of one sentence head by head, of which only the first `words` are attended to."""
    outputs = []
    for q, k, v in zip(*(x.chunk(heads, dim=1) for x in (query, key, value)), strict=True):
        outputs.append(torch.softmax(q @ k[:words].T / math.sqrt(q.shape[1]), dim=1) @ v[:words])
    return torch.cat(outputs, dim=1)


def transformed(kind, x):
    if kind == "LT-DFT":
        return torch.fft.fft2(x).real
    return torch.from_numpy(scipy.fft.dctn(x.numpy(), type=2))


def spans(operation, x, kernel, heads):
    """The span convolution of one sentence, word by word."""
    near = operation.pointwise(operation.depthwise(x.T[None]))[0].T
    weights = linear(operation.kernels, near * linear(operation.query, x))
    values = functional.pad(linear(operation.spans, x), (0, 0, kernel // 2, kernel // 2))
    words = []
    for t in range(len(x)):
        parts = []
        for head, part in enumerate(values[t : t + kernel].chunk(heads, dim=1)):
            parts.append(torch.softmax(weights[t, head * kernel : (head + 1) * kernel], dim=0) @ part)
        words.append(torch.cat(parts))
    return torch.stack(words)


def literal(network, ids):
    """The network sentence by sentence."""
    logits = []
    for sentence in ids:
        words = int((sentence != 0).sum())
        table = network.embeddings
        x = norm(table.norm, table.words.weight[sentence] + table.positions.weight[: len(sentence)] + table.segments.weight[0])
        for inputs, choice, layer in zip(network.layout.inputs, network.layout.layers, network.layers, strict=True):
            x = x if inputs == choice.hidden else linear(layer.projection, x)
            operation, heads = layer.operation, choice.heads
            if choice.operation.startswith("LT"):
                parts = linear(operation.linear, x).chunk(heads, dim=1)
                x = torch.cat([transformed(choice.operation, part) for part in parts], dim=1)
            else:
                query, key, value = (linear(part, x) for part in (operation.query, operation.key, operation.value))
                if choice.operation == "SA-WMA":
                    query = linear(operation.weighted, query)
                if choice.operation.startswith("DSC"):
                    kernel = int(choice.operation[4:])
                    attended = attention(query, key, value, heads // 2, words)
                    mixed = torch.cat([attended, spans(operation, x, kernel, heads // 2)], dim=1)
                else:
                    mixed = attention(query, key, value, heads, words)
                x = norm(operation.norm, x + linear(operation.output, mixed))
            inner = x
            for part in list(layer.inner)[::2]:
                inner = functional.gelu(linear(part, inner))
            x = norm(layer.norm, x + linear(layer.narrow, inner))
        logits.append(linear(network.classifier, x[0]))
    return torch.stack(logits)


@pytest.mark.parametrize("text", [EVERY, SPANS])
def test_a_network_is_the_literal_one(text):
    space = small()
    network = build_initialised(space, space.parse(text), WeightParameters()).double().eval()
    ids = space.example_inputs(2)
    ids[1, 7:] = 0  # padding
    with torch.no_grad():
        torch.testing.assert_close(network(ids), literal(network, ids), rtol=1e-8, atol=1e-9)


def test_a_sentence_of_padding_is_finite():
    space = small()
    for text in (EVERY, SPANS):
        network = space.build(space.parse(text)).eval()
        assert torch.isfinite(network(torch.zeros(1, 10, dtype=torch.int64))).all()


@pytest.mark.parametrize("mixed", [False, True])
def test_counted_costs_are_those_of_the_network(mixed):
    space = small(mixed=mixed)
    for seed in range(4):
        genotype = space.encoding.sample(np.random.default_rng(seed))
        assert space.costs(genotype) == SearchSpace.costs(space, genotype)
    for operation in OPERATIONS:
        genotype = space.parse(f"16: {operation}-4-12-1;{operation}-2-16-3")
        assert space.costs(genotype, (6,)) == SearchSpace.costs(space, genotype, (6,))


@pytest.mark.skipif(TABLES is None, reason="RBFLEX_EVO_TABLES is unset")
def test_parameters_are_those_of_the_benchmark():
    """They were counted at a hidden size of 256 and inner widths of 1024 whatever the network's, and without a classifier."""
    rows = read_csv(Path(TABLES or "") / "bert_nasbench.csv.gz")
    space = create_space("flexibert")
    for layers, expected in zip(rows["layers"], rows["number_of_parameters"], strict=True):
        wide = ";".join(layer.replace("-512-", "-1024-") for layer in layers.split(";"))
        assert space.costs(space.parse(f"256: {wide}")).params - 2 * 257 == float(expected)


def test_the_space_has_the_networks_of_the_benchmark():
    space = create_space("flexibert")
    assert space.encoding.size == 2 * (48**2 + 48**4)
    assert create_space("flexibert", mixed=True).encoding.size == 96**2 + 96**4
    drawn = [len(space.layout(space.encoding.sample(np.random.default_rng(seed))).layers) for seed in range(40)]
    assert set(drawn) == {2, 4}


def test_a_hidden_size_for_each_layer_is_written_where_it_changes():
    space = small(mixed=True)
    text = "16: SA-SDP-2-12-1;SA-SDP-2-12-1;8: LT-DFT-2-12-1;16: DSC-5-2-12-1"
    genotype = space.parse(text)
    assert space.notation(genotype) == text
    network = space.build(genotype)
    assert [hasattr(layer.projection, "weight") for layer in network.layers] == [True, False, True, True]
    with pytest.raises(GenotypeError, match=r"one hidden size, but they have \[8, 16\]; set space.mixed"):
        small().parse(text)


@pytest.mark.parametrize("values", [{"mixed": True}, {"min_depth": 1, "max_depth": 3, "depth_step": 1}])
def test_every_form_keeps_the_contract(values):
    check_space(small(**values), samples=2)


def test_networks_share_weights_by_the_names_of_their_parts():
    space = small()
    wide, narrow = (
        dict(build_initialised(space, space.parse(text), WeightParameters(distribution="normal")).named_parameters())
        for text in ("16: DSC-9-4-16-3;SA-WMA-4-16-3", "8: DSC-5-2-12-1;SA-SDP-2-12-1")
    )
    assert narrow.keys() < wide.keys()
    for name, values in narrow.items():
        if values.dim() > 1:
            assert torch.equal(values, wide[name][tuple(slice(size) for size in values.shape)]), name


def test_equal_first_layers_are_shared():
    space = small()
    first, second, other = (
        [stage.identity for stage in chain_of(space.build(space.parse(text)))]
        for text in ("16: SA-SDP-2-12-1;LT-DFT-2-12-1", "16: SA-SDP-2-12-1;LT-DCT-2-12-1", "8: SA-SDP-2-12-1;LT-DFT-2-12-1")
    )
    assert first[:2] == second[:2] and first[2] != second[2] and first[3] == second[3]
    assert first[0] == other[0] and first[1] != other[1]


def test_features_are_the_first_word_and_blocks_the_embeddings_and_layers():
    space = small()
    network = space.build(space.parse(SPANS)).eval()
    seen, words = [], []
    network.classifier.register_forward_pre_hook(lambda _, values: seen.append(values[0]))
    network.layers[-1].register_forward_hook(lambda _, __, output: words.append(output))
    network(space.example_inputs(2))
    assert torch.equal(seen[0], words[0][:, 0])
    assert space.classifier(network) is network.classifier
    assert space.blocks(network) == [network.embeddings, *network.layers]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"heads": [3]}, "multiple of 2"),
        ({"hidden": [8, 10], "heads": [4]}, "4 'heads' do not share a 'hidden' of 10 evenly"),
        ({"operations": ["SA-SDP", "SA-SDP"]}, "'operations' has a value twice"),
        ({"operations": ["SA"]}, "SA-SDP"),
        ({"max_depth": 5}, "expected that whole steps lead"),
        ({"min_depth": 6}, "expected that whole steps lead"),
        ({"length": 513}, "less than or equal to 512"),
    ],
)
def test_parameters_that_describe_no_space_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        small(**values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("16: SA-SDP-2-12-1", "stage 1 must have 2 or 4 blocks, but it has 1"),
        (f"{EVERY};SA-SDP-2-12-1", "stage 1 must have 2 or 4 blocks, but it has 5"),
        ("32: SA-SDP-2-12-1;SA-SDP-2-12-1", r"hidden of layer 1 must be one of \[8, 16\]"),
        ("16: SA-DFT-2-12-1;SA-SDP-2-12-1", "operation of layer 1 must be one of"),
        ("16: SA-SDP-2-12-1;SA-SDP-2-13-1", "inner of layer 2 must be one of"),
        ("SA-SDP-2-12-1;SA-SDP-2-12-1", "expected a hidden size, and operation"),
        ("16: SA-SDP-2-12-1;", "expected a hidden size, and operation"),
        ("16: SA-SDP-2-12;SA-SDP-2-12", "expected a hidden size, and operation"),
    ],
)
def test_what_is_no_network_is_refused(text, message):
    with pytest.raises(GenotypeError, match=message):
        small().parse(text)


def test_long_sentences_are_refused():
    with pytest.raises(ConfigError, match=r"expected sentences of shape \[words\], at most 512, but they are \[600\]"):
        small().costs(small().parse(SPANS), (600,))
