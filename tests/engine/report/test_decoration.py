"""What decorates a result (costs, drawings, figures, tables, the report itself) is left out with a sentence where it fails."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from rbflex_evo.engine.commands.app import run
from rbflex_evo.engine.commands.search import summary
from rbflex_evo.engine.report.report import write_report
from rbflex_evo.engine.run.journal import read_journal
from rbflex_evo.engine.run.result_document import notation_of
from rbflex_evo.engine.search.search import Search
from rbflex_evo.fitness.costs.book import CostBook
from rbflex_evo.fitness.costs.metric import Metric
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.passes.observer import CandidateFailed
from rbflex_evo.spaces import SPACES, ConfigError, Costs, Genotype, Parameters, SearchSpace, VectorEncoding, create_space
from tests.support.instant import InstantEvaluator, toy_config

CONV, LINEAR = 3 * 9 * 16 + 16, 16 * 10 + 10


class Rates(nn.Module):
    """Reads a tensor's value while it is built, as networks with a list of drop rates do; the meta device has no values."""

    def __init__(self, gene: int, reads: bool) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(3, 16, 3, padding=1), nn.Linear(16, 10)
        rates = torch.linspace(0, 0.1, 4)
        self.rates = [rate.item() for rate in rates] if reads else []
        self.gene = gene

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(torch.relu(self.conv(x)).mean((2, 3)))


class Reading(SearchSpace):
    name, description, Parameters, encoding, input_shape = "reading", "reads", Parameters, VectorEncoding([4, 4]), (3, 8, 8)
    reads = True

    def build(self, genotype: Genotype) -> nn.Module:
        return Rates(genotype[0], self.reads)

    def notation(self, genotype: Genotype) -> str:
        return f"{genotype[0]}-{genotype[1]}"

    def parse(self, text: str) -> Genotype:
        return tuple(map(int, text.split("-")))

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"conv.weight": (16, 3, 3, 3), "conv.bias": (16,), "linear.weight": (10, 16), "linear.bias": (10,)}


class Plain(Reading):
    name, reads = "plain", False


class Uncounted(Reading):
    name = "uncounted"

    def costs(self, genotype: Genotype, input_shape: Sequence[int] | None = None) -> Costs:
        raise KeyError("no counter")


class Undrawn(Reading):
    name = "undrawn"

    def drawing(self, genotype: Genotype) -> Any:
        raise IndexError("no edges")


@pytest.fixture(autouse=True)
def _spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    for space in (Reading, Plain, Uncounted, Undrawn):
        monkeypatch.setitem(SPACES._known, space.name, space)


def search(runs: Path, space: str, evaluator: Any = None, **changes: Any) -> Search:
    config = toy_config(runs, **{"space": space, "strategy": "random", "budget": {"evaluations": 5}, **changes})
    return Search(config, evaluator or InstantEvaluator(create_space(space)), quiet=True)


