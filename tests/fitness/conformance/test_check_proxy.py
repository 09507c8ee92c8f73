"""`check_proxy` accepts what keeps the contract, and says in one line what is wrong with what does not."""

from __future__ import annotations

import random
import threading

import numpy as np
import pytest
import torch

from rbflex_evo.fitness import CandidateFailed, Observer, Proxy
from rbflex_evo.fitness.conformance.check_proxy import check_proxy
from rbflex_evo.fitness.passes.backward import gradients, training, weights_of
from rbflex_evo.fitness.passes.observer import rows_of
from rbflex_evo.spaces import ConfigError, Parameters, UnknownNameError, create_space
from rbflex_evo.spaces.conformance.checking import CheckFailed
from tests.support.words_space import TinyWords


class Sums(Observer):
    """Adds up each image's activations: ``sums`` [N]."""

    def __init__(self):
        self.parts = []

    def activation(self, name, output, multiplicity=1):
        self.take(self.reduce(output[None])[0], output[0].numel(), multiplicity)

    def reduce(self, outputs):
        return rows_of(outputs).sum(2, dtype=torch.float64)

    def take(self, reduced, columns, multiplicity=1):
        self.parts.append(reduced * multiplicity)

    def finish(self):
        sums = torch.stack(self.parts).sum(0).numpy()
        if not np.isfinite(sums).all() or not sums.any():
            raise CandidateFailed("no activation, or NaN")
        return {"sums": sums}


class SpreadParameters(Parameters):
    power: float = 1.0


class Spread(Proxy):
    """How far the images' sums lie apart."""

    name = "spread"
    description = "how far the images' sums of activations lie apart"
    Parameters = SpreadParameters

    def observer(self):
        return Sums()

    def score(self, statistics):
        return float(statistics["sums"].std() ** self.parameters.power)


class SlopeParameters(Parameters):
    sigma: float = 0.1


class Slope(Proxy):
    """The size of the loss's gradient at noisy images."""

    name = "slope"
    description = "the size of the loss's gradient at noisy images"
    needs = "network"
    cost = "backward"
    uses_labels = True
    measured_by = ("sigma",)
    Parameters = SlopeParameters

    def measure(self, subject):
        images = subject.images + self.parameters.sigma * subject.normal("slope", tuple(subject.images.shape))
        with training(subject.network):
            found = gradients(subject.loss(subject.network(images)), weights_of(subject.network))
        total = sum(float(gradient.abs().sum()) for gradient in found if gradient is not None)
        if not np.isfinite(total) or not total:
            raise CandidateFailed("the gradient is zero or NaN")
        return {"slope": np.array(total)}

    def score(self, statistics):
        return float(statistics["slope"])


def broken(of, **methods):
    return type("Broken", (of,), methods)


def observing(**methods):
    """A score whose observer is broken."""
    made = type("BrokenSums", (Sums,), methods)
    return broken(Spread, observer=lambda self: made())


def measuring(change):
    """A score that measures the slope, then does something to its subject."""

    def measure(self, subject):
        found = Slope.measure(self, subject)
        change(subject)
        return found

    return broken(Slope, measure=measure)


def gives(of, **statistics):
    """A score with statistics of one's own."""
    made = type("BrokenSums", (Sums,), {"finish": lambda self: statistics})
    return broken(Spread, observer=lambda self: made()) if of is Spread else broken(of, measure=lambda self, subject: statistics)


def no_sums(self, statistics):
    raise CandidateFailed("")


KEPT = []
SHARED = Sums()


def keeps(self, name, output, multiplicity=1):
    KEPT.append(output.clone())
    Sums.activation(self, name, output, multiplicity)


def in_place(self, name, output, multiplicity=1):
    output.add_(1)
    Sums.activation(self, name, output, multiplicity)


def counting(self, subject):
    self.count = getattr(self, "count", 0) + 1
    return {"slope": np.array(float(self.count))}


def mixed_up(self, outputs):
    return Sums.reduce(self, outputs).mean(0, keepdim=True).expand(len(outputs), -1)


def changes_a_weight(subject):
    with torch.no_grad():
        next(subject.network.parameters()).mul_(1.5)


def fills_grad(subject):
    with training(subject.network):
        subject.loss(subject.network(subject.images)).backward()


def leaves_a_hook(subject):
    subject.network.register_forward_hook(lambda *_: None)


def draws_globally(self, subject):
    return {"slope": np.array(float(torch.randn(())))}


def reads_globally(self, subject):
    state = random.getstate()
    value = random.random()
    random.setstate(state)
    return {"slope": np.array(value)}


def writes(self, statistics):
    statistics["sums"] += 1
    return 1.0


def with_images(self, subject):
    return {"slope": np.array(float(subject.images.sum()))}


def network_norm(self, subject):
    return {"slope": np.array(sum(float(p.detach().abs().sum()) for p in subject.network.parameters()))}


