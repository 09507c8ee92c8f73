"""SynFlow of Transformers and of words equals the flow of a linear network, is positive, and is the same for any attention."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision.models import VisionTransformer

from rbflex_evo.fitness import create_proxy
from rbflex_evo.fitness.passes.subject import Subject
from rbflex_evo.fitness.passes.weights import WeightParameters, initialise
from rbflex_evo.spaces import create_space

SPACE = create_space("nats_tss", channels=4, cells=1)
WORDS = create_space("nafbee_bert", layers=2, hidden=12, heads=2, length=6, vocabulary=40)
NAMES = ["synflow", "logsynflow", "zico"]


def vit(depth=2, width=8):
    network = VisionTransformer(8, 4, depth, 2, width, 16, num_classes=10)
    initialise(network, WeightParameters())
    return network


def images(n=6):
    return torch.from_numpy(np.random.default_rng(0).standard_normal((n, 3, 8, 8)).astype("float32"))


def score(name, network):
    subject = Subject(SPACE, (0,) * 6, images())
    subject.network = network
    proxy = create_proxy(name)
    return proxy.score(proxy.measure(subject))


def attention_flow(value, output, query, key, x, heads):
    """Mixes values by shares that are constants of the gradient."""
    batch, tokens, width = x.shape

    def by_head(layer):
        return layer(x).view(batch, tokens, heads, width // heads).transpose(1, 2)

    shares = (by_head(query) @ by_head(key).transpose(2, 3) / math.sqrt(width // heads)).softmax(-1).detach()
    return output((shares @ by_head(value)).transpose(1, 2).reshape(batch, tokens, width))


def linear_flow(layers, forward):
    """log of the sum of |w| dR/d|w| over `layers`, R the sum of the outputs."""
    forward().sum().backward()
    found = [layer.weight for layer in layers if layer.weight.grad is not None]
    return math.log(sum(float((weight.detach() * weight.grad).sum()) for weight in found))


def literal_vit(network):
    """The flow of torchvision's network, written out without its normalisations and with separate layers of its attention."""
    network = copy.deepcopy(network).double()
    for parameter in network.parameters():
        parameter.data = parameter.data.abs()
    layers, blocks = [network.conv_proj, network.heads[-1]], []
    for block in network.encoder.layers:
        attention = block.self_attention
        parts = []
        for weight, bias in zip(attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3), strict=True):
            layer = nn.Linear(weight.shape[1], weight.shape[0]).double()
            layer.weight.data, layer.bias.data = weight.detach().clone(), bias.detach().clone()
            parts.append(layer)
        blocks.append((parts, attention.out_proj, block.mlp[0], block.mlp[3]))
        layers += [*parts, attention.out_proj, block.mlp[0], block.mlp[3]]

    def forward():
        x = network.conv_proj(torch.ones(1, 3, 8, 8, dtype=torch.float64)).flatten(2).transpose(1, 2)
        x = torch.cat([network.class_token, x], dim=1) + network.encoder.pos_embedding
        for (query, key, value), output, widen, narrow in blocks:
            x = x + attention_flow(value, output, query, key, x, 2)
            x = x + narrow(functional.gelu(widen(x)))
        return network.heads[-1](x[:, 0])

    # The class token and the table of positions are parameters with more than one dimension, so the score reads them, too.
    total = math.exp(linear_flow(layers, forward))
    for table in (network.class_token, network.encoder.pos_embedding):
        total += float((table.detach() * table.grad).sum())
    return math.log(total)


@pytest.mark.parametrize("depth", [1, 3])
def test_synflow_of_a_vision_transformer_equals_its_literal_form(depth):
    assert score("synflow", vit(depth)) == pytest.approx(literal_vit(vit(depth)), rel=1e-10)


def test_synflow_of_words_equals_its_literal_form():
    subject = Subject(WORDS, WORDS.parse("ReLU"), WORDS.example_inputs(4))
    network = copy.deepcopy(subject.network).double()
    for parameter in network.parameters():
        parameter.data = parameter.data.abs()
    ids = torch.ones(1, 6, dtype=torch.long)
    embeddings = network.embeddings

    def forward():
        x = embeddings.words(ids) + embeddings.segments(torch.zeros_like(ids)) + embeddings.positions(torch.arange(6))
        for layer in network.layers:
            a = layer.attention
            x = x + attention_flow(a.value, a.output, a.query, a.key, x, 2)
            x = x + layer.narrow(functional.relu(layer.widen(x)))
        return network.classifier(network.pooler.linear(x[:, 0]))

    expected = linear_flow([module for module in network.modules() if isinstance(module, nn.Linear)], forward)
    proxy = create_proxy("synflow")
    assert proxy.score(proxy.measure(subject)) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_deeper_and_wider_transformers_have_higher_scores(name):
    assert score(name, vit(1)) < score(name, vit(2)) < score(name, vit(4)) < score(name, vit(4, 16))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("activation", ["ReLU", "GELU", "Hardtanh"])
def test_networks_of_words_are_scored(name, activation):
    subject = Subject(WORDS, WORDS.parse(activation), WORDS.example_inputs(4))
    proxy = create_proxy(name)
    assert np.isfinite(proxy.score(proxy.measure(subject)))


class Layer(nn.Module):
    """One layer of attention, as torch's module, as its function, or written out."""

    def __init__(self, form):
        super().__init__()
        self.form = form
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.classifier = nn.Linear(8, 10)

    def forward(self, x):
        x = x.flatten(2).transpose(1, 2)
        x = functional.pad(x, (0, 5))
        if self.form == "module":
            return self.classifier(self.attention(x, x, x, need_weights=False)[0].mean(dim=1))
        projected = functional.linear(x, self.attention.in_proj_weight, self.attention.in_proj_bias)
        query, key, value = projected.unflatten(2, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        if self.form == "function":
            mixed = functional.scaled_dot_product_attention(query, key, value)
        else:
            mixed = (query @ key.transpose(2, 3) / 2).softmax(-1) @ value
        return self.classifier(self.attention.out_proj(mixed.transpose(1, 2).flatten(2)).mean(dim=1))


@pytest.mark.parametrize("name", NAMES[:2])
@pytest.mark.parametrize("form", ["function", "written out"])
def test_attention_is_one_case_however_it_is_written(name, form):
    networks = [Layer(form), Layer("module")]
    for network in networks:
        initialise(network, WeightParameters())
    scores = [score(name, network) for network in networks]
    assert scores[0] == pytest.approx(scores[1], rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_torchs_encoder_layer_is_scored_although_it_has_a_fused_form(name):
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.TransformerEncoderLayer(3, 1, 8, batch_first=True)
            self.classifier = nn.Linear(3, 10)

        def forward(self, x):
            return self.classifier(self.layer(x.flatten(2).transpose(1, 2)).mean(dim=1))

    network = Network()
    initialise(network, WeightParameters())
    assert np.isfinite(score(name, network.eval()))
