"""A run that is given another budget equals one that had it from the start, or is refused and left as it was."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from rbflex_evo.engine.commands.app import run
from rbflex_evo.engine.configuration.config import Config, as_values
from rbflex_evo.engine.run.folder import own_config
from rbflex_evo.engine.search.search import Search
from rbflex_evo.spaces import RunError, create_space
from rbflex_evo.strategies import STRATEGIES, own_strategies
from rbflex_evo.strategies.random_search import RandomSearch
from tests.support.instant import InstantEvaluator, instant_search, journal_without_times, toy_config
from tests.support.interrupted import PulledPlugError, Stopping

# Bounds of which one rejects in `ask` and one only orders, and a reference sample that ranks are taken against.
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "rejecting": {"fitness": {"proxies": {"naswot": {}}, "constraints": {"params": {"max": 6000.0}}}},
    "sample": {
        "fitness": {
            "proxies": {"naswot": {}, "synflow": {}},
            "objective": {"rank": ["naswot", "synflow"], "reference": "sample", "sample": 20},
        }
    },
}


def searched(config: Config) -> Path:
    return instant_search(config)[0].run().folder


def extended(folder: Path, evaluator: InstantEvaluator | None = None, **budget: Any) -> Path:
    """Resumes with another budget as `Search.from_folder` does, with an instant evaluator."""
    search = Search.from_folder(folder, budget=budget, quiet=True)
    search.report = False
    search._given = evaluator or InstantEvaluator(search.space)
    return search.run().folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("strategy", own_strategies())
@pytest.mark.parametrize("kind", list(KINDS))
def test_a_run_of_every_strategy_goes_on_as_if_it_had_had_the_budget_from_the_start(
    tmp_path: Path, strategy: str, kind: str
) -> None:
    changes = {"strategy": strategy, **KINDS[kind]}
    small = searched(toy_config(tmp_path / "small", budget={"evaluations": 73}, **changes))
    # It keeps the parameters that it chose for its first budget.
    chosen = as_values(own_config(small / "config.yaml"))["strategy"]
    whole = searched(toy_config(tmp_path / "whole", budget={"evaluations": 160}, **{**changes, "strategy": chosen}))
    if STRATEGIES.get(strategy).depends_on_budget:
        with pytest.raises(RunError, match="plans with its budget"):
            extended(small, evaluations=160)
        return
    for evaluations in (101, 160):
        assert own_config(extended(small, evaluations=evaluations) / "config.yaml").budget.evaluations == evaluations
    assert journal_without_times(small) == journal_without_times(whole)
    assert searched(toy_config(tmp_path / "small", budget={"evaluations": 160}, **changes)) == small


class Cut(RandomSearch):
    """Proposes others where its batch is cut, and is otherwise the same under all budgets."""

    name = "cut"

    def ask(self, n: int, view: Any) -> list[Any]:
        if n < 20:
            self.rng.random(n)
        return super().ask(min(n, 20), view)


class Planning(RandomSearch):
    """Proposes other genotypes the more evaluations are left."""

    name = "planning"

    def ask(self, n: int, view: Any) -> list[Any]:
        self.rng.random(n)
        return super().ask(n, view)


class Declared(Planning):
    """The same, and says so."""

    name = "declared"
    depends_on_budget = True


@pytest.fixture(autouse=True)
def _strategies(monkeypatch: pytest.MonkeyPatch) -> None:
    for one in (Cut, Planning, Declared):
        monkeypatch.setitem(STRATEGIES._known, one.name, one)


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_batch_that_the_budget_had_cut_is_proposed_again(tmp_path: Path, kind: str) -> None:
    changes = {"strategy": "cut", **KINDS[kind]}
    small = searched(toy_config(tmp_path / "small", budget={"evaluations": 50}, **changes))
    whole = searched(toy_config(tmp_path / "whole", budget={"evaluations": 90}, **changes))
    assert journal_without_times(small)[-1]["key"] not in {line.get("key") for line in journal_without_times(whole)}
    assert journal_without_times(extended(small, evaluations=90)) == journal_without_times(whole)


@pytest.mark.parametrize("moment", [7, 20, 33, 60])
def test_a_stopped_run_goes_on_with_a_larger_or_a_smaller_budget(tmp_path: Path, moment: int) -> None:
    for evaluations in (70, 500):
        config = toy_config(tmp_path / f"{evaluations}", strategy="cut", budget={"evaluations": 200})
        with pytest.raises(PulledPlugError):
            Search(config, Stopping(moment), quiet=True, report=False).run()
        whole = searched(toy_config(tmp_path / f"whole{evaluations}", strategy="cut", budget={"evaluations": evaluations}))
        folder = extended(config.folder, evaluations=evaluations)
        assert journal_without_times(folder) == journal_without_times(whole)


def test_generations_and_lifted_limits_are_budgets_too(tmp_path: Path) -> None:
    folder = searched(toy_config(tmp_path / "run", budget={"generations": 2}))
    for limits in ({"generations": 4}, {"generations": None, "evaluations": 130}):
        whole = searched(toy_config(tmp_path / f"whole{len(limits)}", budget={k: v for k, v in limits.items() if v}))
        assert journal_without_times(extended(folder, **limits)) == journal_without_times(whole)


def test_a_budget_of_seconds_goes_on_where_it_stopped(tmp_path: Path) -> None:
    folder = searched(toy_config(tmp_path / "run", budget={"seconds": 0.02}))
    done = journal_without_times(folder)
    longer = journal_without_times(extended(folder, seconds=None, evaluations=len(done) + 100))
    assert longer[1 : len(done)] == done[1:] and len(longer) == len(done) + 101
    whole = searched(toy_config(tmp_path / "whole", budget={"evaluations": len(done) + 100}))
    assert longer == journal_without_times(whole)


def test_a_warm_start_that_had_filled_the_budget_stays(tmp_path: Path) -> None:
    space = create_space("toy", genes=12, choices=4)
    warm = {"warm_start": [space.notation((gene,) * 12) for gene in range(3)]}
    folder = searched(toy_config(tmp_path / "run", budget={"evaluations": 3}, **warm))
    evaluator = InstantEvaluator(space)
    extended(folder, evaluator, evaluations=40)
    whole = searched(toy_config(tmp_path / "whole", budget={"evaluations": 40}, **warm))
    assert journal_without_times(folder) == journal_without_times(whole) and len(evaluator.asked) == 37


@pytest.mark.parametrize(
    ("strategy", "budget", "why"),
    [
        ("genetic", {"evaluations": 59}, "60 evaluations are done, but the budget is 59; name a larger one"),
        ("genetic", {"evaluations": None, "generations": 1}, "it has more than 1 generation"),
        ("genetic", {"seconds": 1e-9}, "seconds are over, but the budget is 1e-09"),
        ("planning", {"evaluations": 90}, "'planning' proposes other architectures than .* start another run"),
        ("declared", {"evaluations": 90}, "'declared' plans with its budget, so .* start another run"),
    ],
)
def test_what_cannot_have_another_budget_is_refused_in_a_line_and_left_as_it_was(
    tmp_path: Path, strategy: str, budget: dict[str, Any], why: str
) -> None:
    folder = searched(toy_config(tmp_path, strategy=strategy, budget={"evaluations": 60}))
    before = files(folder)
    with pytest.raises(RunError, match=why):
        extended(folder, **budget)
    assert files(folder) == before


@pytest.mark.parametrize("step", range(5))
def test_a_process_that_dies_while_it_changes_the_budget_leaves_one_of_the_two_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    configs = [toy_config(tmp_path / f"{n}", strategy="cut", budget={"evaluations": n}) for n in (50, 90)]
    wholes = [journal_without_times(searched(config)) for config in configs]
    folder = configs[0].folder
    steps = 0

    def dying(change: Any) -> Any:
        def changed(*arguments: Any, **named: Any) -> Any:
            nonlocal steps
            if steps == step:
                raise PulledPlugError
            steps += 1
            return change(*arguments, **named)

        return changed

    search = Search.from_folder(folder, budget={"evaluations": 90}, quiet=True)
    search.report, search._given = False, InstantEvaluator(search.space)
    with monkeypatch.context() as patches:
        patches.setattr(os, "replace", dying(os.replace))
        patches.setattr(Path, "unlink", dying(Path.unlink))
        with pytest.raises(PulledPlugError):
            search.open()
    left = own_config(folder / "config.yaml").budget.evaluations
    # A plain resume goes on with whichever budget the configuration has.
    assert journal_without_times(extended(folder, evaluations=left)) == wholes[left == 90]
    assert journal_without_times(extended(folder, evaluations=90)) == wholes[1]


def test_the_command_goes_on_and_says_how(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Search(toy_config(tmp_path, space="toy", budget={"evaluations": 6}), quiet=True).run().folder
    capsys.readouterr()
    assert run(["resume", str(folder)]) == 0
    assert f"rbflex-evo resume {folder} --budget evaluations=N (more than 6)" in capsys.readouterr().out
    assert run(["resume", str(folder), "--budget", "evaluations=8,generations=5", "--budget", "seconds=1e9"]) == 0
    assert "the budget of 8 evaluations is spent" in capsys.readouterr().out
    assert own_config(folder / "config.yaml").budget.model_dump() == {"evaluations": 8, "generations": 5, "seconds": 1e9}
    assert run(["resume", str(folder), "--budget", "evaluations=5"]) == 2
    assert "8 evaluations are done" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["evaluations", "evaluation=3", "evaluations=x", "evaluations=0", "evaluations=null", "=3", ""])
def test_a_budget_that_is_none_is_refused_before_anything_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    folder = searched(toy_config(tmp_path, budget={"evaluations": 6}))
    assert run(["resume", str(folder), "--budget", text]) == 2
    err = capsys.readouterr().err
    assert "budget" in err and len(err.splitlines()) <= 2


def test_a_comparison_and_its_runs_have_one_budget(tmp_path: Path) -> None:
    folder = tmp_path / "x-compare"
    run_folder = searched(toy_config(folder / "random", budget={"evaluations": 6}))
    (folder / "config.yaml").write_text("name: x")
    with pytest.raises(RunError, match="is a comparison"):
        Search.from_folder(folder, budget={"evaluations": 9})
    with pytest.raises(RunError, match="run of a comparison"):
        Search.from_folder(run_folder, budget={"evaluations": 9})


def test_a_search_with_another_budget_names_the_command_that_goes_on(tmp_path: Path) -> None:
    searched(toy_config(tmp_path, budget={"evaluations": 6}))
    with pytest.raises(RunError, match=r"go on with: rbflex-evo resume .* --budget"):
        searched(toy_config(tmp_path, budget={"evaluations": 9}))
