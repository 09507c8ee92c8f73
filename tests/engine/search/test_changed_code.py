"""A run is resumed under the code with which it began, or says in one line why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from rbflex_evo.engine.configuration.config import Config, parse_config
from rbflex_evo.engine.run.journal import encode
from rbflex_evo.engine.run.origins import check_origins
from rbflex_evo.engine.search.search import Search
from rbflex_evo.engine.tabulation.tabulate import tabulate
from rbflex_evo.fitness import PROXIES
from rbflex_evo.fitness.proxies.naswot import Naswot
from rbflex_evo.spaces import SPACES, ConfigError, RunError, create_space
from rbflex_evo.spaces.families.toy.space import ToySpace
from rbflex_evo.strategies import STRATEGIES
from rbflex_evo.strategies.random_search import RandomSearch
from tests.support.instant import instant_search, toy_config
from tests.support.interrupted import PulledPlugError, Stopping


class UsersSpace(ToySpace):
    name = "users_space"
    slope = 0.1

    def build(self, genotype):
        network = super().build(genotype)
        network.append(nn.LeakyReLU(self.slope)) if isinstance(network, nn.Sequential) else None
        return network


class UsersScore(Naswot):
    name = "users_score"
    scale = 1.0

    def score(self, statistics):
        return self.scale * super().score(statistics)


class UsersStrategy(RandomSearch):
    name = "users_strategy"
    step = 1


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SPACES._known, "users_space", UsersSpace)
    monkeypatch.setitem(PROXIES._known, "users_score", UsersScore)
    monkeypatch.setitem(STRATEGIES._known, "users_strategy", UsersStrategy)


def users(folder: Path, evaluations: int = 8, **changes: Any) -> Config:
    values = {
        "name": "run",
        "space": {"name": "users_space", "genes": 4, "choices": 3, "channels": 4},
        "data": {"source": "noise", "shape": [3, 8, 8], "n": 4},
        "fitness": {"proxies": {"users_score": {}}, "objective": {"score": "users_score"}},
        "strategy": "users_strategy",
        "budget": {"evaluations": evaluations},
        "device": "cpu",
        "workers": 1,
        "cache": "off",
        "runs": str(folder),
    }
    return parse_config({**values, **changes})


def stopped(config: Config) -> Path:
    """Searches for a few evaluations and stops as if the process had been killed."""
    with Search(config, quiet=True, report=False).open() as running:
        for _ in range(2):
            running.tell(running.evaluate(running.ask()))
            if running.finished:
                break
    (config.folder / "result.json").unlink(missing_ok=True)
    return config.folder


def go_on(config: Config) -> None:
    Search(config, quiet=True, report=False).run()


def test_a_run_goes_on_under_the_same_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stopped(users(tmp_path))
    go_on(users(tmp_path))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("kind", "attribute", "what"),
    [(UsersSpace, "slope", "the code of space 'users_space'"), (UsersScore, "scale", "the code of score 'users_score'")],
)
def test_a_run_whose_numbers_come_from_other_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type, attribute: str, what: str
) -> None:
    folder = stopped(users(tmp_path))
    monkeypatch.setattr(kind, attribute, 0.5)
    with pytest.raises(RunError, match=f"^{what} has changed since {folder} began; restore it, or give the run another name"):
        go_on(users(tmp_path))


def test_a_run_with_another_strategy_goes_on_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = stopped(users(tmp_path))
    monkeypatch.setattr(UsersStrategy, "step", 2)
    go_on(users(tmp_path))
    what = f"the code of strategy 'users_strategy' has changed since {folder} began"
    assert capsys.readouterr().err == f"warning: {what}; what it proposes from here on may differ\n"


def test_code_that_cannot_be_told_is_said(tmp_path: Path) -> None:
    assert check_origins({"the code of space 'x'": None}, {"the code of space 'x'": "1"}, tmp_path) == [
        f"it cannot be told whether the code of space 'x' has changed since {tmp_path} began; the run goes on as if it had not"
    ]
    assert len(check_origins(None, {"the code of space 'x'": "1"}, tmp_path)) == 1
    assert check_origins({"the code of space 'x'": "1"}, {"the code of space 'x'": "1"}, tmp_path) == []


def saved(path: Path, labels: int) -> dict[str, Any]:
    np.savez(path, images=np.random.default_rng(0).normal(size=(8, 3, 8, 8)).astype(np.float32), labels=np.full(8, labels))
    return {"source": "file", "path": str(path), "array": "images", "labels": "labels", "n": 4}


def test_a_run_with_other_labels_of_the_same_images_is_refused(tmp_path: Path) -> None:
    snip = {"proxies": {"snip": {}}, "objective": {"score": "snip"}}
    config = users(tmp_path, space={"name": "toy", "genes": 4}, fitness=snip, data=saved(tmp_path / "data.npz", 1))
    stopped(config)
    saved(tmp_path / "data.npz", 2)
    with pytest.raises(RunError, match=r"^the labels of the inputs has changed since"):
        go_on(config)


def test_a_run_with_another_table_of_latencies_is_refused(tmp_path: Path) -> None:
    space = create_space("toy", genes=4, choices=3)
    keys = list(space.keys())

    def go(milliseconds: float, limit: int) -> None:
        np.savez(tmp_path / "latency.npz", board=np.full(len(keys), milliseconds), cell=np.array(keys))
        evaluator = Stopping(limit)
        evaluator.space = space
        Search(config, evaluator, quiet=True, report=False).run()

    proxies = {"proxies": {"naswot": {}, "synflow": {}}, "objective": {"rank": ["naswot", "synflow"]}}
    limits = {"latency:board": {"max": 5, "path": str(tmp_path / "latency.npz")}}
    changes = {"budget": {"evaluations": 12}, "strategy": "random", "space": {"name": "toy", "genes": 4, "choices": 3}}
    config = toy_config(tmp_path, fitness={**proxies, "constraints": limits}, **changes)
    with pytest.raises(PulledPlugError):
        go(1.0, 5)
    with pytest.raises(RunError, match=r"^the file of metric 'latency:board' has changed since"):
        go(2.0, 50)
    go(1.0, 50)


def test_a_run_that_began_with_other_keys_is_refused_in_one_line(tmp_path: Path) -> None:
    config = toy_config(tmp_path, budget={"evaluations": 60})
    with pytest.raises(PulledPlugError):
        Search(config, Stopping(50), quiet=True, report=False).run()
    journal = config.folder / "journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    lines[3]["key"] = f"{lines[3]['key']} as of old"
    journal.write_bytes(b"".join(encode(line) for line in lines))
    with pytest.raises(RunError, match=r"holds '.* as of old' where this program proposes"):
        instant_search(config)[0].run()


def test_a_table_of_scores_is_of_the_code_that_made_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tabulate(users(tmp_path), quiet=True)
    searched = users(tmp_path, scores=str(path), name="searched")
    go_on(searched)
    monkeypatch.setattr(UsersSpace, "slope", 0.5)
    reason = "^the code of space 'users_space' has changed since .* was made; restore it, or tabulate again under another name"
    with pytest.raises(ConfigError, match=reason):
        tabulate(users(tmp_path), quiet=True)
    with pytest.raises(ConfigError, match=reason):
        go_on(users(tmp_path, scores=str(path), name="again"))
