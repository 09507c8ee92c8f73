"""The search: budgets are exact, what is known costs nothing, and a run says why it ended and what it found."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rbflex_evo.engine.run.folder import LOCK, opened
from rbflex_evo.engine.search.loop import BARREN_ASKS
from rbflex_evo.engine.search.search import Search
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import ConfigError, Genotype, GenotypeError, RunError, create_space
from rbflex_evo.strategies import STRATEGIES, Strategy, View, own_strategies
from tests.support.instant import InstantEvaluator, instant_search, journal_without_times, toy_config

SMALL: dict[str, Any] = {"name": "toy", "genes": 4, "choices": 2}


class Stubborn(Strategy):
    """Proposes the same two genotypes for ever; so one architecture is new, and then none."""

    name = "stubborn"

    def ask(self, n: int, view: View) -> list[Genotype]:
        self.generation += 1
        proposals: list[Genotype] = [(1, 0, 0, 1), (0, 1, 0, 1)]
        return proposals[:n]

    def tell(self, evaluations: Sequence[Evaluation], view: View) -> None:
        for evaluation in evaluations:
            assert view.seen(evaluation.key)

    def get_state(self) -> Any:
        return None

    def set_state(self, state: Any) -> None:
        assert state is None


class Greedy(Stubborn):
    """Proposes more than it was asked for."""

    name = "greedy"

    def ask(self, n: int, view: View) -> list[Genotype]:
        return [(0, 0, 0, 0)] * (n + 1)


class Astray(Stubborn):
    """Proposes what is not in the space."""

    name = "astray"

    def ask(self, n: int, view: View) -> list[Genotype]:
        return [(9, 9, 9, 9)]


@pytest.fixture
def odd_strategies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registers the strategies above for one test."""
    for strategy in (Stubborn, Greedy, Astray):
        monkeypatch.setitem(STRATEGIES._known, strategy.name, strategy)


@pytest.mark.parametrize("strategy", own_strategies())
@pytest.mark.parametrize("evaluations", [1, 7, 133])
def test_the_budget_of_unique_evaluations_is_exact(tmp_path: Path, strategy: str, evaluations: int) -> None:
    search, evaluator = instant_search(toy_config(tmp_path, strategy=strategy, budget={"evaluations": evaluations}))
    result = search.run()
    assert result.counts["unique"] == len(set(evaluator.asked)) == len(evaluator.asked) == evaluations
    assert len(journal_without_times(result.folder)) == evaluations + 1
    assert result.counts["proposed"] == result.counts["known"] + result.counts["unique"]


@pytest.mark.parametrize("strategy", own_strategies())
def test_a_space_with_nothing_left_ends_the_search(tmp_path: Path, strategy: str) -> None:
    search, _ = instant_search(toy_config(tmp_path, space=SMALL, strategy=strategy, budget={"evaluations": 1000}))
    result = search.run()
    space = create_space(**SMALL)
    assert result.counts["unique"] == len(list(space.keys())) == 9
    assert result.stop_reason.startswith("nothing left to try") or "known architectures" in result.stop_reason


@pytest.mark.usefixtures("odd_strategies")
def test_a_strategy_that_proposes_only_what_is_known_is_stopped(tmp_path: Path) -> None:
    search, evaluator = instant_search(toy_config(tmp_path, space=SMALL, strategy="stubborn"))
    result = search.run()
    assert result.stop_reason == "the strategy proposed only known architectures 1,000 times in a row"
    assert (result.counts["unique"], len(evaluator.asked)) == (1, 1)
    assert result.counts["proposed"] == 2 * (BARREN_ASKS + 1)


@pytest.mark.usefixtures("odd_strategies")
def test_a_strategy_may_not_propose_more_than_asked_or_what_is_not_in_the_space(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="at most 200 genotypes, but it gave 201"):
        instant_search(toy_config(tmp_path, name="a", space=SMALL, strategy="greedy"))[0].run()
    with pytest.raises(GenotypeError):
        instant_search(toy_config(tmp_path, name="b", space=SMALL, strategy="astray"))[0].run()


def test_generations_end_a_search(tmp_path: Path) -> None:
    config = toy_config(tmp_path, strategy={"name": "random", "batch": 7}, budget={"generations": 3})
    result = instant_search(config)[0].run()
    assert (result.counts["unique"], result.stop_reason) == (21, "the budget of 3 generations is spent")


def test_seconds_end_a_search_between_two_evaluations(tmp_path: Path) -> None:
    search, evaluator = instant_search(toy_config(tmp_path, budget={"seconds": 0.2}), rounds=2000)
    result = search.run()
    assert result.stop_reason == "the budget of 0.2 seconds is spent"
    assert result.counts["unique"] == len(evaluator.asked)
    times = [json.loads(line)["time_elapsed"] for line in (result.folder / "journal.jsonl").read_text().splitlines()[1:]]
    assert times == sorted(times) and all(time < 0.2 for time in times[:-1])


