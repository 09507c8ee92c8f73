"""Networks that read words are scored like any other: ids stay whole numbers, and what cannot read them says so in one line."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from rbflex_evo.fitness import PROXIES, create_proxy, rbflex_score
from rbflex_evo.fitness.costs.memory import activation_memory
from rbflex_evo.fitness.costs.metric import CostSubject, create_metric
from rbflex_evo.fitness.data.batch import Batch, create_batch
from rbflex_evo.fitness.data.inputs import default_data
from rbflex_evo.fitness.evaluation import keyed
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import Evaluator
from rbflex_evo.fitness.passes.device import PRECISIONS
from rbflex_evo.fitness.passes.graph import depth, operations_of
from rbflex_evo.fitness.passes.subject import Subject
from rbflex_evo.fitness.passes.weights import WeightParameters, initialise
from rbflex_evo.fitness.proxies.rbflex.layers import layer_distances
from rbflex_evo.spaces import ConfigError, DataError, create_space
from rbflex_evo.spaces.conformance.check_space import check_space
from tests.support.words_space import TinyWords

SPACE = TinyWords()
# What adds to its inputs, differentiates by them, or counts on networks that this space has not.
REFUSING = {"dextr", "jacob_cov", "zen", "ni", "linear_regions"}
WITHOUT_CELLS = {"nn_mass", "nn_degree"}
WITHOUT_BLOCKS = {"mlp_ratio"}
SCORING = sorted(set(PROXIES.names()) - REFUSING - WITHOUT_CELLS - WITHOUT_BLOCKS)
# The reader has no convolution, and a layer of 12 channels over 6 words has no independent ones.
FAILING = {"n_conv": None, "meco": "linearly independent"}


@cache
def words(n=6, **values):
    return create_batch("words", length=6, vocabulary=40, n=n, **values)


def evaluated(names, genotypes=((0, 1),), batch=None, **settings):
    proxies = {name: create_proxy(name) for name in names}
    conditions = Conditions.of(SPACE, batch or words())
    with Evaluator(conditions, proxies, **{"workers": 1, **settings}) as evaluator:
        return list(evaluator.evaluate(keyed(evaluator, genotypes))), dict(evaluator.counts)


def test_the_tiny_space_of_words_keeps_the_contract():
    check_space(SPACE)


def test_a_space_of_words_gives_its_networks_words_without_padding():
    given = SPACE.example_inputs(50, seed=3)
    assert given.dtype == torch.int64
    assert given.shape == (50, 6)
    assert (int(given.min()), int(given.max())) == (1, 39)
    assert torch.equal(given, SPACE.example_inputs(50, seed=3))
    assert not torch.equal(given, SPACE.example_inputs(50, seed=4))


def test_a_space_of_images_gives_its_networks_noise_of_any_size():
    given = create_space("toy").example_inputs(200, input_shape=(3, 4, 5))
    assert given.dtype == torch.float32
    assert given.shape == (200, 3, 4, 5)
    assert abs(float(given.mean())) < 0.04
    assert abs(float(given.std()) - 1) < 0.04


@pytest.mark.parametrize("name", SCORING)
def test_every_score_that_can_read_words_scores_them(name):
    (evaluation,), _ = evaluated([name], [(0, 1)])
    if FAILING.get(name):
        assert FAILING[name] in evaluation.failures[name]
    else:
        assert np.isfinite(evaluation.scores[name])


@pytest.mark.parametrize("name", sorted(REFUSING))
def test_a_score_that_cannot_read_words_says_why_before_anything_is_measured(name):
    with pytest.raises(ConfigError, match=rf"^{name} .*, but the inputs of tiny_words are words; leave {name} out$"):
        evaluated([name])


def test_meco_takes_the_words_of_a_sentence_for_the_positions_of_its_channels():
    sentences = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 9, 4)))
    observer = create_proxy("meco").observer()
    observer.activation("layer", sentences)
    expected = np.linalg.eigvalsh(np.corrcoef(sentences[0].numpy().T))[0]
    assert float(observer.finish()["eigenvalues"]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_word_ids_stay_whole_numbers_in_every_precision(precision):
    seen = []

    class Watched(TinyWords):
        def build(self, genotype):
            network = super().build(genotype)
            network.register_forward_pre_hook(lambda _, given: seen.append(given[0].clone()))
            return network

    proxies = {name: create_proxy(name) for name in ("rbflex", "grad_norm")}
    conditions = Conditions.of(Watched(), words(), precision=precision)
    with Evaluator(conditions, proxies, workers=1, in_process=True) as evaluator:
        (evaluation,) = evaluator.evaluate(keyed(evaluator, [(0, 1)]))
    assert not evaluation.failures
    assert len(seen) > 1
    # A few sentences run alone first, as evidence of the layout.
    assert all(torch.equal(given, words().images) for given in seen if len(given) == len(words().images))
    assert {given.dtype for given in seen} == {torch.int64}


def test_scores_of_words_are_those_of_a_literal_forward():
    """NASWOT by hand: the codes of all activations, one sentence at a time."""
    network = SPACE.build((0, 3))
    initialise(network, WeightParameters())
    codes = []
    for sentence in words().images:
        there = (sentence != 0).unsqueeze(-1)
        x, code = network.embedding(sentence), []
        for layer in network.layers:
            x = layer(x) * there
            code.append((layer[1](x) > 0) if isinstance(layer[1], nn.ReLU) else (x > 0))
        codes.append(torch.cat([part.flatten() for part in code]).double())
    c = torch.stack(codes)
    kernel = c @ c.T + (1 - c) @ (1 - c).T
    (evaluation,), _ = evaluated(["naswot"], [(0, 3)])
    assert evaluation.scores["naswot"] == pytest.approx(float(torch.linalg.slogdet(kernel)[1]), rel=1e-5)


def test_synflow_reads_a_sentence_of_ones():
    (evaluation,), _ = evaluated(["synflow"], [(0, 0)])
    network = SPACE.build((0, 0)).double()
    initialise(network, WeightParameters())
    for parameter in network.parameters():
        parameter.data.abs_()
    network(torch.ones(1, 6, dtype=torch.int64)).sum().backward()
    layers = [module.weight for module in network.modules() if isinstance(module, nn.Linear)]
    assert evaluation.scores["synflow"] == pytest.approx(float(sum((w * w.grad).sum() for w in layers).detach().log()), rel=1e-5)


SEVERAL = ["rbflex", "naswot", "synflow", "az_trainability"], [(0, 0), (0, 1), (1, 2)]


def test_the_cache_gives_the_scores_that_were_measured(tmp_path):
    first, _ = evaluated(*SEVERAL, cache=tmp_path / "cache")
    again, counts = evaluated(*SEVERAL, cache=tmp_path / "cache")
    assert [e.scores for e in first] == [e.scores for e in again]
    assert counts["measured"] == 0


@pytest.mark.slow
def test_workers_give_the_scores_of_one_process():
    one, several = evaluated(*SEVERAL)[0], evaluated(*SEVERAL, workers=2)[0]
    assert [e.scores for e in one] == [e.scores for e in several]


def test_other_words_are_other_inputs():
    assert len({words().fingerprint, words(seed=1).fingerprint, Batch(words().images.float(), None, "").fingerprint}) == 3


def test_a_batch_of_the_other_kind_is_one_line_that_gives_the_right_one():
    images = create_batch("noise", shape=[6], n=4)
    with pytest.raises(ConfigError) as caught:
        evaluated(["rbflex"], batch=images)
    assert str(caught.value) == (
        "tiny_words takes words, but the batch holds images (4 inputs of N(0, 1) noise, 6, seed 0); "
        "set data to {source: words, length: 6, vocabulary: 40} or another source of words"
    )
    with pytest.raises(ConfigError, match=r"^toy takes images, but the batch holds words \(.*\); set data to {source: noise"):
        Evaluator(Conditions.of(create_space("toy"), words()), {"rbflex": create_proxy("rbflex")}, workers=1)


@pytest.mark.parametrize("wrong", [40, -1])
def test_a_word_that_the_space_does_not_know_is_one_line(wrong):
    ids = words().images.clone()
    ids[2, 3] = wrong
    with pytest.raises(ConfigError, match=r"^the batch holds word ids .* but tiny_words knows 0 to 39; give both the same vocab"):
        evaluated(["rbflex"], batch=Batch(ids, None, "changed"))


def test_sentences_of_another_length_are_one_line():
    with pytest.raises(DataError, match=r"^tiny_words takes inputs like \[6\], but the batch holds \[5\]$"):
        evaluated(["rbflex"], batch=create_batch("words", length=5, vocabulary=40))


def test_the_default_data_of_a_space_fit_it():
    assert default_data(SPACE) == {"source": "words", "length": 6, "vocabulary": 40}
    assert default_data(create_space("toy")) == {"source": "noise", "shape": [3, 8, 8]}


def test_costs_and_metrics_read_words():
    assert SPACE.costs((0, 1)).params == 40 * 12 + 2 * (12 * 12 + 12) + 12 * 2 + 2
    assert SPACE.costs((0, 1)).flops == 6 * 2 * 12 * 12 + 12 * 2
    assert depth(operations_of(SPACE, (0, 1), SPACE.input_shape)) == 3
    network = SPACE.build((0, 1))
    assert activation_memory(network, SPACE.example_inputs(1)) >= 6 * 8 + 2 * 6 * 12 * 4
    for name in ("params", "flops", "depth", "activation_memory", "latency"):
        assert create_metric(name, SPACE).cost(CostSubject(SPACE, (0, 1))) > 0


def test_layer_distances_of_words_are_those_of_the_score():
    parts, features, _ = layer_distances(SPACE, (0, 1), words().images)
    assert [part.units for part in parts] == [6 * 12, 6 * 12]
    assert features.units == 12
    assert all(part.distance > 0 for part in parts)


def test_a_model_that_reads_words_has_an_rbflex_score():
    network = SPACE.build((1, 1))
    initialise(network, WeightParameters())
    assert rbflex_score(network, words().images) < 0


def test_random_words_of_a_score_of_its_own_are_a_function_of_the_seed_and_the_name():
    subject, other = (Subject(SPACE, (0, 1), words().images, None, WeightParameters(seed=seed)) for seed in (0, 1))
    given = subject.random_inputs("a", 20)
    assert given.dtype == torch.int64
    assert given.shape == (20, 6)
    assert 1 <= int(given.min()) <= int(given.max()) < 40
    assert torch.equal(given, subject.random_inputs("a", 20))
    assert not torch.equal(given, subject.random_inputs("b", 20))
    assert not torch.equal(given, other.random_inputs("a", 20))


@pytest.mark.parametrize(
    ("distribution", "spread"), [("pytorch", 1.0), ("kaiming_normal", 1.0), ("xavier_uniform", 1.0), ("normal", 0.02)]
)
def test_an_embedding_is_drawn_as_torch_draws_it_whatever_scales_the_layers(distribution, spread):
    network = nn.Sequential(nn.Embedding(500, 20, padding_idx=2), nn.Linear(20, 20))
    initialise(network, WeightParameters(distribution=distribution))
    table = network[0].weight.detach()
    assert not table[2].any()
    assert float(table[3:].std()) == pytest.approx(spread, rel=0.03)
