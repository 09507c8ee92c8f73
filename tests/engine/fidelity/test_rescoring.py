"""A search in a cheaper form scores its best candidates again in full, and resumes exactly, wherever it was stopped."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rbflex_evo.engine.commands.search import summary
from rbflex_evo.engine.configuration.assembly import Assembly
from rbflex_evo.engine.configuration.config import Config, as_values, identity, parse_config
from rbflex_evo.engine.configuration.form import cheap_form
from rbflex_evo.engine.explanation.explain import explain
from rbflex_evo.engine.export.export import networks_of
from rbflex_evo.engine.report.report import write_report
from rbflex_evo.engine.run.journal import Journal, read_journal
from rbflex_evo.engine.run.record import read_run
from rbflex_evo.engine.search.estimate import estimate
from rbflex_evo.engine.search.search import Search
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.spaces import ConfigError, RunError
from tests.support.instant import InstantEvaluator, journal_without_times
from tests.support.interrupted import PulledPlugError, spawn

FIDELITY = {"size": 4, "rescore": 6}


def config_of(runs: Path, **changes: Any) -> Config:
    """Returns a small search that measures, in a cheaper form."""
    values: dict[str, Any] = {
        "name": "run",
        "space": {"name": "toy", "genes": 6, "choices": 4},
        "data": {"source": "noise", "shape": [3, 8, 8], "n": 6},
        "fitness": {"proxies": {"naswot": {}, "rbflex": {"networks": 3}}, "objective": {"rank": ["naswot", "rbflex"]}},
        "strategy": {"name": "genetic", "population": 10},
        "budget": {"evaluations": 30},
        "fidelity": FIDELITY,
        "workers": 1,
        "cache": "off",
        "runs": str(runs),
    }
    return parse_config({**values, **changes})


def searched(config: Config) -> Path:
    return Search(config, quiet=True, report=False).run().folder


def scored(config: Config, evaluations: list[Evaluation]) -> list[Evaluation]:
    """Returns the evaluations of the same candidates by a configuration without a cheaper form."""
    with Assembly(config.model_copy(update={"fidelity": None})).evaluator() as evaluator:
        return list(evaluator.evaluate([(e.key, e.genotype) for e in evaluations]))


def scores_of(evaluations: list[Evaluation]) -> list[dict[str, float]]:
    return [dict(e.scores) for e in evaluations]


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[Config, int], None]:
    """Ends the process's work after so many lines of the journal."""
    append = Journal.append

    def stopping(config: Config, lines: int) -> None:
        left = [lines]

        def limited(journal: Journal, line: Any) -> None:
            if not left[0]:
                raise PulledPlugError
            left[0] -= 1
            append(journal, line)

        with monkeypatch.context() as patched:
            patched.setattr(Journal, "append", limited)
            with pytest.raises(PulledPlugError):
                searched(config)

    return stopping


