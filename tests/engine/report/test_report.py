"""The report of small runs that are written here by hand, read back as HTML."""

import json
import re

import pytest

from rbflex_evo.engine.figures.page import breakable
from rbflex_evo.engine.report.report import write_report
from rbflex_evo.engine.run.record import read_run
from rbflex_evo.engine.terminal.wording import amount, flat, number
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import RunError, UnknownNameError, create_space
from tests.support.instant import instant_search, toy_config
from tests.support.page import Page
from tests.support.runs import CELLS, evaluations, write_run


@pytest.fixture
def run(tmp_path):
    """A finished run without its report yet, to be damaged."""
    return write_run(tmp_path / "run", evaluations())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished run with its report, to be read only."""
    folder = write_run(tmp_path_factory.mktemp("report") / "run", evaluations())
    assert write_report(folder) == folder / "report.html"
    return folder


@pytest.fixture
def page(folder):
    return Page(folder / "report.html")


def test_the_report_names_the_found_architecture_with_its_scores_and_accuracy(page):
    for fact in (CELLS[0], "-8000.5", "790.25", "94.25 %", "98.76 %", "94.50 %", "87.12 %", CELLS[1], "1 of 3", "2 of 3"):
        assert fact in page.text
    assert "Evaluation 1 of 4" in page.text


def test_the_report_states_the_facts_of_the_run_and_its_config_verbatim(folder, page):
    for fact in ("the budget of 4 evaluations is spent", "2.5e-10", "12.5", "3.12.1", "a machine", "strategy · population"):
        assert fact in page.text
    assert " ".join((folder / "config.yaml").read_text(encoding="utf-8").split()) in page.text


def test_parameters_and_flops_are_those_of_the_raw_network(page):
    costs = create_space("nats_tss").costs(evaluations()[0].genotype)
    assert f"{amount(costs.params)}parameters" in page.text
    assert f"{amount(costs.flops)}FLOPs" in page.text


def test_the_page_loads_nothing_from_elsewhere(page):
    loads = {"src", "href", "xlink:href", "data", "action", "srcset", "poster"}
    assert all(value.startswith(("#", "data:")) for _, name, value in page.attributes if name in loads)
    assert not {"link", "img", "iframe", "object"} & {tag for tag, *_ in page.attributes}
    assert not re.search(r"@import|url\((?!#)|fetch\(|XMLHttpRequest", page.html)


def test_every_id_on_the_page_is_there_once(page):
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))


def test_the_figures_lie_beside_the_page(folder):
    figures = {path.stem for path in folder.glob("*.png")}
    assert {"architecture", "anytime_rbflex", "anytime_naswot", "anytime_accuracy"} <= figures
    assert {"accuracy_rbflex", "accuracy_naswot", "failures", "rates"} <= figures


def test_failures_are_grouped_by_reason_and_counted(page):
    assert "rbflexno path from input to <output>1" in page.text
    assert "1 of 4 failed" in page.text


def test_writing_the_report_again_gives_the_same_page(folder, page):
    assert write_report(folder).read_text(encoding="utf-8") == page.html


def test_a_name_with_markup_in_it_is_shown_and_not_run(tmp_path):
    evil = "<script>alert(1)</script>&"
    told = [Evaluation(e.genotype, e.key, {evil: 1.0 + i}) for i, e in enumerate(evaluations()[:3])]
    fitness = {"proxies": {evil: {}}, "objective": {"score": evil}}
    page = Page(write_report(write_run(tmp_path / "run", told, name=evil, fitness=fitness)))
    assert "alert(1)</script>" not in page.html
    assert page.text.count(evil) >= 3


def test_a_run_without_a_table_has_no_accuracies(tmp_path):
    folder = write_run(tmp_path / "run", evaluations(), table=False)
    text = Page(write_report(folder)).text
    assert CELLS[0] in text and "-8000.5" in text
    assert "accurac" not in re.sub(r"The accuracies had no part", "", text).lower()
    assert not list(folder.glob("accuracy*.png"))


def test_a_table_that_is_gone_is_said_and_the_rest_is_shown(run):
    (run / "known.csv").unlink()
    text = Page(write_report(run)).text
    assert "The table of known accuracies could not be read" in text and "known.csv" in text
    assert CELLS[0] in text and "94.25 %" in text


def test_a_table_that_does_not_know_the_found_architecture_says_so(run):
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    result["table"] |= {"accuracy": None, "percentile": None}
    (run / "result.json").write_text(json.dumps(result), encoding="utf-8")
    assert "does not know this architecture's accuracy" in Page(write_report(run)).text


def test_a_run_in_which_all_failed_says_so(tmp_path):
    page = Page(write_report(write_run(tmp_path / "run", evaluations()[3:])))
    assert "Every candidate failed" in page.text and "no path from input to <output>" in page.text
    assert "Found architecture" not in page.text


def test_a_run_that_rejected_everything_says_so_and_why_it_ended(tmp_path):
    fitness = {"proxies": {"naswot": {}}, "constraints": {"params": {"max": 1.0}}}
    result = instant_search(toy_config(tmp_path, fitness=fitness, strategy="random", budget={"evaluations": 5}))[0].run()
    text = Page(write_report(result.folder)).text
    assert f"{result.counts['rejected']:,} architectures that broke a limit were rejected before being scored." in text
    assert f"The search ended because {result.stop_reason}." in text
    assert "resume" not in text


@pytest.mark.parametrize(("bound", "said"), [(1.0, True), (2000.0, False)])
def test_a_run_without_a_candidate_within_the_limits_says_so(tmp_path, bound, said):
    fitness = {"proxies": {"naswot": {}}, "constraints": {"params": {"max": bound}, "handling": "deb"}}
    result = instant_search(toy_config(tmp_path, fitness=fitness, strategy="random", budget={"evaluations": 20}))[0].run()
    assert (result.best is None) == said
    text = Page(write_report(result.folder)).text
    assert ("No candidate is within the limits" in text) == ("Each of the 20 candidates breaks a limit" in text) == said


def test_an_unfinished_run_says_so_and_shows_the_leaders(tmp_path):
    text = Page(write_report(write_run(tmp_path / "run", evaluations(), finished=False))).text
    assert "This run is unfinished" in text and "rbflex-evo resume" in text
    assert "Found architecture" not in text
    assert "Leaders so far" in text and CELLS[1] in text


def test_a_run_that_never_began_says_so(tmp_path):
    folder = write_run(tmp_path / "run", [], finished=False)
    (folder / "journal.jsonl").unlink()
    text = Page(write_report(folder)).text
    assert "Nothing was evaluated" in text and "This run is unfinished" in text


def test_an_evaluation_that_is_just_being_written_is_left_out(run):
    with open(run / "journal.jsonl", "ab") as journal:
        journal.write(b'{"kind": "evaluation", "num')
    assert len(read_run(run).evaluations) == len(read_run(run).arrivals) == 4
    assert (run / "journal.jsonl").read_bytes().endswith(b'"num')


@pytest.mark.parametrize("space", ["nats_sss", {"name": "toy", "genes": 4}])
def test_every_space_has_a_report(tmp_path, space):
    made = create_space(space) if isinstance(space, str) else create_space("toy", genes=4)
    genotype = tuple(2 for _ in made.encoding.categories)
    told = [Evaluation(genotype, made.key(genotype), {"naswot": 5.0})]
    fitness = {"proxies": {"naswot": {}}, "objective": {"score": "naswot"}}
    folder = write_run(tmp_path / "run", told, finished=False, table=False, space=space, fitness=fitness)
    best = {"genotype": genotype, "notation": made.notation(genotype), "key": told[0].key, "scores": {"naswot": 5.0}}
    result = {"version": 1, "finished": True, "stop_reason": "enough", "best": best, "top": [best]}
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    assert made.notation(genotype) in Page(write_report(folder)).text


def test_a_folder_without_a_run_is_an_error(tmp_path):
    with pytest.raises(RunError, match=r"is not a run folder: it has no config.yaml"):
        write_report(tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.yaml", "name: [", "config.yaml is damaged"),
        ("config.yaml", "name: quick", "'space' is missing"),
        ("config.yaml", "{name: a, space: nats_tss, fitness: 3}", "'fitness' must map"),
        ("journal.jsonl", "no json\n", "journal.jsonl, line 1 is damaged"),
        ("result.json", '{"version": 1', "result.json is damaged"),
        ("result.json", '{"version": 1, "finished": true}', "result.json is damaged: stop_reason"),
    ],
)
def test_a_damaged_file_is_named_and_no_page_is_written(run, file, content, message):
    (run / file).write_text(content, encoding="utf-8")
    with pytest.raises(RunError, match=message) as caught:
        write_report(run)
    assert len(str(caught.value).splitlines()) <= 2
    assert not (run / "report.html").exists()


def test_an_unknown_space_is_named_with_the_nearest_one(tmp_path):
    folder = write_run(tmp_path / "run", [], finished=False, table=False, space="nats_ts")
    with pytest.raises(UnknownNameError, match="did you mean 'nats_tss'"):
        write_report(folder)


def test_a_notation_may_break_behind_separators_only_and_stays_the_same_text():
    assert str(breakable("|a_b~0|+|<c>~1|")) == "|a_b~0|+|<wbr>&lt;c&gt;~1|"
    assert breakable(CELLS[0]).replace("<wbr>", "") == CELLS[0]


def test_values_are_written_for_reading():
    assert [number(v) for v in (True, 2, 1 / 3, "a")] == ["yes", "2", "0.333333", "a"]
    assert [amount(v) for v in (1_317_000, 188_700_000, 1.5e9, 950)] == ["1.317 M", "188.7 M", "1.5 G", "950"]
    assert list(flat({"a": {"b": [1, 2]}, "c": None, "d": {}})) == [("a · b", "1, 2"), ("c", "none"), ("d", "none")]
