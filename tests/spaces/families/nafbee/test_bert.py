"""NAFBee's BERT is the published network: its parameters, its forward written out, its weights by their official names."""

from __future__ import annotations

import math
import shutil
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from rbflex_evo.fitness import WeightParameters
from rbflex_evo.fitness.passes.weights import build_initialised
from rbflex_evo.fitness.proxies.rbflex.layers import layer_distances
from rbflex_evo.spaces import ConfigError, create_space
from rbflex_evo.spaces.conformance.check_space import check_space
from rbflex_evo.spaces.families.nafbee.activations import ACTIVATIONS
from rbflex_evo.spaces.families.nafbee.bert_weights import official_name
from rbflex_evo.spaces.space import SearchSpace

SIZE = {"layers": 3, "hidden": 12, "heads": 3, "length": 7, "vocabulary": 40}


def small(**values):
    return create_space("nafbee_bert", **{**SIZE, **values})


@cache
def sentences():
    ids = small().example_inputs(4)
    ids[1, 4:] = 0
    ids[3, 1:] = 0
    return ids


def test_parameters_are_those_of_the_official_network():
    """transformers' BertForSequenceClassification of bert-base-uncased with two classes has 109,483,778."""
    space = create_space("nafbee_bert")
    assert space.costs((0,)).params == 109_483_778
    with torch.device("meta"):
        network = space.build((0,))
    assert sum(parameter.numel() for parameter in network.parameters()) == 109_483_778
    assert space.input_shape == (50,)
    assert space.vocabulary == 30522
    assert space.inputs == "words"


@pytest.mark.parametrize("per_layer", [False, True])
def test_both_forms_keep_the_contract(per_layer):
    check_space(small(per_layer=per_layer), samples=4)


def test_a_space_has_11_networks_or_11_to_the_power_of_its_layers():
    assert create_space("nafbee_bert").encoding.size == 11
    assert create_space("nafbee_bert", per_layer=True).encoding.size == 11**12


def test_costs_equal_those_of_the_built_network():
    space = small(per_layer=True, classes=5)
    genotype = space.encoding.sample(np.random.default_rng(0))
    for shape in (None, (1,), (20,)):
        assert space.costs(genotype, shape) == SearchSpace.costs(space, genotype, shape)


def literal(network, ids):
    """The logits of one sentence by the paper's equations, word by word and head by head, of its words alone."""
    weights = {name: value.double() for name, value in network.state_dict().items()}

    def linear(x, name):
        return weights[f"{name}.weight"] @ x + weights[f"{name}.bias"]

    def norm(x, name):
        centred = x - x.mean()
        return centred / math.sqrt((centred**2).mean() + 1e-12) * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    words = [int(word) for word in ids if word]
    states = [
        norm(
            weights["embeddings.words.weight"][word]
            + weights["embeddings.positions.weight"][place]
            + weights["embeddings.segments.weight"][0],
            "embeddings.norm",
        )
        for place, word in enumerate(words)
    ]
    for number, layer in enumerate(network.layers):
        name, heads = f"layers.{number}", layer.attention.heads
        queries, keys, values = (
            [linear(state, f"{name}.attention.{what}").chunk(heads) for state in states] for what in ("query", "key", "value")
        )
        attended = []
        for place in range(len(states)):
            parts = []
            for head in range(heads):
                width = len(queries[place][head])
                powers = [math.exp(float(queries[place][head] @ key[head]) / math.sqrt(width)) for key in keys]
                parts.append(sum(power / sum(powers) * value[head] for power, value in zip(powers, values, strict=True)))
            attended.append(linear(torch.cat(parts), f"{name}.attention.output"))
        states = [norm(state + a, f"{name}.attention_norm") for state, a in zip(states, attended, strict=True)]
        inner = [linear(layer.activation(linear(state, f"{name}.widen")), f"{name}.narrow") for state in states]
        states = [norm(state + i, f"{name}.output_norm") for state, i in zip(states, inner, strict=True)]
    return linear(torch.tanh(linear(states[0], "pooler.linear")), "classifier")


def test_the_network_computes_what_the_paper_says_and_padding_is_not_there():
    space = small(per_layer=True)
    network = build_initialised(space, space.parse("GELU-Mish-SELU"), WeightParameters(distribution="xavier_normal")).eval()
    with torch.no_grad():
        found = network.double()(sentences())
        expected = torch.stack([literal(network, ids) for ids in sentences()])
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    assert (found[0] - found[1]).abs().max() > 1e-4


def test_every_layer_has_its_activation_and_the_head_its_tanh():
    space = small(per_layer=True, layers=11)
    with torch.device("meta"):
        network = space.build(tuple(range(11)))
    found = [type(module).__name__ for module in network.modules() if type(module).__name__ in (*ACTIVATIONS, "Tanh")]
    assert found == [*ACTIVATIONS, "Tanh"]
    assert space.blocks(network) == [network.embeddings, *network.layers]
    assert space.classifier(network) is network.classifier


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_sentences_lie_apart_in_the_features_by_far_more_than_round_off(activation):
    """Y is what the space says: float32 finds the distances of float64, and every column is live."""
    space = small(hidden=48, layers=6)
    assert space.features == "per_image"
    found = [
        layer_distances(space, space.parse(activation), sentences(), precision=precision)[1] for precision in ("float32", "float64")
    ]
    single, double = found
    assert single.units == single.live == double.live == 48
    assert single.distance == pytest.approx(double.distance, rel=1e-3)