def test_a_network_that_cannot_be_on_the_meta_device_is_counted_on_the_cpu_to_the_same_numbers() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    found = create_space("reading").costs((1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert found == create_space("plain").costs((1, 2))
    assert found == Costs(params=CONV + LINEAR, flops=(CONV - 16) * 64 + 160)


def test_its_search_has_the_costs_in_the_report_and_takes_limits(tmp_path: Path) -> None:
    limits = {"proxies": {"naswot": {}}, "constraints": {"params": {"max": 1000}}}
    for fitness in ({"proxies": {"naswot": {}}}, limits):
        folder = search(tmp_path / str(len(fitness)), "reading", fitness=fitness).run().folder
        page = (folder / "report.html").read_text()
        assert "Left out" not in page and "618" in page


def test_costs_that_cannot_be_counted_are_left_out_of_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = search(tmp_path, "uncounted").run()
    assert result.counts["unique"] == 5
    page = (result.folder / "report.html").read_text()
    assert "parameters and FLOPs: KeyError" in page and f"rbflex-evo report {result.folder}" in page
    assert "report.html is without parameters and FLOPs: KeyError" in capsys.readouterr().err


@pytest.mark.parametrize(
    "fitness",
    [
        {"proxies": {"naswot": {}}, "constraints": {"params": {"max": 1000}}},
        {"proxies": {"naswot": {}}, "constraints": {"flops": {"max": 1000}, "handling": "deb"}},
        {"proxies": {"naswot": {}}, "objective": {"pareto": ["naswot", {"minimise": "params"}]}},
    ],
)
def test_limits_that_cannot_be_counted_are_an_error_before_the_first_evaluation(tmp_path: Path, fitness: dict[str, Any]) -> None:
    evaluator = InstantEvaluator(create_space("uncounted"))
    with pytest.raises(ConfigError, match=r"cannot be counted in the space uncounted \(KeyError: .*override costs\(\)"):
        search(tmp_path, "uncounted", evaluator, fitness=fitness).run()
    assert evaluator.asked == []


def test_a_metric_that_fails_on_one_candidate_fails_that_candidate() -> None:
    class Picky(Metric):
        name = "picky"

        def cost(self, architecture: Any) -> float:
            if architecture.genotype[0] == 3:
                raise ZeroDivisionError("a gene of 3")
            return 1.0

    space = create_space("plain")
    book = CostBook([Picky(Parameters(), space)], space, space.parse)
    book.check((0, 0))
    assert book.look("0-0") == ({"picky": 1.0}, {})
    assert book.look("3-0") == ({}, {"picky": "picky cannot be counted: ZeroDivisionError: a gene of 3"})
    with pytest.raises(ConfigError, match="ZeroDivisionError"):
        book.check((3, 0))
    assert issubclass(CandidateFailed, Exception)


def test_a_drawing_that_fails_is_left_out(tmp_path: Path) -> None:
    page = (search(tmp_path, "undrawn").run().folder / "report.html").read_text()
    assert "the drawing of the architecture: IndexError: no edges" in page and "Found architecture" in page


def test_a_notation_that_fails_is_replaced_by_the_genes_and_the_reason() -> None:
    class Unwritten(Reading):
        def notation(self, genotype: Genotype) -> str:
            raise TypeError("no letters")

    assert notation_of(Unwritten(), (1, 2)) == "genotype [1, 2] (its notation failed: TypeError: no letters)"


def test_figures_that_cannot_be_drawn_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fontless(*_: Any, **__: Any) -> None:
        raise FileNotFoundError("no font folder")

    with monkeypatch.context() as patches:
        patches.setattr(Figure, "savefig", fontless)
        result = search(tmp_path, "plain").run()
    page = (result.folder / "report.html").read_text()
    assert "the curves of the search: FileNotFoundError: no font folder" in page
    assert result.best is not None and result.best.notation in page.replace("<wbr>", "")
    assert "Left out" not in write_report(result.folder).read_text()


def test_a_report_that_cannot_be_written_leaves_the_result_and_says_how_to_get_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = search(tmp_path, "toy")
    running = one.open()
    (one.config.folder / "report.html" / "in the way").mkdir(parents=True)
    while not running.finished:
        running.tell(running.evaluate(running.ask()))
    result = running.result()
    assert result.counts["unique"] == 5 and (result.folder / "result.json").is_file()
    err = capsys.readouterr().err
    assert "no report was written" in err and f"get it with: rbflex-evo report {result.folder}" in err
    assert dict(summary(result))["report"] == f"not written; write it with: rbflex-evo report {result.folder}"
    assert run(["report", str(result.folder)]) == 2
    assert "report.html cannot be written: Is a directory" in capsys.readouterr().err


def test_a_drawing_or_a_program_that_fails_leaves_the_exported_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unsupported(*_: Any, **__: Any) -> None:
        raise NotImplementedError("an operation without a program")

    monkeypatch.setattr(torch.export, "export", unsupported)
    (done,) = search(tmp_path, "undrawn").run().export(program=True)
    assert {path.name for path in done.folder.iterdir()} == {"state_dict.pt", "architecture.json", "README.md"}
    assert "architecture.png" not in (done.folder / "README.md").read_text()
    err = capsys.readouterr().err
    assert "no drawing was written: IndexError: no edges" in err
    assert "no torch.export program was written: NotImplementedError: an operation without a program" in err


class Vanishing(InstantEvaluator):
    """Removes a file while it measures."""

    def __init__(self, file: Path) -> None:
        super().__init__(create_space("plain"))
        self.file = file

    def evaluate(self, pairs: Sequence[tuple[str, Genotype]]) -> Iterator[Evaluation]:
        self.file.unlink(missing_ok=True)
        yield from super().evaluate(pairs)


def test_a_table_that_vanished_since_the_start_leaves_the_result_and_is_added_by_resuming(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "known.csv"
    text = "notation,accuracy\n" + "".join(f"{a}-{b},{50 + a + b}\n" for a in range(4) for b in range(4))
    file.write_text(text)
    changes = {"table": {"source": "csv", "path": str(file), "dataset": "known"}}
    result = search(tmp_path, "plain", Vanishing(file), **changes).run()
    assert result.counts["unique"] == 5
    if result.table is None:
        assert f"get it with: rbflex-evo resume {result.folder}" in capsys.readouterr().err
    assert "could not be read" in (result.folder / "report.html").read_text()
    assert search(tmp_path, "plain", **changes).run().counts == result.counts
    file.write_text(text)
    table = search(tmp_path, "plain", **changes).run().table
    assert table is not None and table.best == 56


def test_a_finished_run_whose_journal_lost_its_end_says_so_everywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = search(tmp_path, "toy", InstantEvaluator(create_space("toy"))).run()
    journal = result.folder / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-2]))
    for command in (["resume"], ["report"], ["explain"], ["export"], ["resume", "--budget", "evaluations=9"]):
        assert run([command[0], str(result.folder), *command[1:]]) == 2
        err = capsys.readouterr().err
        assert "journal.jsonl lost its end: it holds 3 evaluations, but result.json has 5" in err
        assert len(err.splitlines()) == 2 and f"rbflex-evo resume {result.folder}" in err
    (result.folder / "result.json").unlink()
    again = search(tmp_path, "toy", InstantEvaluator(create_space("toy"))).run()
    assert [e.key for e in read_journal(journal).evaluations] and again.counts["unique"] == 5


