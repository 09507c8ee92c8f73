"""rbflex_score takes any module."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.shared import literal_rbflex
from rbflex_evo.fitness import CandidateFailed, rbflex_score
from rbflex_evo.spaces import ConfigError


@pytest.fixture
def model():
    torch.manual_seed(0)
    body = (nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten())
    return nn.Sequential(*body, nn.Linear(128, 64), nn.GELU(), nn.Linear(64, 10)).double()


@pytest.fixture
def images():
    return torch.from_numpy(np.random.default_rng(0).standard_normal((6, 3, 12, 12)))


def test_it_equals_the_literal_paper(model, images):
    x, y = literal_rbflex.raw_vectors(model, images, model[7], [model[2], model[6]])
    assert rbflex_score(model, images, gamma=[1e-4, 1e-2]) == pytest.approx(literal_rbflex.score(x, y, 1e-4, 1e-2), rel=1e-8)
    gammas = [literal_rbflex.gamma([rows]) for rows in (x, y)]
    assert rbflex_score(model, images, gamma="hda") == pytest.approx(literal_rbflex.score(x, y, *gammas), rel=1e-6)


def test_the_classifier_can_be_named(model, images):
    assert rbflex_score(model, images, classifier="5") != rbflex_score(model, images)
    assert rbflex_score(model, images, classifier=model[7]) == rbflex_score(model, images)


def test_flat_ranks_models_as_small_gammas_do(images):
    models = []
    for width in (8, 16, 32):
        torch.manual_seed(width)
        models.append(nn.Sequential(nn.Flatten(), nn.Linear(432, width), nn.ReLU(), nn.Linear(width, 4)).double())
    flat = [rbflex_score(m, images, gamma="flat") for m in models]
    small = [rbflex_score(m, images, gamma=[1e-9, 1e-9]) for m in models]
    np.testing.assert_allclose(np.diff(flat), np.diff(small), rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classifier": "head"}, "no module 'head'"),
        ({"gamma": "fla"}, "gamma"),
        ({"gamma": [1e-3, 0.0]}, "gamma"),
        ({"kernel": "rbff"}, "kernel"),
        ({"gamma": 1e-3}, "gamma"),
        ({"gamma": None}, "gamma"),
        ({"gamma": ["a", "b"]}, "gamma"),
        ({"classifier": 5}, "classifier should be a module of the model or its name, but it is 5"),
    ],
)
def test_wrong_arguments_are_one_line_errors(model, images, options, message):
    with pytest.raises(ConfigError, match=message):
        rbflex_score(model, images, **options)


def test_a_model_without_a_linear_layer_needs_a_named_classifier(images):
    with pytest.raises(ConfigError, match="pass classifier="):
        rbflex_score(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).double(), images)


def test_one_image_and_sixteen_bits_are_refused(model, images):
    with pytest.raises(ConfigError, match="at least 2 images, but there are 1"):
        rbflex_score(model, images[:1])
    with pytest.raises(ConfigError, match=r"images are torch.float16.*model.float"):
        rbflex_score(model, images.half())
    with pytest.raises(ConfigError, match=r"parameter '0.weight' is torch.bfloat16"):
        rbflex_score(model.bfloat16(), images)


@pytest.mark.parametrize("mode", [lambda: torch.autocast("cpu", torch.bfloat16), torch.inference_mode, torch.no_grad])
def test_what_the_caller_has_switched_on_changes_no_digit(model, images, mode):
    model, images = model.float(), images.float()
    alone = rbflex_score(model, images, gamma="flat")
    with mode():
        assert rbflex_score(model, images, gamma="flat") == alone


def test_the_images_stay_where_a_first_layer_works_in_place(images):
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(432, 32), nn.GELU(), nn.Linear(32, 4)).double()
    before = images.clone()
    rbflex_score(model, images)
    assert torch.equal(images, before)


class Named(nn.Module):
    """Gives everything by keyword, or nothing."""

    def __init__(self, named):
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.norm, self.head = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 4)
        self.named = named

    def forward(self, x):
        x = self.norm(self.stem(x)).relu()
        if self.named:
            x = nn.functional.avg_pool2d(input=x, kernel_size=2)
            return self.head(input=torch.mean(dim=(2, 3), input=x))
        return self.head(torch.mean(nn.functional.avg_pool2d(x, 2), (2, 3)))


def test_keywords_are_seen_as_positions_are(images):
    one, other = (rbflex_score(Named(named).double(), images, gamma="flat") for named in (True, False))
    assert one == other


class Raw(nn.Module):
    """Batch normalisation by torch's own function, whose arguments have another order than the functional one's."""

    def __init__(self):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.linspace(0.5, 2, 8)), nn.Parameter(torch.linspace(-1, 1, 8))
        self.register_buffer("mean", torch.full((8,), 0.3))
        self.register_buffer("variance", torch.full((8,), 2.0))

    def forward(self, x):
        cudnn = torch.backends.cudnn.enabled
        return torch.batch_norm(x, self.weight, self.bias, self.mean, self.variance, self.training, 0.1, 1e-5, cudnn)


@pytest.mark.parametrize("norm", [lambda: nn.InstanceNorm2d(8, affine=True, track_running_stats=True), Raw])
def test_every_normalisation_is_that_of_training_mode(images, norm):
    torch.manual_seed(0)
    relu, head = nn.ReLU(), nn.Linear(128, 4)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), norm(), relu, nn.AdaptiveAvgPool2d(4), nn.Flatten(), head).double()
    found = rbflex_score(model, images, gamma=[1e-3, 1e-2])
    x, y = literal_rbflex.raw_vectors(model, images, head, [relu])
    assert found == pytest.approx(literal_rbflex.score(x, y, 1e-3, 1e-2), rel=1e-8)


class Sequence(nn.Module):
    def __init__(self, words_first):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head, self.words_first = nn.Linear(3, 8), nn.Linear(8, 4), words_first

    def forward(self, x):
        return self.head(self.body(x.transpose(0, 1) if self.words_first else x).relu())


@pytest.mark.parametrize("words", [5, 6])
def test_a_classifier_that_reads_sequences_first_is_read_as_one_that_does_not(words):
    sequences = torch.randn(6, words, 3, generator=torch.Generator().manual_seed(0))
    first, last = (rbflex_score(Sequence(words_first), sequences, gamma=[1e-3, 1e-3]) for words_first in (True, False))
    assert first == pytest.approx(last, rel=1e-6)


def test_the_layer_that_was_taken_as_classifier_is_named():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head, self.gate = nn.Linear(3, 8), nn.Linear(8, 4), nn.Linear(2, 8)

        def forward(self, x):
            return self.head(self.body(x).relu() * self.gate(torch.ones(7, 2)).sum(0))

    x = torch.randn(6, 3)
    with pytest.raises(
        CandidateFailed, match=r"the classifier, layer 'gate', reads \[7, 2\], the same for every image; name another"
    ):
        rbflex_score(Gated(), x)
    assert rbflex_score(Gated(), x, classifier="head") < 0


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (
            np.zeros((4, 3, 8, 8)),
            r"^images should be one torch.Tensor \[N, ...\], but they are ndarray array.{0,70}; use torch.as_tensor",
        ),
        ([torch.zeros(3, 8, 8)] * 4, r"^images should be one torch.Tensor .* list \[tensor.{0,70}; use"),
        (torch.zeros(()), "at least 2 images, but there are 0"),
        (torch.zeros(4, 3, 8, 8, dtype=torch.complex64), "^the images are torch.complex64, but distances are of real numbers"),
    ],
    ids=["array", "list", "scalar", "complex"],
)
def test_other_images_are_one_line_errors(model, what, message):
    with pytest.raises(ConfigError, match=message):
        rbflex_score(model, what)


@pytest.mark.filterwarnings("ignore:.*")
@pytest.mark.parametrize(
    ("of", "message"),
    [
        (
            lambda model: nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(2)),
            "^parameter '0.weight' has no values yet; run the",
        ),
        (
            lambda model: model.to(torch.complex64),
            "^the parameter '0.weight' is torch.complex64, but distances are of real numbers",
        ),
        (
            lambda model: torch.jit.script(model),
            "^the network is scripted, so its calls cannot be observed; pass the plain module$",
        ),
        (lambda model: torch.jit.trace(model, torch.zeros(2, 3, 12, 12).double()), "^the network is scripted"),
        (lambda model: model.forward, "^the model should be a torch.nn.Module, but it is method <bound method.{0,60}$"),
        (lambda model: "x" * 10_000, "^the model should be a torch.nn.Module, but it is 'xxx.{0,40}$"),
    ],
    ids=["lazy", "complex", "scripted", "traced", "function", "text"],
)
def test_other_models_are_one_line_errors(model, images, of, message):
    with pytest.raises(ConfigError, match=message):
        rbflex_score(of(model), images)


def mixer(*ending):
    torch.manual_seed(0)
    body = nn.Conv2d(3, 32, 3, padding=1), nn.GELU(), nn.BatchNorm2d(32), nn.Conv2d(32, 32, 3, padding=1)
    return nn.Sequential(*body, *ending, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


@pytest.mark.parametrize("ending", [(nn.GELU(), nn.BatchNorm2d(32)), (nn.InstanceNorm2d(32),), (nn.GroupNorm(32, 32),)])
def test_features_that_are_averages_of_normalised_maps_are_said_to_be_round_off(ending):
    x = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with pytest.raises(CandidateFailed, match=r"^the features of all images are equal up to round-off.*features=False$"):
        rbflex_score(mixer(*ending), x)
    k = rbflex_score(mixer(*ending), x, features=False, gamma=[1e-3, 1e-3])
    # The activations before the ending count, and only they.
    assert k == pytest.approx(rbflex_score(mixer(*ending, nn.Dropout()), x, features=False, gamma=[1e-3, 1.0]), rel=1e-9)


def test_a_network_without_a_path_is_still_called_one():
    class Dead(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 4)

        def forward(self, x):
            return self.head(self.body(x).relu().mean((2, 3)) * 0 + 1)

    with pytest.raises(
        CandidateFailed, match=r"^all images have equal features: no path from input to output, or the signal died$"
    ):
        rbflex_score(Dead(), torch.randn(4, 3, 8, 8))


class Scaled(nn.Module):
    """Pooled values that are changed before the classifier reads them."""

    def __init__(self, change):
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.fc = nn.Conv2d(3, 16, 3), nn.Linear(16, 10)
        self.small, self.change = nn.Linear(16, 16), change
        nn.init.normal_(self.small.weight, std=1e-5)
        nn.init.zeros_(self.small.bias)

    def forward(self, x):
        pooled = torch.relu(self.stem(x)).mean((2, 3))
        return self.fc(self.change(self, pooled))


@pytest.mark.parametrize(
    "change",
    [lambda net, p: net.small(p), lambda net, p: nn.functional.layer_norm(1e-6 * p, (16,), eps=0.0), lambda net, p: 1e-7 * p],
)
def test_round_off_refers_to_the_pooled_map_only_if_the_classifier_reads_what_was_pooled(change):
    images = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    network = Scaled(change)
    seen = []
    network.fc.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach().double().numpy()))
    score, alone = (rbflex_score(network, images, classifier="fc", gamma=[1e-3, 1e-1], features=part) for part in (True, False))
    q = literal_rbflex.kernel(literal_rbflex.normalise(seen[-1]), 1e-1)
    assert score - alone == pytest.approx(len(images) * np.linalg.slogdet(q)[1], rel=1e-3)


def test_the_empty_name_is_no_classifier():
    with pytest.raises(ConfigError, match="no module ''"):
        rbflex_score(Scaled(lambda net, p: p), torch.rand(4, 3, 8, 8), classifier="")