def test_the_search_scores_in_the_cheaper_form_and_the_best_again_in_full(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    result = Search(config, quiet=True, report=False).run()
    content = read_journal(result.folder / "journal.jsonl")
    assert len(content.evaluations) == 30 and len(content.rescored) == 6
    assert content.header is not None and content.header["fidelity"]["size"] == 4 and content.header["fidelity"]["rescore"] == 6
    assert scores_of(content.evaluations) == scores_of(scored(cheap_form(config), content.evaluations))
    assert scores_of(content.rescored) == scores_of(scored(config, content.rescored))
    chosen = result.view.best_first()[:6]
    assert [e.key for e in content.rescored] == [e.key for e in chosen]
    best = ArchiveView.among(Assembly(config).objective, content.rescored).best_first()[0]
    assert result.best is not None and result.best.key == best.key and result.best.scores == best.scores
    assert [c.key for c in result.found.top] == [e.key for e in result.ranked]


def test_the_journal_of_the_search_is_that_of_a_search_at_the_smaller_size(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    other = cheap_form(config).model_copy(update={"name": "small"})
    lines, small = (journal_without_times(searched(one)) for one in (config, other))
    assert lines[1:31] == small[1:]
    assert [line["kind"] for line in lines[31:]] == ["rescored"] * 6


@pytest.mark.parametrize("lines", [1, 12, 31, 33, 36])
def test_a_run_stopped_anywhere_ends_with_the_journal_of_one_that_was_not(tmp_path: Path, stop_after: Any, lines: int) -> None:
    whole = searched(config_of(tmp_path / "whole"))
    config = config_of(tmp_path)
    stop_after(config, lines)
    folder = searched(config)
    assert journal_without_times(folder) == journal_without_times(whole)
    results = [json.loads((f / "result.json").read_text()) for f in (folder, whole)]
    for name in ("best", "top", "counts", "stop_reason"):
        assert results[0][name] == results[1][name]
    assert results[0]["rescoring"]["agreement"] == results[1]["rescoring"]["agreement"]


def test_a_run_stopped_at_every_line_ends_the_same(tmp_path: Path, stop_after: Any) -> None:
    changes: dict[str, Any] = {"budget": {"evaluations": 8}, "fidelity": {"n": 3, "rescore": 3}}
    changes |= {"fitness": {"proxies": {"naswot": {}}}, "strategy": {"name": "genetic", "population": 4}}
    whole = searched(config_of(tmp_path / "whole", **changes))
    config = config_of(tmp_path, **changes)
    for _ in range(1 + 8 + 3 - 1):
        stop_after(config, 1)
    assert journal_without_times(searched(config)) == journal_without_times(whole)


def test_a_finished_run_answers_again_without_measuring(tmp_path: Path, stop_after: Any) -> None:
    config = config_of(tmp_path)
    first = Search(config, quiet=True, report=False).run()
    again = Search(config, quiet=True, report=False).run()
    assert again.best == first.best and again.found == first.found and again.full is not None and len(again.full) == 6


def test_the_cache_keeps_the_forms_apart(tmp_path: Path) -> None:
    cached = {"cache": str(tmp_path / "cache.sqlite")}
    first = searched(config_of(tmp_path / "first", **cached))
    again = Search(config_of(tmp_path / "again", **cached), quiet=True, report=False).run()
    assert journal_without_times(again.folder) == journal_without_times(first)
    assert again.found.evaluator["measured"] == 0 and again.found.evaluator["from_cache"] == 30
    assert again.found.rescoring is not None
    assert again.found.rescoring.evaluator["measured"] == 0 and again.found.rescoring.evaluator["from_cache"] == 6


def test_each_form_has_its_own_gammas(tmp_path: Path) -> None:
    result = Search(config_of(tmp_path), quiet=True, report=False).run()
    assert result.found.rescoring is not None
    cheap, full = result.found.evaluator["gammas"]["rbflex"], result.found.rescoring.evaluator["gammas"]["rbflex"]
    assert cheap.keys() == full.keys() and cheap != full


def test_several_workers_leave_the_same_journal(tmp_path: Path) -> None:
    one, two = (searched(config_of(tmp_path / str(n), workers=n)) for n in (1, 2))
    assert journal_without_times(one) == journal_without_times(two)


def test_another_budget_drops_what_was_rescored_and_ends_as_if_it_had_had_it(tmp_path: Path) -> None:
    whole = searched(config_of(tmp_path / "whole", budget={"evaluations": 45}))
    folder = searched(config_of(tmp_path))
    result = Search.from_folder(folder, budget={"evaluations": 45}, quiet=True).run()
    # The first line holds the identity of the configuration, in which the name of the folder of runs has no part.
    assert journal_without_times(result.folder) == journal_without_times(whole)


def test_a_narrower_space_keeps_genotypes_keys_and_costs(tmp_path: Path) -> None:
    limits = {"constraints": {"params": {"max": 6000}}}
    changes: dict[str, Any] = {"fidelity": {"space": {"channels": 4}, "rescore": 4}}
    changes["fitness"] = {"proxies": {"naswot": {}}, **limits}
    config = config_of(tmp_path, **changes)
    result = Search(config, quiet=True, report=False).run()
    content = read_journal(result.folder / "journal.jsonl")
    space = Assembly(config).space
    for evaluation in (*content.evaluations, *content.rescored):
        assert evaluation.key == space.key(evaluation.genotype)
        assert evaluation.costs["params"] == space.costs(space.representative(evaluation.key)).params <= 6000
    assert scores_of(content.evaluations) == scores_of(scored(cheap_form(config), content.evaluations))


def test_the_front_in_full_is_that_of_the_rescored(tmp_path: Path) -> None:
    fitness = {"proxies": {"naswot": {}}, "objective": {"pareto": ["naswot", {"minimise": "params"}]}}
    result = Search(config_of(tmp_path, fitness=fitness, strategy="nsga2"), quiet=True).run()
    content = read_journal(result.folder / "journal.jsonl")
    front = {candidate.key for candidate in result.front()}
    assert front <= {evaluation.key for evaluation in content.rescored}
    assert result.found.front is not None and {c.key for c in result.found.front.candidates} == front
    assert {e.key for e in networks_of(read_run(result.folder))} == front


def test_ranks_against_a_sample_become_ranks_among_the_rescored(tmp_path: Path) -> None:
    objective = {"rank": ["naswot", "synflow"], "reference": "sample", "sample": 10}
    fitness = {"proxies": {"naswot": {}, "synflow": {}}, "objective": objective}
    result = Search(config_of(tmp_path, fitness=fitness), quiet=True, report=False).run()
    assert result.full is not None and result.full.objective.reference == "archive"
    assert len(read_journal(result.folder / "journal.jsonl").references) == 10


def test_more_candidates_to_rescore_than_there_are_rescores_all(tmp_path: Path) -> None:
    result = Search(config_of(tmp_path, fidelity={"n": 3, "rescore": 500}), quiet=True, report=False).run()
    assert result.full is not None and len(result.full) == len(result.view.best_first()) == 30 - result.counts["failed"]


def test_report_summary_table_and_export_show_both_forms(tmp_path: Path) -> None:
    result = Search(config_of(tmp_path), quiet=True).run()
    page = (result.folder / "report.html").read_text()
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    assert "Scored again in full" in text and "naswot, cheaper" in text and "naswot, full" in text
    assert "95 % interval" in text and "objective" in text and "among the rescored" in text
    lines = dict(summary(result))
    assert lines["rescored"].startswith("6 candidates in full (") and "Kendall with the cheaper form: naswot" in lines["rescored"]
    result.to_csv(tmp_path / "all.csv")
    header, *rows = (tmp_path / "all.csv").read_text().splitlines()
    columns = header.split(",")
    assert {"rank_full", "naswot_full", "rbflex_full"} <= set(columns)
    assert sum(bool(row.split(",")[columns.index("rank_full")]) for row in rows) == 6
    assert [e.key for e in networks_of(read_run(result.folder), 6)] == [e.key for e in result.ranked]
    assert result.plot_progress() and result.plot_scores() and result.plot_ranks()
    assert "6 scored again in full" in result._repr_html_()


def test_the_report_of_a_run_that_is_rescoring_says_how_far_it_is(tmp_path: Path, stop_after: Any) -> None:
    config = config_of(tmp_path)
    stop_after(config, 1 + 30 + 2)
    text = re.sub(r"\s+", " ", write_report(config.folder).read_text())
    assert "So far 2 of 6 were scored again in full" in text


def test_an_explanation_is_of_the_full_form(tmp_path: Path) -> None:
    result = Search(config_of(tmp_path), quiet=True).run()
    found = explain(result.folder, seeds=2, quiet=True)
    assert result.best is not None and found.scores == result.best.scores
    assert all(rank.of == 6 for rank in found.ranks.values())


def test_progress_says_how_many_are_rescored(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    from rbflex_evo.engine.terminal import progress

    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    Search(config_of(tmp_path), report=False).run()
    assert "rescoring: 3 of 6 candidates" in capfd.readouterr().err


def test_an_estimate_says_what_rescoring_adds(tmp_path: Path) -> None:
    found = estimate(config_of(tmp_path))
    assert found.rescoring is not None and found.rescoring.candidates == 6 and found.rescoring.seconds > 0
    assert found.evaluations == 30
    assert estimate(config_of(tmp_path, fidelity=None)).rescoring is None


REFUSED = {
    "no form": ({"rescore": 10}, r"'fidelity': needs a cheaper form to search with: size, n or space"),
    "unknown": ({"sise": 4}, r"unknown key 'fidelity.sise'; did you mean 'size'\?"),
    "unknown of the space": ({"space": {"chanels": 4}}, r"unknown key 'fidelity.space.chanels'; did you mean 'channels'\?"),
    "larger": ({"size": 16}, "'fidelity.size' must be a number of at most 8, that of the full form, but it is 16"),
    "more inputs": ({"n": 7}, "'fidelity.n' must be a number of at most 6, that of the full form, but it is 7"),
    "wider": ({"space": {"channels": 32}}, "'fidelity.space.channels' must be a number of at most 16"),
    "the same": ({"size": 8, "n": 6}, "'fidelity' names the full form"),
    "none": ({"n": 3, "rescore": 0}, "'fidelity.rescore'"),
    "no number": ({"space": {"nan": True}}, "'fidelity.space.nan' is given, but space 'toy' has no number 'nan'"),
}


@pytest.mark.parametrize(("fidelity", "message"), REFUSED.values(), ids=list(REFUSED))
def test_what_is_no_cheaper_form_is_refused_in_one_line(tmp_path: Path, fidelity: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        config_of(tmp_path, fidelity=fidelity)
    assert len(str(raised.value).splitlines()) == 1


def test_a_space_of_other_genotypes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="changes the genotypes of the space"):
        searched(config_of(tmp_path, fidelity={"space": {"genes": 5}}))


def test_scores_of_a_table_and_comparisons_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'scores' names a table"):
        config_of(tmp_path, scores="scores.npz")
    with pytest.raises(ConfigError, match="'compare' compares at one form"):
        config_of(tmp_path, compare={"strategies": ["random", "genetic"], "seeds": 2})
    with pytest.raises(ConfigError, match="cells of 'map_elites' hold candidates of the cheaper form"):
        config_of(tmp_path, strategy="map_elites")
    config = config_of(tmp_path)
    with pytest.raises(ConfigError, match="one evaluator was handed in"):
        Search(config, InstantEvaluator(Assembly(config).space))


def test_images_of_one_size_cannot_be_smaller(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="data source 'cifar10' has no number 'size' to make smaller"):
        config_of(tmp_path, data={"source": "cifar10", "root": "."})


def test_a_space_of_one_size_is_made_smaller_with_its_images(tmp_path: Path) -> None:
    changes = {"space": "autoformer_tiny", "data": {"source": "noise", "shape": [3, 224, 224]}}
    small = cheap_form(config_of(tmp_path, **changes, fidelity={"size": 64}))
    assert Assembly(small).space.input_shape == (3, 64, 64) and Assembly(small).batch.images.shape == (16, 3, 64, 64)


def test_a_configuration_is_read_back_and_its_form_is_part_of_its_identity(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    assert parse_config(as_values(config)) == config
    forms = (None, FIDELITY, {"size": 5}, {"size": 5, "rescore": 7})
    assert len({identity(config_of(tmp_path, fidelity=form)) for form in forms}) == 4


def test_other_full_inputs_are_refused_when_a_run_is_resumed(tmp_path: Path, stop_after: Any) -> None:
    config = config_of(tmp_path)
    stop_after(config, 10)
    journal = config.folder / "journal.jsonl"
    from rbflex_evo.engine.run.journal import encode

    first, rest = journal.read_bytes().split(b"\n", 1)
    header = {key: value for key, value in json.loads(first).items() if key != "crc"}
    header["fidelity"]["full_inputs"] = "0" * 64
    journal.write_bytes(encode(header) + rest)
    with pytest.raises(RunError, match="the input images are not those"):
        searched(config)


@pytest.mark.slow
def test_a_killed_run_rescores_the_rest(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"fidelity": {"size": 4, "rescore": 30}}
    whole = searched(config_of(tmp_path / "whole", **changes))
    config = config_of(tmp_path, **changes)
    for kind, number in (("evaluation", 7), ("rescored", 3), ("rescored", 20)):
        process = spawn([sys.executable, __file__, str(tmp_path), json.dumps(changes)])
        while process.poll() is None and _last(config.folder / "journal.jsonl") < (kind != "evaluation", number):
            pass
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert journal_without_times(searched(config)) == journal_without_times(whole)


def _last(path: Path) -> tuple[bool, int]:
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    if not lines:
        return (False, -1)
    line = json.loads(lines[-1])
    return (line["kind"] == "rescored", line.get("number", -1))


if __name__ == "__main__":
    searched(config_of(Path(sys.argv[1]), **json.loads(sys.argv[2])))