def test_an_evaluation_is_not_repeated_for_a_genotype_of_a_known_key(tmp_path: Path) -> None:
    search, evaluator = instant_search(toy_config(tmp_path, strategy="annealing", space=SMALL))
    search.run()
    assert len(evaluator.asked) == len(set(evaluator.asked))


def test_the_result_holds_the_best_of_the_journal(tmp_path: Path) -> None:
    config = toy_config(tmp_path, fitness={"proxies": {"naswot": {}, "synflow": {}}, "objective": {"score": "naswot"}})
    result = instant_search(config)[0].run()
    lines = [line for line in journal_without_times(result.folder)[1:] if not line["failures"]]
    expected = sorted(lines, key=lambda line: -line["scores"]["naswot"])
    assert [c.key for c in result.top(30)] == [line["key"] for line in expected[:30]]
    best = result.best
    assert best is not None
    assert (best.key, best.scores) == (expected[0]["key"], expected[0]["scores"])
    assert best.notation == search_space().notation(best.genotype)
    assert result.counts["failed"] == 200 - len(lines) > 0
    document = json.loads((result.folder / "result.json").read_text())
    assert document["best"]["genotype"] == list(best.genotype)
    assert len(document["top"]) == 10 and document["finished"] is True and document["table"] is None


def search_space() -> Any:
    return create_space("toy", genes=12, choices=4)


def test_the_found_network_is_built_without_touching_global_random_state(tmp_path: Path) -> None:
    import torch

    result = instant_search(toy_config(tmp_path))[0].run()
    before = torch.get_rng_state()
    first, second = result.network(), result.network()
    assert torch.equal(before, torch.get_rng_state())
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_search_leaves_global_random_state_alone(tmp_path: Path) -> None:
    random.seed(3)
    np.random.seed(3)
    instant_search(toy_config(tmp_path))[0].run()
    left = random.random(), np.random.rand()
    random.seed(3)
    np.random.seed(3)
    assert left == (random.random(), np.random.rand())


def test_a_finished_search_is_not_run_again(tmp_path: Path) -> None:
    config = toy_config(tmp_path)
    first = instant_search(config)[0].run()
    before = (first.folder / "journal.jsonl").read_bytes()
    search, evaluator = instant_search(config)
    again = search.run()
    assert (evaluator.asked, evaluator.prepared) == ([], 0)
    assert again.best == first.best and again.top(50) == first.top(50)
    assert again.document == first.document
    assert (first.folder / "journal.jsonl").read_bytes() == before


def test_a_warm_start_is_told_first_and_counts(tmp_path: Path) -> None:
    space = search_space()
    notations = [space.notation((i, 1) + (1,) * 10) for i in (0, 1, 2, 0)]
    twin = space.notation((1, 0) + (1,) * 10)
    for strategy in own_strategies():
        config = toy_config(tmp_path, name=strategy, strategy=strategy, warm_start=[*notations, twin])
        result = instant_search(config)[0].run()
        keys = [line["key"] for line in journal_without_times(result.folder)[1:]]
        assert keys[:3] == [space.key(space.parse(notation)) for notation in notations[:3]]
        assert len(keys) == len(set(keys)) == 200


def test_a_warm_start_must_be_of_the_space_and_fit_the_budget(tmp_path: Path) -> None:
    with pytest.raises(GenotypeError, match="unknown operation 'cnv1'"):
        instant_search(toy_config(tmp_path, warm_start=["cnv1+zero"]))
    notation = search_space().notation((1,) * 12)
    with pytest.raises(ConfigError, match=r"'warm_start' has 2 architectures, but 'budget.evaluations' is only 1"):
        instant_search(toy_config(tmp_path, warm_start=[notation, notation], budget={"evaluations": 1}))
    assert not (tmp_path / "run").exists()


def test_a_reference_sample_is_scored_first_and_outside_the_budget(tmp_path: Path) -> None:
    objective = {"rank": ["naswot", "synflow"], "reference": "sample", "sample": 30}
    config = toy_config(tmp_path, fitness={"proxies": {"naswot": {}, "synflow": {}}, "objective": objective})
    search, evaluator = instant_search(config)
    result = search.run()
    kinds = [line["kind"] for line in journal_without_times(result.folder)]
    assert kinds == ["run"] + ["reference"] * 30 + ["evaluation"] * 200
    assert len(evaluator.asked) == len(set(evaluator.asked))
    again = instant_search(config)[0].run()
    assert again.top(50) == result.top(50)


def test_all_failed_is_a_result_without_a_best(tmp_path: Path) -> None:
    class Failing(InstantEvaluator):
        def evaluate(self, pairs: Sequence[tuple[str, Genotype]]) -> Any:
            for evaluation in super().evaluate(pairs):
                yield Evaluation(evaluation.genotype, evaluation.key, {}, {"naswot": "dead", "synflow": "dead"})

    result = Search(toy_config(tmp_path), Failing(search_space()), quiet=True).run()
    assert result.best is None and result.document["best"] is None and result.counts["failed"] == 200
    with pytest.raises(RunError, match="every candidate failed"):
        result.network()