def test_a_sentence_is_scored_the_same_in_any_company():
    space = small()
    network = build_initialised(space, space.parse("ReLU"), WeightParameters()).eval()
    with torch.no_grad():
        together = network(sentences())
        alone = torch.cat([network(ids[None]) for ids in sentences()])
        longer = network(torch.cat([sentences(), torch.zeros(4, 5, dtype=torch.int64)], dim=1))
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(together, longer)


def test_celu_and_elu_are_one_architecture():
    assert small().key(small().parse("CELU")) == "ELU"
    layered = small(per_layer=True)
    assert layered.key(layered.parse("CELU-Mish-ELU")) == "ELU-Mish-ELU"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hidden": 10, "heads": 3}, "3 'heads' do not share a 'hidden' of 10 evenly"),
        ({"length": 513}, "less than or equal to 512"),
        ({"pretrained": "some"}, "'all' or 'published'"),
    ],
)
def test_a_wrong_size_is_refused_in_one_line(values, message):
    with pytest.raises(ConfigError, match=message) as caught:
        create_space("nafbee_bert", **values)
    assert "\n" not in str(caught.value)


def checkpoint(path, change=lambda weights: weights, seed=5):
    """A file as transformers saves it, of `small()`'s size."""
    with torch.device("meta"):
        parameters = dict(small().build((0,)).named_parameters())
    generator = torch.Generator().manual_seed(seed)
    weights = {official_name(name): torch.randn(tensor.shape, generator=generator) for name, tensor in parameters.items()}
    weights["bert.embeddings.position_ids"] = torch.arange(512)[None]
    torch.save(change(weights), path)
    return str(path)


def initialised(**values):
    space = small(**values)
    return dict(build_initialised(space, space.parse("GELU"), WeightParameters(seed=3)).named_parameters())


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("embeddings.words.weight", "bert.embeddings.word_embeddings.weight"),
        ("embeddings.norm.bias", "bert.embeddings.LayerNorm.bias"),
        ("layers.11.attention.value.bias", "bert.encoder.layer.11.attention.self.value.bias"),
        ("layers.0.attention_norm.weight", "bert.encoder.layer.0.attention.output.LayerNorm.weight"),
        ("layers.7.narrow.weight", "bert.encoder.layer.7.output.dense.weight"),
        ("pooler.linear.weight", "bert.pooler.dense.weight"),
        ("classifier.bias", "classifier.bias"),
    ],
)
def test_weights_have_their_official_names(ours, theirs):
    assert official_name(ours) == theirs


def test_networks_start_from_the_weights_of_a_file(tmp_path):
    path = checkpoint(tmp_path / "model.bin")
    saved = torch.load(path, weights_only=True)
    found = initialised(weights=path)
    assert len(found) == len(saved) - 1
    assert all(torch.equal(parameter, saved[official_name(name)]) for name, parameter in found.items())


def test_the_published_script_draws_the_matrices_of_linear_layers_and_nothing_else(tmp_path):
    path = checkpoint(tmp_path / "model.bin")
    saved, drawn = torch.load(path, weights_only=True), initialised()
    linear = {f"{name}.weight" for name, module in small().build((0,)).named_modules() if isinstance(module, nn.Linear)}
    for name, parameter in initialised(weights=path, pretrained="published").items():
        assert torch.equal(parameter, drawn[name] if name in linear else saved[official_name(name)]), name


def first_names(weights):
    return {
        name.removeprefix("bert.").replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in weights.items()
        if not name.startswith("classifier")
    }


def test_a_checkpoint_from_before_fine_tuning_has_a_drawn_classifier(tmp_path):
    path = checkpoint(tmp_path / "model.bin", first_names)
    drawn, whole = initialised(), initialised(weights=checkpoint(tmp_path / "whole.bin"))
    for name, parameter in initialised(weights=path).items():
        assert torch.equal(parameter, (drawn if name.startswith("classifier") else whole)[name]), name


def test_a_space_is_its_weights_wherever_they_lie(tmp_path):
    copied = shutil.copy(checkpoint(tmp_path / "a.bin"), tmp_path / "b.bin")
    first, same = (small(weights=str(path)).identity for path in (tmp_path / "a.bin", copied))
    other = small(weights=checkpoint(tmp_path / "c.bin", seed=6)).identity
    assert first == same
    assert first["weights"] != other["weights"]
    assert small().identity["weights"] is None


class Anything:
    pass


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: Anything(), "is not a state dictionary that torch.load reads safely"),
        (lambda weights: [1, 2], "is not a state dictionary; expected tensors by name"),
        (lambda weights: {"x": 3}, "is not a state dictionary; expected tensors by name"),
        (lambda weights: {"x": torch.zeros(2)}, "has no 'bert.embeddings.word_embeddings.weight'; space.weights takes"),
        (
            lambda weights: {**weights, "bert.pooler.dense.bias": torch.zeros(9)},
            r"'bert.pooler.dense.bias' of .* has shape \[9\], but the space's is \[12\]",
        ),
    ],
)
def test_a_wrong_file_of_weights_is_refused_in_one_line(tmp_path, change, message):
    with pytest.raises(ConfigError, match=message) as caught:
        small(weights=checkpoint(tmp_path / "model.bin", change)).known_weights()
    assert "\n" not in str(caught.value)


def test_a_missing_file_of_weights_is_refused_in_one_line(tmp_path):
    for read in (lambda space: space.known_weights(), lambda space: space.identity):
        with pytest.raises(ConfigError, match="nowhere") as caught:
            read(small(weights=str(tmp_path / "nowhere.bin")))
        assert "\n" not in str(caught.value)
