"""AutoFormer networks are those of the paper, count what they build, and share what they have in common."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau
from torch.nn import functional

from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.data.inputs import check_inputs
from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.spaces import ConfigError, DataError, GenotypeError, create_space
from rbflex_evo.spaces.architecture.chain import chain_of
from rbflex_evo.spaces.space import SearchSpace

TABLES = os.environ.get("RBFLEX_EVO_TABLES")
SMALL = {"widths": [16, 24], "heads": [1, 2], "ratios": [3.5, 4.0], "min_depth": 2, "max_depth": 3, "size": 48, "classes": 5}
NAMES = ("autoformer_tiny", "autoformer_small", "autoformer_base")


def small(**values):
    return create_space("autoformer_tiny", **{**SMALL, **values})


def literal(network, images):
    """The network written pair by pair: every relative position is looked up, and nothing is shared between pairs."""
    grid = images.shape[-1] // 16
    tokens = grid**2 + 1

    def vector(table, i, j):
        def offset(axis):
            if i == 0 or j == 0:
                return 0
            places = [divmod(token - 1, grid)[axis] for token in (i, j)]
            return max(-14, min(14, places[1] - places[0])) + 15

        return table.rows[offset(0)] + table.columns[offset(1)]

    def linear(layer, x):
        return x @ layer.weight.T + layer.bias

    def norm(layer, x):
        return (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, correction=0, keepdim=True) + 1e-5) * layer.weight + layer.bias

    logits = []
    for image in images:
        embedding = network.embedding
        patches = [
            (embedding.patches.weight * image[:, 16 * r : 16 * r + 16, 16 * c : 16 * c + 16]).sum((1, 2, 3))
            + embedding.patches.bias
            for r in range(grid)
            for c in range(grid)
        ]
        x = torch.stack([embedding.class_token[0], *patches]) + embedding.positions
        for layer in network.layers:
            attention = layer.attention
            qkv = linear(attention.qkv, norm(layer.attention_norm, x))
            outputs = []
            for head in range(attention.heads):
                q, k, v = (qkv[:, 192 * head + 64 * part :][:, :64] for part in range(3))
                for i in range(tokens):
                    keys = torch.stack([k[j] + vector(attention.keys, i, j) for j in range(tokens)])
                    values = torch.stack([v[j] + vector(attention.values, i, j) for j in range(tokens)])
                    outputs.append(torch.softmax(keys @ q[i] / 8, dim=0) @ values)
            outputs = torch.stack(outputs).unflatten(0, (attention.heads, tokens))
            x = x + linear(attention.projection, torch.cat(list(outputs), dim=-1))
            x = x + linear(layer.narrow, functional.gelu(linear(layer.widen, norm(layer.mlp_norm, x))))
        logits.append(linear(network.classifier, norm(network.norm, x)[1:].mean(0)))
    return torch.stack(logits)


@pytest.mark.parametrize("size", [48, 64])
def test_a_network_is_the_literal_one(size):
    space = small(size=size)
    network = build_initialised(space, space.parse("24: h2r4 h1r3.5"), WeightParameters()).double()
    images = space.example_inputs(2).double()
    with torch.no_grad():
        torch.testing.assert_close(network(images), literal(network, images), rtol=1e-9, atol=1e-12)


def test_distances_beyond_14_share_a_vector():
    space = small(size=288)
    network = space.build(space.parse("16: h1r4 h1r4"))
    offsets = network.layers[0].attention.keys.row_offsets
    assert offsets.shape == (1 + 18 * 18, 1 + 18)
    assert (int(offsets[1:, 1:].min()), int(offsets[1:, 1:].max())) == (1, 29)
    assert offsets[1, 1 + 14] == offsets[1, 1 + 17] == 29  # the last rows, seen from the first
    assert not offsets[0].any() and not offsets[:, 0].any()


@pytest.mark.parametrize("name", NAMES)
def test_counted_costs_are_those_of_the_network(name):
    for values in ({}, {"size": 112, "classes": 7}):
        space = create_space(name, min_depth=2, max_depth=3, **values)
        genotype = space.encoding.sample(np.random.default_rng(0))
        assert space.costs(genotype) == SearchSpace.costs(space, genotype)


def test_the_sizes_have_the_networks_of_the_supernets():
    # tiny: 3 widths, and 4 kinds of layers in 12, 13 or 14 places
    assert create_space("autoformer_tiny").encoding.size == 3 * (4**12 + 4**13 + 4**14)
    assert create_space("autoformer_small").encoding.size == 3 * (9**12 + 9**13 + 9**14)
    assert create_space("autoformer_base").encoding.size == 3 * (6**14 + 6**15 + 6**16)


# Width, heads of each layer, twice the MLP ratio of each layer, and parameters in millions of networks that the authors found.
FOUND = {
    "small": (384, [6, 6, 5, 7, 5, 5, 5, 6, 6, 7, 7, 6, 7], "6767888888878", 22.9),
    "base": (576, [9, 9, 9, 9, 9, 10, 9, 9, 10, 9, 10, 9, 9, 10], "77878776886867", 53.7),
}


@pytest.mark.parametrize("size", FOUND)
def test_the_published_networks_have_their_published_parameters(size):
    width, heads, ratios, millions = FOUND[size]
    space = create_space(f"autoformer_{size}")
    genotype = space.parse(repr({"num_heads": heads, "mlp_ratio": [int(twice) / 2 for twice in ratios], "embed_dim": width}))
    assert round(space.costs(genotype).params / 1e6, 1) == millions


@pytest.mark.skipif(TABLES is None, reason="RBFLEX_EVO_TABLES is unset")
@pytest.mark.parametrize(("name", "kendall"), [("tiny", 0.99), ("small", 0.999)])
def test_costs_are_those_of_known_networks(name, kendall):
    records = np.load(Path(TABLES or "") / "autoformer.npz")
    space = create_space(f"autoformer_{name}")
    counted = []
    for i, depth in enumerate(records[f"{name}_depth"]):
        heads, ratios = (records[f"{name}_{what}"][i, :depth].tolist() for what in ("num_heads", "mlp_ratio"))
        fields = {"depth": int(depth), "num_heads": heads, "mlp_ratio": ratios, "embed_dim": int(records[f"{name}_embed_dim"][i])}
        counted.append(space.costs(space.parse(repr(fields))))
    assert len(counted) == 1001
    params = np.array([costs.params for costs in counted]) / 1e6
    np.testing.assert_allclose(params, records[f"{name}_params_million"], rtol=1e-6)  # stored in single precision
    flops, theirs = np.array([costs.flops for costs in counted]) / 1e6, records[f"{name}_flops_million"]
    assert (flops / theirs).min() > 0.97 and (flops / theirs).max() < 1
    assert kendalltau(flops, theirs).statistic > kendall


def test_a_narrower_network_has_the_first_weights_of_a_wider_one():
    space = small()
    wide, narrow = (
        dict(build_initialised(space, space.parse(text), WeightParameters(distribution="normal")).named_parameters())
        for text in ("24: h2r4 h2r4 h2r4", "16: h1r3.5 h1r3.5")
    )
    assert narrow.keys() < wide.keys()
    for name, values in narrow.items():
        if values.dim() > 1:
            assert torch.equal(values, wide[name][tuple(slice(size) for size in values.shape)])


def test_networks_of_one_width_share_their_equal_first_layers():
    space = small()
    first, second, other = (
        [stage.identity for stage in chain_of(space.build(space.parse(text)))]
        for text in ("16: h1r4 h2r4 h1r4", "16: h1r4 h2r3.5", "24: h1r4 h2r4")
    )
    assert first[:2] == second[:2] and first[2] != second[2] and first[-1] == second[-1]
    assert not set(first) & set(other)


def test_blocks_are_the_patch_embedding_and_the_layers():
    space = small()
    network = space.build(space.parse("16: h1r4 h2r4 h1r4"))
    assert space.blocks(network) == [network.embedding, *network.layers]
    assert space.classifier(network) is network.classifier


def test_features_are_the_mean_of_the_patch_tokens():
    space = small()
    network = space.build(space.parse("16: h1r4 h2r4")).eval()
    seen, tokens = [], []
    network.classifier.register_forward_pre_hook(lambda _, values: seen.append(values[0]))
    network.norm.register_forward_hook(lambda _, __, output: tokens.append(output))
    network(space.example_inputs(2))
    torch.testing.assert_close(seen[0], tokens[0][:, 1:].mean(1))


def test_images_of_another_size_are_refused():
    space = create_space("autoformer_tiny")
    with pytest.raises(DataError, match=r"autoformer_tiny takes inputs like \[3, 224, 224\], but the batch holds \[3, 32, 32\]"):
        check_inputs(space, Batch(torch.zeros(2, 3, 32, 32)))
    with pytest.raises(ConfigError, match=r"set 'space\.size'"):
        space.costs(space.encoding.sample(np.random.default_rng(0)), (3, 32, 32))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 100}, "multiple of 16"),
        ({"min_depth": 4}, "'min_depth' is 4, but 'max_depth' is 3"),
        ({"heads": [1, 1]}, "'heads' has a value twice"),
        ({"ratios": [3.5, 3.51]}, "the same hidden width"),
        ({"ratios": [0.5]}, "greater than or equal to 1"),
    ],
)
def test_parameters_that_describe_no_space_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        small(**values)


FIELDS = {"layer_num": 2, "num_heads": [1, 2], "mlp_ratio": [4, 3.5], "embed_dim": [24, 24]}


def test_dictionaries_of_the_published_code_are_read():
    space = small()
    assert space.notation(space.parse(repr(FIELDS))) == "24: h1r4 h2r3.5"
    short = {"num_heads": [1, 2], "mlp_ratio": [4.0, 3.5], "embed_dim": 24}
    assert space.parse(repr(short)) == space.parse(repr(FIELDS))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("24: h1r4", "must have 2..3 blocks"),
        ("20: h1r4 h1r4", "the width must be one of"),
        ("24: h3r4 h1r4", "layer 1 must have heads of"),
        ("24: h1r4 h1", "expected a width, and heads and MLP ratio of each layer"),
        (repr({**FIELDS, "layer_num": 3}), "differ in the number of layers"),
        (repr({**FIELDS, "embed_dim": [16, 24]}), "expected one width for all layers"),
        (repr({**FIELDS, "num_heads": "12"}), "expected a list of numbers"),
        (repr({"num_heads": [1, 2]}), "expected the keys"),
        ("{1, 2", "is not a dictionary of AutoFormer"),
    ],
)
def test_what_is_no_network_is_refused(text, message):
    with pytest.raises(GenotypeError, match=message):
        small().parse(text)
