"""Every activation call is accounted for: read, regrouped, transposed, the same for every image, or refused with its name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from rbflex_evo.fitness import CandidateFailed, rbflex_score
from rbflex_evo.fitness.passes.layout import Account, needs_evidence
from rbflex_evo.fitness.passes.observer import Observer
from rbflex_evo.fitness.passes.watch import run_observed
from rbflex_evo.spaces import create_space

WIDTH = 8


class Recorder(Observer):
    def __init__(self):
        self.layers = []
        self.seen = None

    def activation(self, name, output, multiplicity=1):
        self.layers.append(output.clone())

    def features(self, output, magnitude):
        self.seen = output.clone()

    def finish(self):
        return {}


class Tokens(nn.Module):
    """An activation of tokens [N, T, C], computed in the order that `arrange` gives and `restore` takes back."""

    def __init__(self, arrange=None, restore=None):
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.mid, self.head = nn.Linear(5, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 3)
        self.act = nn.GELU()
        self.arrange, self.restore = arrange or (lambda x: x), restore or (lambda y, x: y)

    def forward(self, x):
        x = self.stem(x)
        y = self.restore(self.act(self.mid(self.arrange(x))), x)
        return self.head(functional.relu(y).mean(1))


# In each form, the same numbers are in another order.
FORMS = {
    "folded": (lambda x: x.flatten(0, 1), lambda y, x: y.view(x.shape)),
    "patch by patch": (lambda x: x.transpose(0, 1).flatten(0, 1), lambda y, x: y.view(x.shape[1], x.shape[0], -1).transpose(0, 1)),
    "sequence first": (lambda x: x.transpose(0, 1), lambda y, x: y.transpose(0, 1)),
    "images last": (lambda x: x[None].expand(2, *x.shape), lambda y, x: y[1]),
    "windows around the images": (
        lambda x: x.unflatten(1, (2, -1)).transpose(0, 1).flatten(0, 2),
        lambda y, x: y.view(2, len(x), -1, WIDTH).transpose(0, 1).reshape(x.shape),
    ),
    "folded in the middle": (lambda x: x.flatten(0, 1)[None], lambda y, x: y[0].view(x.shape)),
}


def tokens(n, t):
    return torch.randn(n, t, 5, generator=torch.Generator().manual_seed(n))


def observe(network, x, classifier=None):
    recorder = Recorder()
    account = run_observed(network, x, [recorder], classifier or network.head)
    return account, recorder


# T = N and N = 3, the number of images of the evidence, are the doubtful cases.
@pytest.mark.parametrize(("n", "t"), [(6, 4), (6, 6), (4, 12), (3, 6), (2, 4), (12, 6), (8, 16)])
@pytest.mark.parametrize("form", FORMS)
def test_rows_belong_to_the_images_in_any_order_of_the_dimensions(form, n, t):
    x = tokens(n, t)
    _, expected = observe(Tokens(), x)
    account, found = observe(Tokens(*FORMS[form]), x)
    wanted = expected.layers[0].flatten(1).sort().values
    of_image = found.layers[0].flatten(1)
    if form == "images last":
        of_image = of_image.unflatten(1, (2, -1))[:, 0]
    torch.testing.assert_close(of_image.sort().values, wanted, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.seen, expected.seen)
    kind = "transposed" if form in ("sequence first", "images last") else "regrouped"
    assert account == Account(read=1, **{kind: ("act",)})
    assert account.calls == 2


@pytest.mark.parametrize("form", [form for form in FORMS if form != "images last"])
def test_the_order_of_dimensions_changes_no_score(form):
    x = tokens(8, 8)
    options = {"classifier": "head", "gamma": [1e-3, 1e-3]}
    assert rbflex_score(Tokens(*FORMS[form]), x, **options) == pytest.approx(rbflex_score(Tokens(), x, **options), rel=1e-6)


def test_the_forward_of_the_whole_batch_is_accounted_for_under_batch_statistics_too():
    recorder = Recorder()
    network = Tokens(*FORMS["patch by patch"])
    account = run_observed(network, tokens(6, 6), [recorder], network.head, "batch")
    assert account == Account(read=1, regrouped=("act",))


class Normalised(nn.Module):
    """Batch normalisation of the rows of all images at once, in the order that a form gives."""

    def __init__(self, arrange, restore):
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.norm, self.head = nn.Linear(5, WIDTH), nn.BatchNorm1d(WIDTH), nn.Linear(WIDTH, 3)
        self.arrange, self.restore = arrange, restore
        with torch.no_grad():
            self.norm.weight.copy_(torch.linspace(0.5, 2, WIDTH))

    def forward(self, x):
        x = self.stem(x)
        return self.head(self.restore(self.norm(self.arrange(x)), x).tanh().mean(1))


@pytest.mark.parametrize("n", [2, 3, 6])
@pytest.mark.parametrize("form", ["folded", "patch by patch", "windows around the images"])
def test_rows_that_are_normalised_together_have_the_statistics_of_their_image(form, n):
    """As in training mode with this image alone."""
    network, x = Normalised(*FORMS[form]), tokens(n, 4)
    _, found = observe(network, x)
    alone = []
    network.head.register_forward_pre_hook(lambda module, inputs: alone.append(inputs[0].detach()))
    network.train()
    for image in x:
        network(image[None])
    torch.testing.assert_close(found.seen, torch.cat(alone))


def test_a_normalised_table_of_weights_has_the_statistics_of_its_rows():
    table = torch.randn(7, WIDTH, generator=torch.Generator().manual_seed(0))
    norm = nn.BatchNorm1d(WIDTH)
    network = Calling(lambda x: torch.relu(x + norm(table).tanh().sum(0)))
    network.norm = norm
    x = torch.randn(5, WIDTH)
    account, recorder = observe(network, x)
    assert account == Account(read=1, fixed=("tanh 1",))
    torch.testing.assert_close(recorder.layers[0], torch.relu(x + norm.train()(table).tanh().sum(0)).detach())


class Gated(nn.Module):
    """Values of weights alone, of which one has as many rows as there are images."""

    def __init__(self, rows):
        super().__init__()
        torch.manual_seed(0)
        self.table, self.gate, self.head = (
            nn.Parameter(torch.randn(rows, WIDTH)),
            nn.Parameter(torch.zeros(())),
            nn.Linear(WIDTH, 3),
        )
        self.body, self.act = nn.Linear(5, WIDTH), nn.ReLU()

    def forward(self, x):
        positions = self.act(self.table).mean(0)
        return self.head(self.act(self.body(x)).mean(1) * torch.sigmoid(self.gate) + positions)


@pytest.mark.parametrize("rows", [2, 3, 6, 12])
def test_values_of_weights_alone_are_the_same_for_every_image_whatever_their_shape(rows):
    account, recorder = observe(Gated(rows), tokens(6, 4))
    assert account == Account(read=1, fixed=("act", "sigmoid 1"))
    assert len(recorder.layers) == 1


class Calling(nn.Module):
    def __init__(self, call):
        super().__init__()
        self.call, self.head = call, nn.Linear(WIDTH, 2)

    def forward(self, x):
        return self.head(self.call(x))


def test_a_single_value_for_an_image_is_read():
    network = Calling(lambda x: x * torch.sigmoid(x.sum(1))[:, None])
    account, recorder = observe(network, torch.randn(5, WIDTH))
    assert account == Account(read=1)
    assert recorder.layers[0].shape == (5, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda x: x + torch.relu(x.mean(0)),
            r"^layer 'relu 1' mixes images: it gives \[8\] for 5 images and \[8\] for 3; expected",
        ),
        (lambda x: x + torch.relu(x @ x.T) @ x, r"^layer 'relu 1' changes its shape with the number of images: it gives \[5, 5\]"),
        (
            lambda x: x + torch.tanh(torch.cat([x, x[:1]]))[1:],
            r"^layer 'tanh 1' changes its shape .* \[6, 8\] for 5 images and \[4, 8\]",
        ),
        (
            lambda x: torch.relu(x.repeat(2, 1)[torch.randperm(2 * len(x), generator=torch.Generator().manual_seed(1))])[: len(x)],
            r"^layer 'relu 1' holds the rows of the images in an order that cannot be told: it gives \[10, 8\]",
        ),
    ],
    ids=["mean over images", "agreement of images", "one more row", "shuffled"],
)
def test_what_cannot_be_attributed_to_images_is_refused_with_its_name(call, message):
    with pytest.raises(CandidateFailed, match=message):
        observe(Calling(call), torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.relu() if len(x) > 3 else x,
        lambda x: x if len(x) > 3 else x.relu(),
        lambda x: x.tanh() if len(x) > 3 else x.relu(),
    ],
)
def test_a_network_whose_layers_depend_on_the_number_of_images_is_refused(call):
    with pytest.raises(CandidateFailed, match="images cannot be compared"):
        observe(Calling(call), torch.randn(5, WIDTH))


def test_values_that_are_equal_in_all_rows_need_no_order():
    account, _ = observe(Calling(lambda x: x + torch.relu(-x.repeat(3, 1).abs())[: len(x)]), torch.randn(5, WIDTH))
    assert account == Account(regrouped=("relu 1",))


def test_images_that_are_all_equal_are_no_evidence_of_an_order():
    x = torch.randn(1, WIDTH).expand(5, WIDTH).contiguous()
    noise = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(0))
    network = Calling(lambda x: torch.relu((x[:, None] + noise).flatten(0, 1)).unflatten(0, (-1, 3)).mean(1))
    with pytest.raises(CandidateFailed, match="in an order that cannot be told"):
        observe(network, x)


def test_networks_of_the_package_run_once():
    space = create_space("nats_tss", cells=1, channels=4)
    own = space.build(space.encoding.sample(np.random.default_rng(0)))
    assert not needs_evidence(own)
    own.extra = Calling(torch.relu)
    assert needs_evidence(own)
    assert needs_evidence(nn.Sequential(nn.ReLU()))


class Dependent(nn.Module):
    """A network in which an image's values depend on the other images, or on chance."""

    def __init__(self, call):
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.head = nn.Conv2d(3, WIDTH, 3), nn.Linear(WIDTH, 2)
        self.call = call

    def forward(self, x):
        return self.head(functional.relu(self.call(self.stem(x))).mean((2, 3)))


