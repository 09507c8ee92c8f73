"""PiT networks are those of the paper, count what they build, and share what they have in common."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.data.inputs import check_inputs
from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.spaces import ConfigError, DataError, GenotypeError, create_space
from rbflex_evo.spaces.architecture.chain import chain_of
from rbflex_evo.spaces.space import SearchSpace
from tests.support.transformers import PIT

TABLES = os.environ.get("RBFLEX_EVO_TABLES")


def small(**values):
    return create_space("pit", **{**PIT, **values})


def literal(network, images):
    """The network written out patch by patch, head by head and channel by channel."""
    layout = network.layout

    def linear(layer, x):
        return x @ layer.weight.T + layer.bias

    def norm(layer, x):
        return (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, correction=0, keepdim=True) + 1e-6) * layer.weight + layer.bias

    logits = []
    for image in images:
        grid, embedding = (images.shape[-1] - 16) // 8 + 1, network.embedding
        patches = [
            (embedding.patches.weight * image[:, 8 * r : 8 * r + 16, 8 * c : 8 * c + 16]).sum((1, 2, 3)) + embedding.patches.bias
            for r in range(grid)
            for c in range(grid)
        ]
        x = torch.cat([embedding.class_token, torch.stack(patches) + embedding.positions])
        for i, (choice, layers) in enumerate(zip(layout.stages, network.stages, strict=True)):
            if i:
                pool = network.pools[i - 1]
                inputs, outputs = pool.class_token.in_features, pool.class_token.out_features
                maps = functional.pad(x[1:].T.reshape(inputs, grid, grid), (1, 1, 1, 1))
                grid = (grid + 1) // 2
                pooled = torch.empty(outputs, grid, grid, dtype=x.dtype)
                for o in range(outputs):
                    for r in range(grid):
                        for c in range(grid):
                            window = maps[o // (outputs // inputs), 2 * r : 2 * r + 3, 2 * c : 2 * c + 3]
                            pooled[o, r, c] = (window * pool.patches.weight[o, 0]).sum() + pool.patches.bias[o]
                x = torch.cat([linear(pool.class_token, x[:1]), pooled.flatten(1).T])
            for layer in layers:
                qkv = linear(layer.attention.qkv, norm(layer.attention_norm, x))
                heads = []
                for head in range(choice.heads):
                    q, k, v = (qkv[:, layout.base * (3 * head + part) :][:, : layout.base] for part in range(3))
                    heads.append(torch.softmax(q @ k.T / layout.base**0.5, dim=1) @ v)
                x = x + linear(layer.attention.projection, torch.cat(heads, dim=1))
                x = x + linear(layer.narrow, functional.gelu(linear(layer.widen, norm(layer.mlp_norm, x))))
        logits.append(linear(network.classifier, norm(network.norm, x[0])))
    return torch.stack(logits)


@pytest.mark.parametrize("size", [32, 40])
def test_a_network_is_the_literal_one(size):
    space = small(size=size)
    network = build_initialised(space, space.parse("4r3: d1h1 d2h2 d1h4"), WeightParameters()).double()
    images = space.example_inputs(2).double()
    with torch.no_grad():
        torch.testing.assert_close(network(images), literal(network, images), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("values", [{}, {"size": 113, "classes": 7}])
def test_counted_costs_are_those_of_the_network(values):
    space = create_space("pit", **values)
    for seed in range(2):
        genotype = space.encoding.sample(np.random.default_rng(seed))
        assert space.costs(genotype) == SearchSpace.costs(space, genotype)


# Width of a head, heads, parameters in millions and multiply-accumulates in billions of the paper's networks, as timm counts them.
PUBLISHED = {"ti": (32, [2, 4, 8], 4.85, 0.7), "xs": (48, [2, 4, 8], 10.62, 1.4), "s": (48, [3, 6, 12], 23.46, 2.9)}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_networks_have_their_published_size(name):
    width, heads, millions, billions = PUBLISHED[name]
    space = create_space("pit", widths=[width], ratios=[4], heads=[[count] for count in heads], classes=1000)
    costs = space.costs(space.parse(f"{width}r4: d2h{heads[0]} d6h{heads[1]} d4h{heads[2]}"))
    assert round(costs.params / 1e6, 2) == millions
    assert round(costs.flops / 1e9, 1) == billions


def test_the_space_has_the_networks_whose_poolings_have_whole_groups():
    space = create_space("pit")
    assert space.encoding.size == 4 * 4 * 3**3 * 10
    assert all(a <= b <= c for a, b, c in space.heads)
    assert create_space("pit", heads=[[2, 3], [4, 6], [6]]).heads == [(2, 6, 6), (3, 6, 6)]


@pytest.mark.skipif(TABLES is None, reason="RBFLEX_EVO_TABLES is unset")
def test_every_network_of_the_benchmark_is_in_the_space():
    records = np.load(Path(TABLES or "") / "vitbench101.npz")
    space = create_space("pit")
    rows = zip(*(records[f"pit_{name}"].tolist() for name in ("base_dim", "mlp_ratio", "depth", "num_heads")), strict=True)
    names = ("base_dim", "mlp_ratio", "depth", "num_heads")
    assert len({space.parse(repr(dict(zip(names, row, strict=True)))) for row in rows}) == 100


def test_a_narrower_network_has_the_first_weights_of_a_wider_one():
    space = small()
    wide, narrow = (
        dict(build_initialised(space, space.parse(text), WeightParameters(distribution="normal")).named_parameters())
        for text in ("6r3: d2h2 d2h2 d1h4", "4r2: d1h1 d2h2 d1h2")
    )
    assert narrow.keys() < wide.keys()
    for name, values in narrow.items():
        if values.dim() > 1:
            assert torch.equal(values, wide[name][tuple(slice(size) for size in values.shape)])


def test_networks_of_equal_first_stages_share_them():
    space = small()
    first, second, other = (
        [stage.identity for stage in chain_of(space.build(space.parse(text)))]
        for text in ("4r2: d2h1 d1h2 d1h2", "4r2: d2h1 d1h2 d1h4", "4r2: d1h1 d1h2 d1h2")
    )
    assert first[:5] == second[:5] and first[5] != second[5]  # embedding, two layers, pooling, layer; then the wider pooling
    assert first[:2] == other[:2] and first[2] != other[2]


def test_blocks_are_the_patch_embedding_and_the_layers():
    space = small()
    network = space.build(space.parse("4r2: d2h1 d1h2 d1h4"))
    assert space.blocks(network) == [network.embedding, *network.stages[0], *network.stages[1], *network.stages[2]]
    assert space.classifier(network) is network.classifier


def test_features_are_the_normalised_class_token():
    space = small()
    network = space.build(space.parse("4r2: d1h1 d1h2 d1h4")).eval()
    seen, tokens = [], []
    network.classifier.register_forward_pre_hook(lambda _, values: seen.append(values[0]))
    network.stages[-1][-1].register_forward_hook(lambda _, __, output: tokens.append(output))
    network(space.example_inputs(2))
    torch.testing.assert_close(seen[0], network.norm(tokens[0][:, 0]))


def test_images_of_another_size_are_refused():
    space = create_space("pit")
    with pytest.raises(DataError, match=r"pit takes inputs like \[3, 224, 224\], but the batch holds \[3, 32, 32\]"):
        check_inputs(space, Batch(torch.zeros(2, 3, 32, 32)))
    with pytest.raises(ConfigError, match=r"set 'space\.size'"):
        space.costs(space.encoding.sample(np.random.default_rng(0)), (3, 32, 32))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 15}, "greater than or equal to 16"),
        ({"depths": [[1], [1]]}, "'depths' has 2 stages, but 'heads' has 3"),
        ({"heads": [[1, 1], [2], [2]]}, "'heads' has a value twice"),
        ({"heads": [[4], [2], [2]]}, "has multiples of those of the stage before"),
        ({"ratios": [2.5]}, "valid integer"),
    ],
)
def test_parameters_that_describe_no_space_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        small(**values)


FIELDS = {"base_dim": 4, "mlp_ratio": 3, "depth": [2, 1, 1], "num_heads": [1, 2, 4]}


def test_dictionaries_of_the_benchmark_are_read():
    space = small()
    assert space.notation(space.parse(repr(FIELDS))) == "4r3: d2h1 d1h2 d1h4"
    assert space.parse(repr({**FIELDS, "mlp_ratio": 3.0})) == space.parse("4r3: d2h1 d1h2 d1h4")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("4r2: d1h1 d1h2", "has 3 stages, but .* has 2"),
        ("5r2: d1h1 d1h2 d1h4", r"width of a network of pit must be one of \[4, 6\], but it is 5"),
        ("4r2: d3h1 d1h2 d1h4", "depth 1 of a network of pit must be one of"),
        ("4r2: d1h2 d1h1 d1h4", "heads of a network of pit must be multiples of those of the stage before"),
        ("4r2 d1h1 d1h2 d1h4", "expected the width of a head, the MLP ratio"),
        (repr({**FIELDS, "num_heads": [1, 2]}), "differ in the number of stages"),
        (repr({**FIELDS, "base_dim": "4"}), "expected whole numbers"),
        (repr({**FIELDS, "depth": [1.5, 1, 1]}), "expected whole numbers"),
        ('{"base_dim": Infinity, "mlp_ratio": 3, "depth": [2, 1, 1], "num_heads": [1, 2, 4]}', "expected whole numbers"),
        (repr({"base_dim": 4}), "expected the keys"),
        ("{1, 2", "is not a dictionary of PiT"),
    ],
)
def test_what_is_no_network_is_refused(text, message):
    with pytest.raises(GenotypeError, match=message):
        small().parse(text)