class Forgetful(Spread):
    """Cached under a name of which another version knows nothing."""

    @property
    def identity(self):
        return {"proxy": "spread"}


class Unwritable(Spread):
    @property
    def identity(self):
        return super().identity | {"encoding": {1, 2}}


class Hidden(Slope):
    measured_by = ()


class Shown(Slope):
    @property
    def identity(self):
        return {"proxy": self.name, "version": self.version}


class Unsendable(Spread):
    def __init__(self, parameters=None):
        super().__init__(parameters)
        self.lock = threading.Lock()


BROKEN = {
    "no proxy": (Sums, "Sums is no Proxy; derive it from rbflex_evo.fitness.Proxy"),
    "no name": (broken(Spread, name=None), "name is None; set it to 'my_score'"),
    "a description of two lines": (broken(Spread, description="a\nb"), "description is .*in one line"),
    "version is text": (broken(Spread, version="2"), "version is '2'; set it to 1, and more whenever"),
    "needs something else": (broken(Spread, needs="images"), "needs is 'images'; it is one of 'forward', 'network'"),
    "costs something else": (broken(Spread, cost="cheap"), "cost is 'cheap'; it is one of"),
    "watches nothing": (broken(Spread, observer=Proxy.observer), r"needs is 'forward', but it has no observer\(\)"),
    "measures nothing": (broken(Slope, measure=Proxy.measure), r"needs is 'network', but it has no measure\(\)"),
    "foreign parameters": (broken(Spread, Parameters=dict), "must derive from rbflex_evo.spaces.Parameters"),
    "measured_by is a string": (broken(Slope, measured_by="sigma"), r"measured_by is 'sigma'; set it to a tuple"),
    "measured_by names nothing": (
        broken(Slope, measured_by=("sgima",)),
        r"names 'sgima', which is no parameter; there are \['sigma'\]",
    ),
    "identity is no data": (Unwritable, "identity is not plain data"),
    "identity lacks the version": (Forgetful, r"identity lacks \[1\].*return super\(\).identity"),
    "identity does not show a parameter": (Shown, "'sigma' of Shown is in measured_by, but identity does not show it"),
    "refuses every space": (
        broken(Spread, check=lambda self, space: (_ for _ in ()).throw(ConfigError("not this one"))),
        r"refuses toy \(not this one\), nats_tss \(not this one\); pass the spaces",
    ),
    "raises": (
        observing(finish=lambda self: {}["x"]),
        r"Broken of '.*' \(toy\) raised KeyError.*raise CandidateFailed with a reason",
    ),
    "no statistics": (gives(Spread), r"Broken of '.*' \(toy\) gave no statistics"),
    "statistics of objects": (gives(Spread, a=np.array({})), "gave the statistic 'a' of type object; return plain arrays"),
    "statistics of text": (gives(Spread, a=np.array("x")), "gave the statistic 'a' of type <U1"),
    "a statistic that means failure": (gives(Spread, failed=np.zeros(1)), "names a statistic 'failed'; give it a string, not"),
    "large statistics": (gives(Spread, a=np.zeros(2**16)), "gave 524,288 bytes of statistics; reduce them"),
    "a tensor": (gives(Slope, slope=torch.ones(())), "the statistic 'slope' as Tensor; return plain arrays"),
    "an observer that gives a tensor": (gives(Spread, sums=torch.ones(8)), "the statistic 'sums' as Tensor; return plain arrays"),
    "fails without a reason": (
        observing(finish=lambda self: (_ for _ in ()).throw(CandidateFailed(" "))),
        "failed without a reason in one line",
    ),
    "fails always": (
        observing(finish=lambda self: (_ for _ in ()).throw(CandidateFailed("no"))),
        "scores none of 6 networks of toy, the first because .*'no'.*refuse the space in check",
    ),
    "draws from a global generator": (
        broken(Slope, measure=draws_globally),
        r"changed global random state \(torch\); draw from subject",
    ),
    "reads a global generator": (
        broken(Slope, measure=reads_globally),
        r"measuring .* gave .* and then .*; draw from subject.normal",
    ),
    "counts its calls": (broken(Slope, measure=counting), "and then .*remember nothing"),
    "an observer for all": (broken(Spread, observer=lambda self: SHARED), "gave the same observer twice; make a new one"),
    "a score of NaN": (broken(Spread, score=lambda self, s: float("nan")), r"the score of .* is nan; .* raise CandidateFailed"),
    "an infinite score": (broken(Spread, score=lambda self, s: np.inf), "the score of .* is inf; a score is finite"),
    "a score that is an array": (broken(Spread, score=lambda self, s: s["sums"][:1] + 0), "return a Python float"),
    "a score that draws": (broken(Spread, score=lambda self, s: random.random()), r"changed global random state \(random\)"),
    "a score that changes": (
        broken(Spread, score=lambda self, s: np.random.default_rng().random()),
        "draw from nothing at all only",
    ),
    "a score that writes": (broken(Spread, score=writes), r"raised ValueError: .*read-only; .*writes into none"),
    "a score that raises": (
        broken(Spread, score=lambda self, s: s["sum"]),
        r"raised KeyError: 'sum'; score\(\) reads the statistics",
    ),
    "no score and no reason": (broken(Spread, score=no_sums), "failed without a reason"),
    "many scores otherwise": (
        broken(Spread, score_many=lambda self, s: np.ones(len(s["sums"]))),
        r"score_many\(\) gives 1.0 for .*, but score\(\)",
    ),
    "other labels": (broken(Slope, uses_labels=False), "depends on the labels, but uses_labels is False; set it to True"),
    "no labels": (
        broken(Slope, measure=network_norm),
        "uses_labels is True, but no label changes its statistics; set it to False",
    ),
    "reads images": (
        broken(Slope, measure=with_images, uses_labels=False, cost="data-free"),
        "depends on the images, but cost is 'data-free'; set cost = 'forward'",
    ),
    "takes gradients": (broken(Slope, cost="forward"), "takes gradients on toy, but cost is 'forward'; set cost = 'backward'"),
    "a hidden parameter": (Hidden, "parameter 'sigma' of Hidden changes the statistics when it is 1.1, but is not in measured_by"),
    "changes a weight": (measuring(changes_a_weight), r"changes the network's tensor 'stem.0.weight'; other scores read it"),
    "changes the images": (measuring(lambda subject: subject.images.add_(1)), "changes the images; work on a copy"),
    "changes the mode": (measuring(lambda subject: subject.network.eval()), "changes the network's training modes"),
    "fills .grad": (
        measuring(fills_grad),
        r"changes the network's gradients \(.grad\); .*rbflex_evo.fitness.passes.backward.training and gradients",
    ),
    "freezes": (measuring(lambda subject: subject.network.requires_grad_(False)), "changes the network's requires_grad"),
    "leaves a hook": (measuring(leaves_a_hook), "changes the network's hooks"),
    "keeps tensors": (observing(activation=keeps), r"keeps \d+ tensors or modules"),
    "keeps networks": (measuring(lambda subject: KEPT.append(subject.network)), r"keeps \d+ tensors or modules"),
    "changes what it is shown": (observing(activation=in_place), "changes the layer that it is shown"),
    "counts once what stands for two": (
        observing(take=lambda self, reduced, columns, multiplicity=1: self.parts.append(reduced)),
        "multiplicity=2.* is not the same as two calls",
    ),
    "a shallow fork": (observing(fork=lambda self: self), r"fork\(\) shares what it has seen"),
    "mixes candidates": (observing(reduce=mixed_up), r"is .* beside 1 others, but .* alone; reduce\(\) must keep candidates apart"),
    "reduces otherwise": (
        observing(activation=lambda self, name, output, times=1: self.parts.append(output.flatten(1).double().amax(1) * times)),
        r"reduce\(\) and take\(\) of 1 candidates give another result",
    ),
    "cannot be sent": (Unsendable, "sending Unsendable to a worker process raised .*keep no open file, lock or generator"),
}