def test_a_configuration_that_lost_its_last_keys_is_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = search(tmp_path, "toy", InstantEvaluator(create_space("toy"))).run()
    path = result.folder / "config.yaml"
    lines = path.read_text().splitlines(keepends=True)
    for kept in range(3, len(lines)):
        path.write_text("".join(lines[:kept]))
        assert run(["resume", str(result.folder)]) == 2
        assert "config.yaml is damaged: " in capsys.readouterr().err
    path.write_text("".join(lines))
    assert run(["resume", str(result.folder)]) == 0
    # A configuration of an earlier version has neither the first nor the last line.
    path.write_text("".join(lines[1:-1]))
    assert run(["resume", str(result.folder)]) == 0


def test_a_run_without_a_journal_says_so_everywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = search(tmp_path, "toy", InstantEvaluator(create_space("toy"))).run()
    (result.folder / "journal.jsonl").unlink()
    for command in ("resume", "report", "explain", "export"):
        assert run([command, str(result.folder)]) == 2
        assert "journal.jsonl is missing, and nothing else has the evaluations of the run" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders here")
def test_a_pipe_in_place_of_a_journal_is_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = search(tmp_path, "toy", InstantEvaluator(create_space("toy"))).run()
    (result.folder / "journal.jsonl").unlink()
    os.mkfifo(result.folder / "journal.jsonl")
    assert run(["resume", str(result.folder)]) == 2
    assert "journal.jsonl is no regular file" in capsys.readouterr().err


def test_a_finished_run_whose_configuration_was_edited_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = search(tmp_path, "toy", InstantEvaluator(create_space("toy"))).run()
    path = result.folder / "config.yaml"
    path.write_text(path.read_text().replace("evaluations: 5", "evaluations: 50"))
    assert run(["resume", str(result.folder)]) == 2
    assert "if config.yaml was edited, undo that; another budget: rbflex-evo resume" in capsys.readouterr().err
