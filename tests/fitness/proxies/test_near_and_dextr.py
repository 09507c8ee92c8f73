"""NEAR and Dextr equal literal forms of their papers and code, and fail where there is nothing to measure."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from rbflex_evo.fitness import CandidateFailed, create_proxy
from rbflex_evo.fitness.passes.subject import Subject
from rbflex_evo.fitness.passes.weights import WeightParameters, initialise
from rbflex_evo.fitness.proxies.dextr import curvature
from rbflex_evo.fitness.proxies.near import block_of, effective_ranks
from rbflex_evo.spaces import ConfigError, create_space

CELLS = [11, 284, 9930]
BERT = {"layers": 2, "hidden": 12, "heads": 2, "length": 6, "vocabulary": 40}


@pytest.fixture(scope="module")
def space():
    return create_space("nats_tss", channels=4, cells=1)


def subject_of(space, genotype, n=6):
    images = torch.from_numpy(np.random.default_rng(0).standard_normal((n, 3, 16, 16)))
    return Subject(space, genotype, images)


def layer_outputs(network, images):
    """Outputs of all modules with weights and of all ReLUs, in training mode and in the order of the forward."""
    seen = []
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d | nn.Linear | nn.ReLU)]
    handles = [m.register_forward_hook(lambda m, i, o: seen.append(o.clone())) for m in layers]
    network.train()
    with torch.no_grad():
        network(images)
    network.eval()
    for handle in handles:
        handle.remove()
    return seen


def literal_near(network, subject):
    total = 0.0
    for i, output in enumerate(layer_outputs(network, subject.images)):
        if output.dim() == 4:
            n, c, h, w = output.shape
            rows = [output[image, :, y, x].numpy() for image in range(n) for x in range(w) for y in range(h)]
            column = h
        else:
            n, c = output.shape
            rows, column = [row.numpy() for row in output], 1
        last = max(len(rows) - c, 0) // column
        start = int((float(subject.uniform(f"near/{i}", (1,))[0]) + 1) / 2 * (last + 1)) * column
        singular = np.linalg.svd(np.array(rows[start : start + c]), compute_uv=False)
        shares = singular / singular.sum()
        total += np.exp(-sum(p * np.log(p) for p in shares if p > 0))
    return total


@pytest.mark.parametrize("index", CELLS)
def test_near_equals_its_literal_form(space, index):
    subject = subject_of(space, space.representative(space.key(space.at(index))))
    proxy = create_proxy("near")
    found = proxy.score(proxy.measure(subject))
    assert found == pytest.approx(literal_near(subject.network, subject), rel=1e-6)


def test_effective_ranks_of_known_matrices():
    identity, one = torch.eye(5), torch.ones(5, 5)
    assert effective_ranks([identity, one, torch.zeros(5, 5), torch.eye(3, 5)]) == pytest.approx([5, 1, 0, 3])
    with pytest.raises(CandidateFailed, match="NaN or infinity"):
        effective_ranks([identity, one / 0])


@pytest.mark.parametrize("at", [0.0, 0.3, 0.6, 0.999])
def test_a_block_has_consecutive_positions_of_the_batch(at):
    output = torch.arange(3 * 8 * 4 * 5.0).view(3, 8, 4, 5)
    every = output.permute(0, 3, 2, 1).reshape(-1, 8)
    block = block_of(output, at)
    assert block.shape == (8, 8)
    start = next(i for i in range(len(every)) if torch.equal(every[i], block[0]))
    assert start % 4 == 0
    assert torch.equal(block, every[start : start + 8])
    words = torch.arange(2 * 3 * 10.0).view(2, 3, 10)
    assert torch.equal(block_of(words, at), words.reshape(6, 10))


def literal_dextr(network, subject):
    image = subject.images[:1]
    conditions = []
    for output in layer_outputs(network, image):
        singular = np.linalg.svd(output[0].reshape(len(output[0]), -1).numpy(), compute_uv=False)
        conditions.append(singular[-1] / singular[0] if singular[0] > 0 else 0.0)
    first, second = subject.normal("dextr/circle", (2, *image.shape[1:]))
    first = first / first.norm()
    second = second - (first * second).sum() * first
    second = second / second.norm()
    network.train()
    t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    output = network((first * torch.cos(t) + second * torch.sin(t))[None])[0]
    v, a = [], []
    for value in output:
        (speed,) = torch.autograd.grad(value, t, create_graph=True)
        v.append(speed.item())
        a.append(torch.autograd.grad(speed, t, retain_graph=True)[0].item())
    network.eval()
    v, a = np.array(v), np.array(a)
    kappa = (v @ v) ** -1.5 * np.sqrt((v @ v) * (a @ a) - (v @ a) ** 2)
    left, right = np.log(1 + sum(conditions)), np.log(1 + kappa)
    return left * right / (left + right)


@pytest.mark.parametrize("index", CELLS)
def test_dextr_equals_its_literal_form(space, index):
    subject = subject_of(space, space.representative(space.key(space.at(index))))
    proxy = create_proxy("dextr")
    found = proxy.score(proxy.measure(subject))
    assert found == pytest.approx(literal_dextr(subject.network, subject), rel=1e-6)


def test_curvature_of_a_circle_is_one_by_its_radius():
    t, radius = 0.7, 3.0
    velocity, acceleration = radius * np.array([-np.sin(t), np.cos(t)]), radius * np.array([-np.cos(t), -np.sin(t)])
    assert curvature(velocity, acceleration) == pytest.approx(1 / radius)
    # Along a line, at any speed.
    assert curvature(velocity, 2 * velocity) == pytest.approx(0, abs=1e-12)
    assert np.isnan(curvature(np.zeros(2), acceleration))


def test_curvatures_of_several_points_are_added(space):
    subject = subject_of(space, space.at(9930))
    one, three = (create_proxy("dextr", points=points).measure(subject)["curvatures"] for points in (1, 3))
    assert three[0] == pytest.approx(one[0])
    assert three.shape == (3,)


@pytest.mark.parametrize("name", ["near", "dextr"])
def test_a_dead_network_fails_and_the_weights_stay(space, name):
    proxy = create_proxy(name)
    with pytest.raises(CandidateFailed, match="no path from input to output"):
        proxy.score(proxy.measure(subject_of(space, (0,) * 6)))
    subject = subject_of(space, space.at(9930))
    before = {key: value.clone() for key, value in subject.network.state_dict().items()}
    proxy.measure(subject)
    assert all(torch.equal(before[key], value) for key, value in subject.network.state_dict().items())
    assert all(parameter.grad is None for parameter in subject.network.parameters())


class Tokens(nn.Module):
    """A layer of an own form over the pixels of an image, between two linear layers."""

    def __init__(self, layer):
        super().__init__()
        self.embed, self.classifier = nn.Linear(3, 4), nn.Linear(4, 10)
        self.layer = layer
        initialise(self, WeightParameters())

    def forward(self, x):
        return self.classifier(self.layer(self.embed(x.flatten(2).transpose(1, 2))).mean(dim=1))


def dextr_of(space, layer):
    subject = subject_of(space, (0,) * 6)
    subject.network = Tokens(layer).double()
    proxy = create_proxy("dextr")
    return proxy.score(proxy.measure(subject))


def fused_attention(x):
    return functional.scaled_dot_product_attention(*(x[:, None],) * 3).squeeze(1)


def test_dextr_derives_torchs_fused_attention_as_attention_that_is_written_out(space):
    written = dextr_of(space, lambda x: (x @ x.mT / 2).softmax(-1) @ x)
    assert dextr_of(space, fused_attention) == pytest.approx(written, rel=1e-10)


def test_dextr_of_an_operation_without_a_second_derivative_fails_in_one_line(space):
    def always_fused(x):
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            return fused_attention(x)

    with pytest.raises(CandidateFailed, match=r"cannot be derived more than once \(.*attention.*\); leave dextr out$"):
        dextr_of(space, always_fused)


def test_near_reads_words_and_dextr_refuses_them():
    bert = create_space("nafbee_bert", **BERT)
    near = create_proxy("near")
    ranks = near.measure(Subject(bert, bert.parse("GELU"), bert.example_inputs(8)))["ranks"]
    # Normalised embeddings; per layer six linear layers, two normalisations and an activation; pooler, tanh, classifier.
    assert len(ranks) == 1 + 2 * 9 + 3
    with pytest.raises(ConfigError, match="words; leave dextr out"):
        create_proxy("dextr").check(bert)
