"""What the guide for authors of packages shows is what the example package holds, and what the kit says."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from rbflex_evo_example.encoding import PermutationEncoding
from rbflex_evo_example.network import Residual
from rbflex_evo_example.proxy import FeatureObserver, RankMe
from rbflex_evo_example.source import PinkNoise
from rbflex_evo_example.space import LAYERS, LayerOrderParameters, LayerOrders
from rbflex_evo_example.strategy import LateAcceptance
from rbflex_evo_example.table import OrderLog
from torch import nn

from rbflex_evo.engine.commands.app import app
from rbflex_evo.engine.conformance import (
    CheckFailed,
    check_encoding,
    check_proxy,
    check_source,
    check_space,
    check_strategy,
    check_table,
)
from rbflex_evo.fitness import Proxy
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.passes.watch import evaluation_mode
from rbflex_evo.spaces import Parameters
from tests.support import ROOT

EXAMPLE = ROOT / "examples" / "plugin"
GUIDE = (EXAMPLE / "README.md").read_text()
SPACE = LayerOrders(LayerOrderParameters(width=2, stages=1))
KNOWN = str(EXAMPLE / "known.log")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.S)


def test_every_piece_of_code_stands_in_the_file_that_it_names():
    assert len(blocks("python")) == 5
    for block in blocks("python"):
        file, _, code = block.partition("\n")
        assert code in (EXAMPLE / file.removeprefix("# ")).read_text(), file
    (entry_points,) = blocks("toml")
    assert entry_points in (EXAMPLE / "pyproject.toml").read_text()


def test_every_file_and_command_that_it_names_exists():
    for path in re.findall(r"\]\(([\w./]+)\)", GUIDE):
        assert (EXAMPLE / path).exists(), path
    known = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert known >= set(re.findall(r"rbflex-evo (\w+) ", GUIDE)) == {"list", "check", "search"}


def broken(of: type, **methods: object) -> type:
    return type("Broken", (of,), methods)


def space(**methods: object) -> Callable[[], None]:
    return lambda: check_space(broken(LayerOrders, **methods)(SPACE.parameters), samples=4)


def encoding(**methods: object) -> Callable[[], None]:
    return lambda: check_encoding(broken(PermutationEncoding, **methods)(4))


def score(of: type[Proxy] = RankMe, **methods: object) -> Callable[[], None]:
    return lambda: check_proxy(broken(of, **methods), [SPACE])


def strategy(**methods: object) -> Callable[[], None]:
    return lambda: check_strategy(broken(LateAcceptance, **methods))


def table(**methods: object) -> Callable[[], None]:
    return lambda: check_table(broken(OrderLog, **methods), SPACE, path=KNOWN)


def numbered(self, genotype):
    layers = [nn.Conv2d(2, 2, 3 if LAYERS[gene].startswith("conv3") else 1, padding="same") for gene in genotype]
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)
    return nn.Sequential(nn.Conv2d(3, 2, 1), Residual(nn.Sequential(*layers)), *head)


class Noisy(Proxy):
    """A score of the network with everything that decides it in its parameters and its subject."""

    name = "noisy"
    description = "the network's response to noise"
    needs = "network"

    class Parameters(Parameters):
        sigma: float = 1.0

    def measure(self, subject):
        with torch.no_grad(), evaluation_mode(subject.network):
            return {"response": np.array(float(subject.network(self.parameters.sigma * self.noise(subject)).abs().sum()))}

    def noise(self, subject):
        return subject.normal("noisy", tuple(subject.images.shape))

    def score(self, statistics):
        return float(statistics["response"])


KEPT = []


def keeps(self, output, magnitude):
    KEPT.append(output.clone())
    FeatureObserver.features(self, output, magnitude)


def reads_scores(self, evaluations, view):
    return max(evaluations, key=lambda evaluation: evaluation.scores["near"])


def without_table(self, parameters, space):
    with open(parameters.path):
        OrderLog.__init__(self, parameters, space)


MISTAKES = {
    "genes are numpy's: `tuple(rng.permutation(n))`": encoding(sample=lambda self, rng: tuple(rng.permutation(4))),
    "an operator draws with `np.random`": encoding(sample=lambda self, rng: tuple(np.random.permutation(4).tolist())),
    "a neighbour does not lead back": encoding(neighbours=lambda self, g: iter([(*g[1:], g[0]), (*g[2:], *g[:2])])),
    "`parse` raises `ValueError` for nonsense": space(parse=lambda self, text: tuple(LAYERS.index(x) for x in text.split("-"))),
    "layers are numbered, so a name has two shapes": space(build=numbered),
    "`representative` gives another architecture": space(
        representative=lambda self, key: LayerOrders.representative(self, "-".join(reversed(key.split("-"))))
    ),
    "the object keeps an open file, a lock or a generator": space(opened=(number for number in range(3))),
    "a score returns NaN": score(score=lambda self, statistics: float("nan")),
    "a parameter decides the statistics unsaid": score(Noisy),
    "so do labels": score(
        Noisy,
        Parameters=Parameters,
        measure=lambda self, subject: {"response": np.array(float(subject.labels(torch.zeros(8, 10)).sum()))},
    ),
    "noise is drawn with `torch.randn`": score(Noisy, noise=lambda self, subject: torch.randn_like(subject.images)),
    "a score keeps the maps that it has seen": score(observer=lambda self: broken(FeatureObserver, features=keeps)()),
    "a strategy forgets a part of its state": strategy(get_state=lambda self: {"current": None, "past": list(self.past)}),
    "it reads scores rather than utilities": strategy(tell=reads_scores),
    "it proposes more than n": strategy(ask=lambda self, n, view: LateAcceptance.ask(self, n + 1, view)),
    "accuracies are fractions": table(accuracies=lambda self: {n: a / 100 for n, a in self._accuracies.items()}),
    "a missing file is a `FileNotFoundError`": table(__init__=without_table),
    "a source draws anew each time": lambda: check_source(
        broken(PinkNoise, batch=lambda self: Batch(torch.from_numpy(np.random.default_rng().random((2, 3))).float(), None, "noise"))
    ),
}


def test_every_mistake_of_the_guide_is_tried():
    assert set(MISTAKES) == set(messages())


def messages() -> dict[str, str]:
    return dict(re.findall(r"^\| (.+?) \| `(.+)` \|$", GUIDE.partition("## Common mistakes")[2], re.M))


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_as_the_guide_says(mistake):
    with pytest.raises(CheckFailed, match=re.escape(messages()[mistake])):
        MISTAKES[mistake]()
    KEPT.clear()