def test_an_evaluator_that_answers_something_else_is_found_out(tmp_path: Path) -> None:
    class Confused(InstantEvaluator):
        def evaluate(self, pairs: Sequence[tuple[str, Genotype]]) -> Any:
            return super().evaluate(list(pairs)[::-1])

    with pytest.raises(RuntimeError, match="the evaluator was asked for"):
        Search(toy_config(tmp_path), Confused(search_space()), quiet=True, report=False).run()


def test_a_run_folder_of_another_configuration_is_left_alone(tmp_path: Path) -> None:
    result = instant_search(toy_config(tmp_path))[0].run()
    before = {path.name: path.read_bytes() for path in result.folder.iterdir()}
    with pytest.raises(RunError, match=r"another configuration.*--set name=") as raised:
        instant_search(toy_config(tmp_path, seed=1))[0].run()
    assert len(str(raised.value).splitlines()) == 1
    assert {path.name: path.read_bytes() for path in result.folder.iterdir()} == before


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("years of work")
    with pytest.raises(RunError, match=r"no run's folder \(it holds 'thesis.txt'"):
        instant_search(toy_config(tmp_path))[0].run()
    assert (tmp_path / "run" / "thesis.txt").read_text() == "years of work"


def test_a_folder_that_cannot_be_written_is_an_error_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    search, evaluator = instant_search(toy_config(tmp_path / "file"))
    with pytest.raises(RunError, match=r"cannot be written.*--set runs="):
        search.run()
    assert evaluator.prepared == 0


def test_two_processes_cannot_share_a_run_folder(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    config = toy_config(tmp_path)
    with opened(config.folder) as folder:
        folder.write_config(config)
        with pytest.raises(RunError, match="in use by another process"):
            instant_search(config)[0].run()
    assert instant_search(config)[0].run().counts["unique"] == 200


def test_a_run_that_cannot_begin_leaves_no_folder(tmp_path: Path) -> None:
    config = toy_config(tmp_path, table={"source": "csv", "path": str(tmp_path / "none.csv")})
    with pytest.raises(ValueError, match=r"none.csv"):
        instant_search(config)[0].run()
    assert list(tmp_path.iterdir()) == []


def table_file(path: Path) -> Path:
    space = search_space()
    genotypes = [(a, b) + (1,) * 10 for a in range(4) for b in range(4)]
    rows = [f"{space.notation(genotype)},{50 + i}" for i, genotype in enumerate(genotypes)]
    path.write_text("\n".join(["notation,accuracy", *rows]) + "\n")
    return path


def test_a_table_is_reported_and_changes_nothing(tmp_path: Path) -> None:
    table = {"source": "csv", "path": str(table_file(tmp_path / "known.csv"))}
    plain = instant_search(toy_config(tmp_path, name="plain"))[0].run()
    told = instant_search(toy_config(tmp_path, name="told", table=table))[0].run()
    assert journal_without_times(plain.folder) == journal_without_times(told.folder)
    assert told.table is not None
    assert (told.table.best, told.table.mean, told.table.accuracy) == (65.0, 57.5, None)


def test_a_finished_run_takes_up_a_table_that_is_added_later(tmp_path: Path) -> None:
    warm = [search_space().notation((1,) * 12)]
    first = instant_search(toy_config(tmp_path, warm_start=warm, budget={"evaluations": 1}))[0].run()
    assert first.table is None
    table = {"source": "csv", "path": str(table_file(tmp_path / "known.csv"))}
    config = toy_config(tmp_path, warm_start=warm, budget={"evaluations": 1}, table=table)
    again = instant_search(config)[0].run()
    assert again.table is not None
    assert (again.table.accuracy, again.table.percentile) == (55.0, 37.5)


def test_the_lock_is_all_that_a_run_adds_to_its_documented_files(tmp_path: Path) -> None:
    result = instant_search(toy_config(tmp_path))[0].run()
    names = {path.name for path in result.folder.iterdir()}
    assert names == {LOCK, "config.yaml", "journal.jsonl", "snapshot.json", "result.json"}


def test_seeds_change_what_is_tried(tmp_path: Path) -> None:
    runs = [instant_search(toy_config(tmp_path, name=str(seed), seed=seed))[0].run() for seed in (1, 2)]
    first, second = ([line["key"] for line in journal_without_times(run.folder)[1:]] for run in runs)
    assert first != second


@pytest.mark.skipif(os.name == "nt", reason="paths")
def test_a_result_damaged_on_the_disk_is_said_so(tmp_path: Path) -> None:
    result = instant_search(toy_config(tmp_path))[0].run()
    (result.folder / "result.json").write_text("{")
    with pytest.raises(RunError, match=r"result.json is damaged; remove it"):
        instant_search(toy_config(tmp_path))[0].run()
    (result.folder / "result.json").unlink()
    assert instant_search(toy_config(tmp_path))[0].run().best == result.best