generator = np.random.default_rng(0)

MIXING = {
    "batch statistics by hand": lambda x: (x - x.mean((0, 2, 3), keepdim=True)) / x.std((0, 2, 3), keepdim=True),
    "native batch normalisation": lambda x: torch.native_batch_norm(x, None, None, None, None, True, 0.1, 1e-5)[0],
    "the norm of the batch": lambda x: 10 * x / x.norm(),
    "another image": lambda x: x.roll(1, 0),
    "a generator of a module": lambda x: x + torch.from_numpy(generator.standard_normal(tuple(x.shape))).float(),
    "only the first image": lambda x: x + torch.tanh(x[:1]),
}


@pytest.mark.parametrize("call", MIXING.values(), ids=MIXING)
def test_images_that_depend_on_other_images_or_on_chance_are_refused(call):
    images = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    with pytest.raises(CandidateFailed, match="mixes images"):
        rbflex_score(Dependent(call), images)


def test_buffers_that_a_forward_writes_are_restored():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.body, self.head = nn.Conv2d(3, WIDTH, 3), nn.Linear(WIDTH, 2)
            self.register_buffer("average", torch.zeros(()))

        def forward(self, x):
            x = functional.relu(self.body(x) + self.average)
            self.average.mul_(0.9).add_(0.1)
            return self.head(x.mean((2, 3)))

    network = Counting()
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    assert rbflex_score(network, images) == rbflex_score(network, images)
    assert network.average == 0


def test_a_forward_that_computes_a_gradient_is_scored():
    class Gradient(Dependent):
        @torch.enable_grad()
        def forward(self, x):
            return super().forward(x)

    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    plain = rbflex_score(Dependent(lambda x: x), images)
    assert rbflex_score(Gradient(lambda x: x), images) == plain
