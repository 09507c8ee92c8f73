"""A loop of the user's own over ask, evaluate and tell is the search that `Search.run` runs, and its order is guarded."""

from __future__ import annotations

from pathlib import Path

import pytest

from rbflex_evo import open_search
from rbflex_evo.engine.search.search import Search
from rbflex_evo.spaces import create_space
from tests.support.instant import InstantEvaluator, instant_search, journal_without_times, toy_config


def opened(folder: Path, **changes: object) -> tuple[Search, InstantEvaluator]:
    return instant_search(toy_config(folder, **changes))


def test_five_lines_of_a_user_give_the_journal_and_the_result_of_a_run(tmp_path: Path) -> None:
    wanted = opened(tmp_path / "run")[0].run()
    with opened(tmp_path / "own")[0].open() as search:
        while not search.finished:
            genotypes = search.ask()
            evaluations = search.evaluate(genotypes)
            search.tell(evaluations)
        result = search.result()
    assert result.best == wanted.best and result.stop_reason == wanted.stop_reason and result.counts == wanted.counts
    assert journal_without_times(result.folder) == journal_without_times(wanted.folder)


@pytest.mark.parametrize("step", ["ask", "evaluate", "tell"])
def test_a_loop_that_is_left_anywhere_resumes_to_the_same_journal(tmp_path: Path, step: str) -> None:
    wanted = opened(tmp_path / "run")[0].run()
    search, evaluator = opened(tmp_path / "own")
    with search.open() as running:
        for _ in range(3):
            running.tell(running.evaluate(running.ask()))
        if step != "tell":
            genotypes = running.ask()
            if step == "evaluate":
                running.evaluate(genotypes)
    again, second = opened(tmp_path / "own")
    result = again.run()
    assert journal_without_times(result.folder) == journal_without_times(wanted.folder)
    assert not set(evaluator.asked) & set(second.asked)


def test_a_configuration_s_path_opens_a_search_and_a_finished_run_is_finished_at_once(tmp_path: Path) -> None:
    path = tmp_path / "toy.yaml"
    path.write_text(
        "name: own\nspace: toy\ndata: {source: noise, shape: [3, 8, 8], n: 4}\nfitness: {proxies: {naswot: {}}}\n"
        f"strategy: random\nbudget: {{evaluations: 4}}\nworkers: 1\ncache: off\nruns: {tmp_path}\n"
    )
    with open_search(path, quiet=True) as search:
        while not search.finished:
            search.tell(search.evaluate(search.ask()))
        found = search.result()
    assert found.counts["unique"] == 4 and (found.folder / "report.html").exists()
    with open_search(path, ["strategy=random"], quiet=True) as search:
        assert search.finished and search.ask() == [] and search.evaluate([]) == []
        search.tell([])
        assert search.result().best == found.best


def test_the_order_of_calls_is_guarded(tmp_path: Path) -> None:
    with opened(tmp_path)[0].open() as search:
        with pytest.raises(RuntimeError, match=r"evaluate\(\) was called before ask\(\); call ask\(\) first"):
            search.evaluate([])
        with pytest.raises(RuntimeError, match=r"tell\(\) was called before evaluate\(\)"):
            search.tell([])
        with pytest.raises(RuntimeError, match=r"result\(\) was called before the search was finished"):
            search.result()
        genotypes = search.ask()
        with pytest.raises(RuntimeError, match=r"ask\(\) was called twice in a row"):
            search.ask()
        with pytest.raises(RuntimeError, match=r"tell\(\) was called before evaluate\(\)"):
            search.tell([])
        with pytest.raises(RuntimeError, match=r"evaluate\(\) was given other genotypes than ask\(\) returned"):
            search.evaluate(genotypes[1:])
        evaluations = search.evaluate(genotypes)
        with pytest.raises(RuntimeError, match=r"evaluate\(\) was called twice in a row"):
            search.evaluate(genotypes)
        with pytest.raises(RuntimeError, match=r"ask\(\) was called twice in a row"):
            search.ask()
        with pytest.raises(RuntimeError, match=r"tell\(\) was given other evaluations than evaluate\(\) returned"):
            search.tell(evaluations[::-1])
        search.tell(evaluations)
        assert search.ask()


def test_a_budget_of_seconds_that_is_spent_in_a_batch_ends_the_search(tmp_path: Path) -> None:
    space = create_space("toy", genes=12, choices=4)
    search, _ = opened(tmp_path, budget={"seconds": 1e-9}, warm_start=[space.notation((0,) * 12), space.notation((1,) * 12)])
    with search.open() as running:
        evaluations = running.evaluate(running.ask())
        assert len(evaluations) == 1 and running.finished
        running.tell(evaluations)
        assert running.ask() == []
        assert "second" in running.result().stop_reason