@pytest.mark.parametrize("proxy", [Spread, Slope, Spread(SpreadParameters(power=0.5))], ids=["forward", "network", "instance"])
def test_a_sound_score_passes(proxy):
    check_proxy(proxy)


def test_a_score_is_checked_on_the_spaces_that_it_is_meant_for():
    check_proxy(Spread, [create_space("toy", genes=2)])


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_score_is_found(what):
    proxy, message = BROKEN[what]
    with pytest.raises(CheckFailed, match=message) as caught:
        check_proxy(proxy)
    assert "\n" not in str(caught.value)
    KEPT.clear()


def test_a_score_is_checked_on_networks_that_read_words():
    check_proxy(Spread, [TinyWords()])
    with pytest.raises(CheckFailed, match=r"Slope of '.*' \(tiny_words\) raised "):
        check_proxy(Slope, [TinyWords()])  # it adds noise to word ids


def test_wrong_names_and_missing_parameters_are_told():
    class Needed(Parameters):
        path: str

    with pytest.raises(UnknownNameError, match="unknown proxy 'rbflx'; did you mean 'rbflex'"):
        check_proxy("rbflx")
    with pytest.raises(ConfigError, match=r"'fitness.proxies.spread.path' is missing"):
        check_proxy(broken(Spread, Parameters=Needed))


def test_the_checks_leave_every_global_generator_as_it_was():
    before = random.getstate(), repr(np.random.get_state(legacy=False)), torch.random.get_rng_state().tolist()
    check_proxy(Slope, [create_space("toy", genes=2)])
    assert before == (random.getstate(), repr(np.random.get_state(legacy=False)), torch.random.get_rng_state().tolist())
