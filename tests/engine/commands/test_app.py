"""The commands: what they print, their exit codes, and one or two lines for whatever a user may get wrong."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rbflex_evo.engine.commands.app import run
from rbflex_evo.engine.configuration.config import as_values
from rbflex_evo.fitness.measuring.cache import StatisticsCache
from rbflex_evo.spaces import create_space
from tests.support.instant import instant_search, toy_config

Write = Callable[..., str]
CELL = "skip+conv3|conv1+skip|skip+conv1"


@pytest.fixture
def config(tmp_path: Path) -> Write:
    """Writes a small, runnable configuration with changes and returns its path."""

    def write(**changes: Any) -> str:
        small: dict[str, Any] = {"space": "toy", "budget": {"evaluations": 4}, "strategy": "random"}
        values = as_values(toy_config(tmp_path / "runs")) | small | changes
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(values))
        return str(path)

    return write


def fails(capsys: pytest.CaptureFixture[str], arguments: list[str], *parts: str) -> None:
    """Runs a command that must end with code 2 and one or two lines that hold `parts`."""
    capsys.readouterr()
    code = run(arguments)
    out, err = capsys.readouterr()
    assert (code, out) == (2, ""), err
    assert err.startswith("error: ") and "Traceback" not in err
    assert len(err.strip().splitlines()) <= 2, err
    for part in parts:
        assert part in err


def test_a_search_prints_what_it_found_and_can_be_asked_again(
    config: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config()
    assert run(["search", path]) == 0
    first = capsys.readouterr().out
    assert [line.split()[0] for line in first.splitlines()] == ["found", "scores", "stopped", "report"]
    assert "the budget of 4 evaluations is spent (4 evaluated" in first
    assert (tmp_path / "runs" / "run" / "report.html").exists()
    assert run(["search", path]) == 0
    assert capsys.readouterr().out == first
    folder = tmp_path / "runs" / "run"
    assert run(["resume", str(folder)]) == 0
    assert capsys.readouterr().out == f"{first}go on      rbflex-evo resume {folder} --budget evaluations=N (more than 4)\n"
    assert run(["search", path, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["counts"]["unique"] == 4 and document["folder"] == str(tmp_path / "runs" / "run")


def test_a_search_with_a_table_prints_its_facts(config: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = create_space("toy")
    rows = [f"{space.notation(g)},{i / 50}" for i, g in enumerate(space.encoding.enumerate())]
    (tmp_path / "known.csv").write_text("\n".join(["notation,accuracy", *rows]))
    assert run(["search", config(table={"source": "csv", "path": str(tmp_path / "known.csv")})]) == 0
    out = capsys.readouterr().out
    assert "accuracy" in out and "% of the table" in out
    assert "best 81.90 % (conv3+conv3|conv3+conv3|conv3+conv3), mean 40.95 %" in out


def test_a_run_that_was_stopped_is_resumed_by_its_folder(config: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = config(budget={"evaluations": 6})
    assert run(["search", path]) == 0
    capsys.readouterr()
    folder = tmp_path / "runs" / "run"
    whole = (folder / "journal.jsonl").read_bytes()
    (folder / "journal.jsonl").write_bytes(b"".join(whole.splitlines(keepends=True)[:4]))
    (folder / "result.json").unlink()
    assert run(["resume", str(folder)]) == 0
    out, err = capsys.readouterr()
    assert "6 evaluated" in out and "it is ahead of the journal" in err
    strip = [{k: v for k, v in json.loads(line).items() if not k.startswith("time_")} for line in whole.splitlines()]
    again = (folder / "journal.jsonl").read_bytes().splitlines()
    assert [{k: v for k, v in json.loads(line).items() if not k.startswith("time_")} for line in again] == strip


def test_a_report_can_be_written_of_an_unfinished_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = instant_search(toy_config(tmp_path))[0].run().folder
    (folder / "result.json").unlink()
    assert run(["report", str(folder)]) == 0
    assert capsys.readouterr().out.strip() == str(folder / "report.html")


def test_an_estimate_measures_three_candidates_and_begins_no_run(
    config: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["search", config(), "--estimate"]) == 0
    assert "median of 3" in capsys.readouterr().out
    assert run(["search", config(), "--estimate", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["evaluations"] == 4 and found["workers"] == 1
    assert found["seconds"] == pytest.approx(4 * found["candidate_seconds"] + found["preparation_seconds"])
    assert found["fleet"] is None and not (tmp_path / "runs").exists()


def test_an_estimate_for_many_workers_says_how_many_the_strategy_keeps_busy(
    config: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many = [
        "search",
        config(),
        "--estimate",
        "--set",
        "workers=500",
        "--set",
        "strategy={name: genetic, population: 50}",
        "--set",
        "budget.evaluations=400",
    ]
    assert run(many) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "strategy   offers at most 50 candidates at a time; 450 of 500 workers are of no use" in lines
    assert [line.split()[0] for line in lines] == ["candidate", "gammas", "strategy", "workers", "network", "search", "memory"]
    assert run([*many, "--json", "--set", "strategy={name: random, batch: 200}"]) == 0
    found = json.loads(capsys.readouterr().out)
    fleet = found["fleet"]
    assert found["workers"] == 500 and fleet["offered"] == 400 and 50 < fleet["busy"] <= 400
    assert fleet["sent"] > 0 and fleet["returned"] > 0 and 0 < fleet["own_seconds"] < 1
    assert found["seconds"] == pytest.approx(found["preparation_seconds"] + 400 / fleet["per_second"])
    assert not (tmp_path / "runs").exists()


def test_score_prints_each_score(capsys: pytest.CaptureFixture[str]) -> None:
    proxies = ["--proxy", "naswot", "--proxy", "synflow", "--set", "cache=off"]
    assert run(["score", "toy", CELL, *proxies]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == CELL and [line.split()[0] for line in lines[1:]] == ["naswot", "synflow"]
    assert run(["score", "toy", CELL, *proxies, "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    assert [f"{scores[line.split()[0]]:g}" for line in lines[1:]] == [line.split()[1] for line in lines[1:]]


@pytest.mark.parametrize(
    ("space", "given", "first"),
    [
        ("nats_tss", "9", "|avg_pool_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"),
        (
            "nasbench201",
            "naslib:(4, 0, 3, 1, 4, 3)",
            "|avg_pool_3x3~0|+|skip_connect~0|none~1|+|nor_conv_1x1~0|avg_pool_3x3~1|nor_conv_1x1~2|",
        ),
        ("nats_sss", "32767", "64:64:64:64:64"),
        ("toy", "genes:[3, 1, 0, 2, 1, 1]", "conv3+skip|zero+conv1|skip+skip"),
    ],
)
def test_score_reads_what_other_projects_print(space: str, given: str, first: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["score", space, given, "--proxy", "params", "--set", "cache=off"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == first


def test_a_tuple_that_may_be_read_in_two_ways_is_read_with_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["score", "nats_tss", "(3, 3, 3, 1, 3, 2)", "--proxy", "params", "--set", "cache=off"]) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("warning: a tuple is read as the operation indices of NASLib, not as genes")
    fails(capsys, ["score", "nats_tss", "[3, 3, 3, 1, 3, 2]"], "write 'naslib:[3, 3, 3, 1, 3, 2]' or 'genes:[3, 3, 3, 1, 3, 2]'")


def test_scores_stand_below_each_other_however_long_their_names_are(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["naswot", "az_progressivity"]
    assert run(["score", "toy", CELL, *(f"--proxy={name}" for name in names), "--set", "cache=off"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == names
    assert {line.index(line.split()[1]) for line in lines} == {len("az_progressivity") + 1}


def test_score_of_a_random_architecture_depends_on_the_seed_alone(capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for seed in ("1", "1", "2"):
        assert run(["score", "toy", "random", "--proxy", "naswot", "--seed", seed, "--set", "cache=off"]) in (0, 1)
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] != printed[2]


def test_score_of_a_dead_network_says_why_and_exits_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["score", "toy", "zero+zero|zero+zero|zero+zero", "--proxy", "naswot", "--set", "cache=off"]) == 1
    assert "naswot     failed: " in capsys.readouterr().out


def test_gammas_are_printed_by_proxy(config: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = config(fitness={"proxies": {"rbflex": {"networks": 5}}})
    assert run(["gammas", path, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["rbflex"] and all(value > 0 for value in found["rbflex"].values())
    assert run(["gammas", config(fitness={"proxies": {"naswot": {}}})]) == 0
    assert "detects anything" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("spaces", "nats_tss"),
        ("proxies", "rbflex"),
        ("strategies", "genetic"),
        ("tables", "nats_bench"),
        ("sources", "noise"),
    ],
)
def test_list_names_everything_with_its_parameters(kind: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", kind]) == 0
    text = capsys.readouterr().out
    assert name in text and ("rbflex [forward]: " in text) == (kind == "proxies")
    assert run(["list", kind, "--json"]) == 0
    entries = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert all(entry["description"] for entry in entries.values())
    assert name in entries
    if kind == "spaces":
        assert entries["nats_tss"]["size"] == 15625 and "[15,625 genotypes]" in text and "darts [1.08e+18 genotypes]" in text
        assert entries["nats_tss"]["features"] == "per_image" and entries["darts"]["features"] == "none"
        assert "round-off" in text
        assert entries["nats_tss"]["aliases"] == ["nas_bench_201", "nasbench201"]
        assert "also called nas_bench_201, nasbench201" in text
    if kind == "proxies":
        assert entries["rbflex"]["cost"] == "forward" and entries["params"]["cost"] == "data-free"


def test_the_cache_can_be_looked_at_pruned_and_verified(config: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache = str(tmp_path / "statistics.sqlite")
    assert run(["search", config(cache=cache)]) == 0
    capsys.readouterr()
    assert run(["cache", "info", "--path", cache, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] > 0
    assert run(["cache", "verify", "--path", cache]) == 0
    assert "0 were damaged" in capsys.readouterr().out
    assert run(["cache", "info", "--path", cache]) == 0
    assert re.search(r"^oldest_days +\d+\.\d\d$", capsys.readouterr().out, re.MULTILINE)
    assert run(["cache", "prune", "--path", cache]) == 0
    assert re.fullmatch(r"removed \d+ rows\n", capsys.readouterr().out)
    assert run(["cache", "info", "--path", cache]) == 0
    assert re.search(r"^oldest_days +–$", capsys.readouterr().out, re.MULTILINE)
    fails(capsys, ["cache", "info", "--path", str(tmp_path / "none")], "there is no cache at")


def test_what_became_of_the_cache_is_printed_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "statistics.sqlite"
    cache = StatisticsCache(path)
    cache.put((str(i), i) for i in range(3))
    cache.close()
    with contextlib.closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE statistics SET checksum = checksum + 1 WHERE key = '1'")
    assert run(["cache", "verify", "--path", str(path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"good": 2, "damaged": 1}
    assert run(["cache", "prune", "--path", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"removed": 2}


def test_a_damaged_cache_is_moved_aside_and_the_search_goes_on(
    config: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "statistics.sqlite"
    assert run(["search", config(cache=str(cache))]) == 0
    first = capsys.readouterr().out
    cache.write_bytes(cache.read_bytes()[:4096] + b"this is no database" * 100)
    assert run(["search", config(cache=str(cache)), "--set", "name=again"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[:2] == first.splitlines()[:2]
    assert err.startswith("warning: ") and "Traceback" not in err
    assert len(list(tmp_path.glob("statistics.sqlite*"))) >= 2


def test_what_can_be_wrong_with_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fails(capsys, ["search", str(tmp_path / "none.yaml")], "there is no configuration file")
    empty = tmp_path / "empty.yaml"
    empty.write_text("")
    fails(capsys, ["search", str(empty)], "is empty")
    empty.write_text("name: x\nspace: [")
    fails(capsys, ["search", str(empty)], "line 2: malformed YAML")


def test_what_can_be_wrong_with_names_types_and_ranges(config: Write, capsys: pytest.CaptureFixture[str]) -> None:
    for setting, part in [
        ("sede=1", "did you mean 'seed'"),
        ("space=tyo", "did you mean 'toy'"),
        ("strategy=gentic", "did you mean 'genetic'"),
        ("data.source=nosie", "did you mean 'noise'"),
        ("seed=one", "'seed'"),
        ("budget.evaluations=0", "'budget.evaluations'"),
        ("fitness.objective={score: naswto}", "did you mean 'naswot'"),
        ("seed", "--set takes key.sub=value"),
    ]:
        fails(capsys, ["search", config(), "--set", setting], part)


def test_what_can_be_wrong_with_data_device_and_table(config: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = str(tmp_path / "nowhere")
    fails(capsys, ["search", config(data={"source": "folder", "root": missing})], "nowhere")
    fails(capsys, ["search", config(data={"source": "cifar10", "root": missing})], "nowhere")
    (tmp_path / "images").mkdir()
    fails(capsys, ["search", config(data={"source": "folder", "root": str(tmp_path / "images")})], "images")
    fails(capsys, ["search", config(data={"source": "noise", "shape": [1, 8, 8]})], "[1, 8, 8]")
    fails(capsys, ["search", config(data={"source": "noise", "shape": [3, 8, 8], "n": 1})], "at least 2 inputs")
    fails(capsys, ["search", config(device="cuda:99")], "cuda:99")
    fails(capsys, ["search", config(table={"source": "csv", "path": missing})], "nowhere")
    fails(capsys, ["search", config(table={"source": "nats_bench", "path": missing})], "nats_bench")
    assert not (tmp_path / "runs" / "run").exists()


def test_a_table_of_another_space_is_refused_before_the_search(
    config: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "known.csv"
    table.write_text("notation,accuracy\n8:8:8:8:8,80.5\n")
    fails(capsys, ["search", config(table={"source": "csv", "path": str(table)})], "known.csv")
    assert not (tmp_path / "runs" / "run").exists()


def test_what_can_be_wrong_with_the_run_folder(config: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    fails(capsys, ["search", config(runs=str(tmp_path / "file"))], "cannot be written", "--set runs=")
    assert run(["search", config()]) == 0
    fails(capsys, ["search", config(seed=5)], "another configuration ('seed' is 0 there and 5 here); ", "--set name=")
    folder = tmp_path / "runs" / "run"
    journal = folder / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b'"key": "', b'"key": "x', 1))
    fails(capsys, ["search", config()], "line 2 is damaged: its checksum is wrong")
    fails(capsys, ["resume", str(folder)], "line 2 is damaged")
    fails(capsys, ["report", str(folder)], "line 2 is damaged")
    fails(capsys, ["resume", str(tmp_path / "nowhere")], "there is no run folder")
    fails(capsys, ["resume", str(tmp_path)], "no run's folder")


@pytest.mark.parametrize("ends_before", ["budget:", "strategy:", "name:"])
def test_a_configuration_that_was_cut_is_damaged_for_every_command(
    config: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str], ends_before: str
) -> None:
    folder = instant_search(toy_config(tmp_path))[0].run().folder
    own = folder / "config.yaml"
    text = own.read_text()
    own.write_text(text[: text.index(ends_before)])
    for command in ("resume", "report", "export", "explain"):
        expected = f"{own} is damaged: its end is lost, it has no line '# end'; restore the configuration that the run had"
        fails(capsys, [command, str(folder)], expected)
    fails(capsys, ["search", config(runs=str(tmp_path))], f"{own} is damaged")
    assert not (folder / "report.html").exists()


def test_what_can_be_wrong_with_an_architecture(capsys: pytest.CaptureFixture[str]) -> None:
    fails(capsys, ["score", "tyo", "random"], "unknown space 'tyo'; did you mean 'toy'")
    fails(capsys, ["score", "toy", "skip+cnv1"], "did you mean 'conv1'")
    fails(capsys, ["score", "toy", "random", "--proxy", "naswto"], "did you mean 'naswot'")


@pytest.mark.parametrize("arguments", [["serch"], ["search"], ["list", "space"], ["search", "a", "--sett", "b=1"]])
def test_wrong_usage_is_code_2_without_a_traceback(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_the_traceback_is_shown_only_when_it_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no configuration file"):
        run(["search", str(tmp_path / "none.yaml"), "--debug"])


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("rbflex-evo ")


HEAVY = ["torch", "scipy", "matplotlib", "deap", "nats_bench", "torchvision"]


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["search", "--help"], ["search", "none.yaml"], ["search", "CONFIG", "--set", "seed=x"], ["list", "spaces"]],
)
def test_help_and_errors_import_nothing_heavy(config: Write, arguments: list[str]) -> None:
    arguments = [config() if argument == "CONFIG" else argument for argument in arguments]
    program = (
        f"import sys; from rbflex_evo.engine.commands.app import run; run({arguments!r}); "
        f"print('heavy:', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"


def test_the_console_command_exits_with_the_code(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rbflex_evo", "search", str(tmp_path / "none.yaml")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stdout == ""


def test_an_interrupt_during_the_first_imports_is_one_line() -> None:
    program = (
        "import sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'pydantic': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "from rbflex_evo.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_help_lists_the_commands_by_use_with_whole_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    lines = capsys.readouterr().out.partition("Commands:\n")[2].splitlines()
    assert all(line.endswith(".") and not line.endswith("...") for line in lines)
    wanted = (
        "find search resume report watch score explain export optimum compare tabulate correlate gammas fidelity example list "
        "check latency cache"
    )
    assert [line.split()[0] for line in lines] == wanted.split()


def test_a_resumed_run_names_the_limit_that_ended_it(config: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["search", config(budget={"generations": 2})]) == 0
    folder = tmp_path / "runs" / "run"
    capsys.readouterr()
    assert run(["resume", str(folder)]) == 0
    assert capsys.readouterr().out.endswith(f"rbflex-evo resume {folder} --budget generations=N (more than 2)\n")


def test_a_run_may_have_a_number_as_its_name(config: Write, tmp_path: Path) -> None:
    assert run(["search", config(), "--set", "name=007"]) == 0
    assert (tmp_path / "runs" / "007" / "result.json").exists()
