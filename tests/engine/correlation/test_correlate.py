"""Scores against accuracies: what is judged, how, what is left behind; a killed comparison resumes; one line for every mistake."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy import stats

from rbflex_evo.engine.agreement.kendall import ranked
from rbflex_evo.engine.commands.app import run
from rbflex_evo.engine.configuration.assembly import Assembly
from rbflex_evo.engine.correlation.baselines import counts_of
from rbflex_evo.engine.correlation.ceiling import ceiling
from rbflex_evo.engine.correlation.correlate import Correlation, combine, correlate
from rbflex_evo.engine.correlation.document import read_correlation
from rbflex_evo.engine.correlation.judgement import judge_scores
from rbflex_evo.engine.correlation.ordering import judge
from rbflex_evo.engine.correlation.page import markdown
from rbflex_evo.engine.tabulation.sample import architectures_of
from rbflex_evo.engine.tabulation.score_table import read_scores
from rbflex_evo.engine.tabulation.tabulate import tabulate
from rbflex_evo.fitness.evaluation import keyed
from rbflex_evo.fitness.objective.objective import Objective
from rbflex_evo.fitness.proxies.proxy import PROXIES
from rbflex_evo.spaces import ConfigError, RunError, TableError, UnknownNameError, create_space
from tests.support.correlated import SPACE, accuracy, config, known, values, worse


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Correlation]:
    folder = tmp_path_factory.mktemp("correlate")
    settings = config(folder, correlate={"resamples": 40, "presets": ["rbflex_naswot"], "tables": [worse(folder)]})
    return settings, correlate(settings, quiet=True)


def test_every_score_combination_and_baseline_is_judged(found: tuple[Any, Correlation]) -> None:
    _, result = found
    counts = counts_of(create_space(**SPACE))
    names = ["naswot", "synflow", "rbflex", "objective", "rbflex_naswot", *counts, "random"]
    assert [column.name for column in result.columns] == names
    kinds = [one.kind for one in result.document.scores.values()]
    assert kinds == ["score"] * 3 + ["combination"] * 2 + ["count"] * len(counts) + ["baseline"]
    for table in result.document.tables:
        assert list(table.scores) == names


def test_the_numbers_are_those_of_the_statistics_over_scores_and_accuracies(found: tuple[Any, Correlation]) -> None:
    settings, result = found
    space = Assembly(settings).space
    genotypes = architectures_of(settings, space)
    with Assembly(settings).evaluator() as evaluator:
        scores = np.array([one.scores.get("naswot", np.nan) for one in evaluator.evaluate(keyed(evaluator, genotypes))])
    accuracies = np.array([accuracy(genotype) for genotype in genotypes])
    assert 0 < np.isnan(scores).sum() == result.document.scores["naswot"].failed
    first, second = result.document.tables
    for name, estimate in judge(scores, accuracies, resamples=40).items():
        assert first.scores["naswot"][name] == estimate
    # A failed score ranks last.
    tau = stats.kendalltau(np.where(np.isnan(scores), -1e9, scores), accuracies).statistic
    assert first.scores["naswot"]["kendall"].value == pytest.approx(tau)
    assert second.scores["naswot"]["kendall"].value == pytest.approx(-tau)
    # What is counted is the network that is scored, and its flops those of the data's images.
    costs = [space.costs(space.representative(space.key(genotype)), (3, 8, 8)).flops for genotype in genotypes]
    assert first.scores["flops"]["kendall"].value == pytest.approx(stats.kendalltau(costs, accuracies).statistic)


def test_a_combination_ranks_against_the_whole_correlated_set() -> None:
    rng = np.random.default_rng(0)
    scores = {"a": rng.integers(0, 5, 40).astype(float), "b": rng.random(40)}
    scores["b"][[3, 7]] = np.nan
    alive = ~np.isnan(scores["b"])
    shares = [stats.rankdata(scores[name][alive]) / alive.sum() for name in ("a", "b")]
    for rule, expected in (
        ("linear", (2 * shares[0] + shares[1]) / 3),
        ("log", np.exp((2 * np.log(shares[0]) + np.log(shares[1])) / 3)),
    ):
        found = combine(Objective(("a", "b"), rule, (2.0, 1.0), reference="generation"), scores)
        assert np.isnan(found).tolist() == (~alive).tolist()
        np.testing.assert_allclose(found[alive], expected, atol=1e-11)


def test_no_accuracy_decides_a_score(tmp_path: Path) -> None:
    def scores(table: dict[str, Any], name: str) -> dict[str, list[float]]:
        result = correlate(config(tmp_path, table=table, name=name, sample={"size": 30}), quiet=True, page=False)
        return {column.name: column.values.tolist() for column in result.columns}

    first, second = scores(known(tmp_path), "a"), scores(worse(tmp_path), "b")
    for name, column in first.items():
        np.testing.assert_array_equal(column, second[name])


def test_the_folder_holds_page_figures_numbers_and_configuration(found: tuple[Any, Correlation]) -> None:
    _, result = found
    page = (result.folder / "correlate.html").read_text(encoding="utf-8")
    assert json.loads((result.folder / "correlate.json").read_text()) == result.document.model_dump(mode="json")
    figures = {path.name for path in result.folder.glob("*.png")}
    for dataset in ("toys", "opposite"):
        assert {f"{dataset}_{column.name}_scatter.png" for column in result.columns} <= figures
        assert f"{dataset}_standing.png" in figures and f"{dataset}_accuracy_of_100.png" in figures
    assert page.count("<figure>") == len(figures)
    assert "toys accuracy" in page and "40 bootstrap resamples" in page and "linear: naswot, synflow" in page
    assert "a random sample, seed 1" in page
    # Nothing is loaded from elsewhere.
    assert not re.search(r'(src|href)="(?!#|data:)', page)
    assert (result.folder / "config.yaml").exists()


def test_the_markdown_has_a_row_for_each_score_with_intervals(found: tuple[Any, Correlation]) -> None:
    _, result = found
    text = markdown(result.document)
    estimate = result.document.tables[0].scores["synflow"]["kendall"]
    assert f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]" in text
    assert text.count("| synflow ") == 8 and "first of 100" in text and "first of 1,000" not in text
    for block in re.findall(r"(?:^\|.*\n?)+", text, flags=re.MULTILINE):
        assert len({len(line) for line in block.splitlines()}) == 1


def test_scores_of_a_table_are_judged_without_measuring(found: tuple[Any, Correlation], tmp_path: Path) -> None:
    _, result = found
    path = result.folder.with_name("scores-table") / "scores.npz"
    # The images are not there, so nothing could be measured.
    changes = {"runs": str(tmp_path / "runs"), "data": {"source": "file", "path": str(tmp_path / "none.npz"), "array": "x"}}
    again = correlate(config(tmp_path, correlate={"resamples": 40}, **changes), path, quiet=True, page=False)
    for name in ("naswot", "rbflex", "objective", "params", "random"):
        assert again.document.tables[0].scores[name] == result.document.tables[0].scores[name]
    assert [column.name for column in again.columns][:4] == ["naswot", "synflow", "rbflex", "objective"]
    without = correlate(config(tmp_path, sample=None, name="all", **changes), path, quiet=True, page=False)
    assert without.document.architectures == 120 and without.document.sample == {"file": str(path)}


def test_a_sample_of_a_table_is_taken_out_of_it(tmp_path: Path) -> None:
    whole = tabulate(config(tmp_path, sample=None, name="whole"), quiet=True)
    part = correlate(config(tmp_path, name="part"), whole, quiet=True, page=False)
    alone = correlate(config(tmp_path, name="alone"), quiet=True, page=False)
    # The table has no baselines; they are counted without a pass, flops on the space's own images.
    for one, other in zip(part.columns, alone.columns, strict=True):
        assert one.name == other.name
        np.testing.assert_array_equal(ranked(one.values), ranked(other.values))
    other = config(tmp_path, sample={"size": 120, "seed": 9})
    with pytest.raises(ConfigError, match=r"lacks \d+ of the sample's 120 architectures"):
        correlate(other, tmp_path / "runs/alone-table/scores.npz", quiet=True, page=False)


def test_the_whole_space_is_correlated_without_a_sample(tmp_path: Path) -> None:
    result = correlate(config(tmp_path, sample=None, correlate={"resamples": 2}), quiet=True, page=False)
    assert result.document.architectures == result.document.tables[0].known == 256
    assert result.document.networks == 100 and result.document.sample is None


def test_a_preset_is_named_and_one_score_alone_is_no_combination(tmp_path: Path) -> None:
    fitness: dict[str, Any] = {"preset": "rbflex_synflow", "proxies": {"rbflex": {"gamma": "flat"}}}
    result = correlate(config(tmp_path, fitness=fitness, sample={"size": 20}), quiet=True, page=False)
    assert [column.name for column in result.columns][:3] == ["rbflex", "synflow", "rbflex_synflow"]
    fitness = {"proxies": {"naswot": {}}}
    result = correlate(config(tmp_path, fitness=fitness, name="one", sample={"size": 20}), quiet=True, page=False)
    assert [column.kind for column in result.columns].count("combination") == 0


def test_architectures_that_a_table_does_not_know_are_left_out_of_it(tmp_path: Path) -> None:
    table = known(tmp_path, "some")
    lines = Path(table["path"]).read_text().splitlines()
    Path(table["path"]).write_text("\n".join(lines[:129]))
    result = correlate(config(tmp_path, table=table), quiet=True, page=False)
    assert 3 <= result.document.tables[0].known < 120 == result.document.architectures
    Path(table["path"]).write_text("\n".join(lines[:2]))
    with pytest.raises(TableError, match=r"needs at least 3 that it knows; enlarge the sample .*, or list some that it knows"):
        correlate(config(tmp_path, table=table), quiet=True, page=False)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"table": None}, ConfigError, "no table is set; set table: {source: ...}"),
        ({"sample": {"size": 257}}, ConfigError, "'sample.size' is 257, but toy has only 256 genotypes"),
        ({"correlate": {"presets": ["rbflex_nsawot"]}}, UnknownNameError, "did you mean 'rbflex_naswot'"),
        ({"correlate": {"resamples": 1}}, ConfigError, r"'correlate\.resamples'"),
        ({"correlate": {"tables": ["csb"]}}, UnknownNameError, "unknown table 'csb'; did you mean 'csv'"),
        ({"correlate": {"tables": [{"path": "x"}]}}, ConfigError, r"'correlate\.tables\.0\.source' is missing"),
        ({"correlate": {"tables": [{"source": "csv", "pth": "x"}]}}, ConfigError, r"tables\.0\.pth'; did you mean 'path'"),
        ({"table": {"source": "analog_nasbench"}}, TableError, "nats_tss"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message) if "{" in message else message) as raised:
        correlate(config(tmp_path, **changes), quiet=True, page=False)
    assert len(str(raised.value).splitlines()) <= 2
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("size", [1, 2])
def test_a_sample_that_is_too_small_is_refused_before_anything_is_scored(tmp_path: Path, size: int) -> None:
    settings = config(tmp_path, sample={"size": size})
    with pytest.raises(ConfigError, match=f"needs at least 3 architectures, but the sample has {size}; set a larger one"):
        correlate(settings, quiet=True)
    assert not settings.folder.parent.exists() or not list(settings.folder.parent.iterdir())


def test_verdicts_equal_size_and_the_reason_for_no_ceiling_are_in_the_document(found: tuple[Any, Correlation]) -> None:
    _, result = found
    columns = {column.name: column for column in result.columns}
    table = result.document.tables[0]
    counts = {name: column.values for name, column in columns.items() if column.kind == "count"}
    scores = {name: column.values for name, column in columns.items() if name not in counts}
    expected = judge_scores(scores, counts, result.known[0].values, resamples=40)
    assert table.best_count == expected.best_count and table.pairs_of_one_size == expected.pairs_of_one_size
    assert table.verdicts == {name: expected.scores[name].verdict for name in scores}
    assert table.scores["naswot"]["kendall_one_size"] == expected.scores["naswot"].of_one_size
    assert table.scores["rbflex"]["kendall_given_size"] == expected.scores["rbflex"].given_size
    assert table.ceiling.reason == "the table has one training run of each architecture"
    page = (result.folder / "correlate.html").read_text(encoding="utf-8")
    assert "No ceiling: the table has one training run" in page
    # Every verdict is a line of the page and of the printed text.
    printed = markdown(result.document)
    for verdict in table.verdicts.values():
        assert verdict.text in page and verdict.text in printed


def test_a_document_is_read_as_it_was_written_and_an_older_one_is_refused(found: tuple[Any, Correlation], tmp_path: Path) -> None:
    _, result = found
    assert read_correlation(result.folder) == result.document
    assert read_correlation(tmp_path) is None
    content = json.loads((result.folder / "correlate.json").read_text())
    (tmp_path / "correlate.json").write_text(json.dumps({**content, "version": 1}))
    with pytest.raises(RunError, match="is of version 1, but this program reads version 2; run correlate again"):
        read_correlation(tmp_path)
    for damaged in ("", "[]", "{}", json.dumps({**content, "seed": "x"})):
        (tmp_path / "correlate.json").write_text(damaged)
        with pytest.raises(RunError, match="is damaged; run correlate again"):
            read_correlation(tmp_path)


@pytest.mark.slow
def test_several_weight_seeds_give_the_repeatability_and_the_figure_of_the_mean(tmp_path: Path) -> None:
    settings = config(tmp_path, correlate={"resamples": 20, "seeds": 2, "presets": ["rbflex_naswot"]}, sample={"size": 40})
    result = correlate(settings, quiet=True)
    assert result.document.weight_seeds == [0, 1]
    columns = {column.name: column for column in result.columns}
    other = correlate(
        config(tmp_path, name="other", fitness={**values(tmp_path)["fitness"], "weights": {"seed": 1}}, sample={"size": 40}),
        quiet=True,
        page=False,
    )
    one, two = columns["synflow"].values, {column.name: column for column in other.columns}["synflow"].values
    np.testing.assert_array_equal(columns["synflow"].reseeded, [two])
    judged = result.document.tables[0].scores
    accuracies = result.known[0].values
    assert judged["synflow"]["repeatability"].value == pytest.approx(stats.kendalltau(ranked(one), ranked(two)).statistic)
    mean = stats.kendalltau(ranked((one + two) / 2), accuracies).statistic
    assert judged["synflow"]["kendall_of_mean"].value == pytest.approx(mean)
    # A combination ranks again under each seed; what is counted has no seed.
    assert judged["objective"]["repeatability"].value is not None and "repeatability" not in judged["params"]
    assert "two weight seeds" in markdown(result.document)
    assert "Two weight seeds" in (result.folder / "correlate.html").read_text(encoding="utf-8")


def test_a_table_of_scores_has_one_weight_seed(found: tuple[Any, Correlation], tmp_path: Path) -> None:
    path = found[1].folder.with_name("scores-table") / "scores.npz"
    with pytest.raises(ConfigError, match=r"correlate.seeds is 3, but the table of scores .* has one seed of weights"):
        correlate(config(tmp_path, correlate={"seeds": 3}), path, quiet=True, page=False)


def test_training_runs_of_a_table_give_the_ceiling(tmp_path: Path) -> None:
    space = create_space(**SPACE)
    genotypes = list(space.encoding.enumerate())
    runs = np.array([[accuracy(genotype)] for genotype in genotypes]) + np.random.default_rng(0).random((len(genotypes), 2))
    np.savez(tmp_path / "runs.npz", arch_str=[space.notation(genotype) for genotype in genotypes], accuracy=runs)
    table = {"source": "npz", "path": str(tmp_path / "runs.npz"), "accuracy": "accuracy"}
    result = correlate(config(tmp_path, table=table), quiet=True)
    rows = [
        genotypes.index(space.parse(notation))
        for notation in read_scores(result.folder.with_name("scores-table") / "scores.npz").architectures
    ]
    found = result.document.tables[0].ceiling
    assert found == ceiling(runs[rows]) and 0.5 < found.between < 1
    assert f"τ {found.between:.3f} with another one" in (result.folder / "correlate.html").read_text(encoding="utf-8")


def test_counts_are_those_that_the_registry_marks_and_the_space_has() -> None:
    names = counts_of(create_space(**SPACE))
    assert names[:2] == ("params", "flops") and {"depth", "n_conv"} <= set(names)
    assert all(PROXIES.get(name).is_count and PROXIES.get(name).cost == "data-free" for name in names)
    assert "rbflex" not in names and "nn_mass" not in names


def test_tables_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two tables are both called 'toys'; set 'dataset'"):
        correlate(config(tmp_path, correlate={"tables": [known(tmp_path)]}), quiet=True, page=False)


def test_a_table_of_another_space_is_refused(tmp_path: Path) -> None:
    table = {**known(tmp_path), "path": str(tmp_path / "other.csv")}
    (tmp_path / "other.csv").write_text("notation,accuracy\n8:8:8:8:8,50\n")
    with pytest.raises(TableError, match="is a table of another space than 'toy'"):
        correlate(config(tmp_path, table=table), quiet=True, page=False)


def test_scores_that_do_not_fit_the_configuration_are_refused(found: tuple[Any, Correlation], tmp_path: Path) -> None:
    path = found[1].folder.with_name("scores-table") / "scores.npz"
    other = {"source": "csv", "path": str(tmp_path / "sss.csv")}
    (tmp_path / "sss.csv").write_text("notation,accuracy\n8:8:8:8:8,50\n")
    with pytest.raises(RunError, match="holds scores of the space 'toy', but the configuration's is 'nats_sss'"):
        correlate(config(tmp_path, space="nats_sss", table=other), path, quiet=True, page=False)
    (tmp_path / "one").mkdir()
    one = tabulate(config(tmp_path / "one", fitness={"proxies": {"naswot": {}}}), quiet=True)
    with pytest.raises(ConfigError, match=r"has no score 'rbflex'"):
        correlate(config(tmp_path, fitness={"proxies": {"rbflex": {}}}), one, quiet=True, page=False)
    with pytest.raises(RunError, match="there is no table of scores"):
        correlate(config(tmp_path), tmp_path / "none.npz", quiet=True, page=False)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "runs" / "scores-correlate").mkdir(parents=True)
    (tmp_path / "runs" / "scores-correlate" / "thesis.png").write_text("mine")
    with pytest.raises(RunError, match="is no run's folder"):
        correlate(config(tmp_path), quiet=True, page=False)
    assert (tmp_path / "runs" / "scores-correlate" / "thesis.png").exists()


@pytest.mark.slow
def test_the_command_prints_markdown_or_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(values(tmp_path)))
    assert run(["correlate", str(path)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("toys: 0 of 3 scores are above all counts") and "intervals  95 %, 40 bootstrap resamples" in out
    table = tmp_path / "runs" / "scores-table" / "scores.npz"
    assert run(["correlate", str(path), "--json", "--scores", str(table)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["folder"] == str(tmp_path / "runs" / "scores-correlate")
    assert document["tables"][0]["scores"]["naswot"]["kendall"]["value"] is not None
    assert run(["correlate", str(path), "--set", "table=null"]) == 2
    assert "no table is set" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_killed_comparison_goes_on_to_the_same_numbers(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(values(tmp_path, sample=None, correlate={"resamples": 20})))
    code = (
        "import rbflex_evo.engine.tabulation.tabulate as t; t.PIECE = 10; from rbflex_evo.engine.commands.app import main; main()"
    )
    command = [sys.executable, "-c", code, "correlate", str(path), "--set"]
    subprocess.run([*command, f"runs={tmp_path / 'a'}"], check=True, capture_output=True)
    process = subprocess.Popen([*command, f"runs={tmp_path / 'b'}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pieces = tmp_path / "b" / "scores-table" / "pieces" / "synflow"
    while len(list(pieces.glob("0*.npz"))) < 2 and process.poll() is None:
        os.sched_yield()
    process.kill()
    process.wait()
    assert not (tmp_path / "b" / "scores-table" / "scores.npz").exists()
    times = {piece.name: piece.stat().st_mtime_ns for piece in pieces.glob("0*.npz")}
    assert len(times) >= 2
    subprocess.run([*command, f"runs={tmp_path / 'b'}"], check=True, capture_output=True)
    assert {name: (pieces / name).stat().st_mtime_ns for name in times} == times
    a, b = (json.loads((tmp_path / run / "scores-correlate" / "correlate.json").read_text()) for run in "ab")
    assert a == b
    first, second = (read_scores(tmp_path / run / "scores-table" / "scores.npz") for run in "ab")
    np.testing.assert_array_equal(first.scores["synflow"], second.scores["synflow"])
