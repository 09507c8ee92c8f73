"""What docs/guide/security.md states: files run no code, paths stay in the run's folder, pages escape what they show."""

from __future__ import annotations

import ast
import io
import pickle
import re
import sqlite3
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from rbflex_evo.engine.commands.app import run
from rbflex_evo.engine.configuration.config import load_config, load_scoring
from rbflex_evo.engine.explanation.explain import explain
from rbflex_evo.engine.export.exported import read_architecture
from rbflex_evo.engine.report.report import write_report
from rbflex_evo.engine.run.folder import replace_text
from rbflex_evo.engine.run.record import read_run
from rbflex_evo.engine.tabulation.score_table import read_scores
from rbflex_evo.fitness.data.batch import create_batch
from rbflex_evo.fitness.measuring.cache import StatisticsCache
from rbflex_evo.spaces import RbflexEvoError, create_space
from rbflex_evo.spaces.families.nafbee.bert_weights import read_weights
from rbflex_evo.spaces.families.nats_bench.analog_table import _analog_accuracies
from rbflex_evo.spaces.tables.table import create_table
from tests.support.live import ask, served
from tests.support.page import Page
from tests.support.runs import evaluations, write_run

ROOT = Path(__file__).parents[2]
SOURCES = [path for room in ("engine", "fitness", "spaces", "strategies", "rbflex_evo") for path in (ROOT / room).rglob("*.py")]
SEARCH = {"name": "x", "space": "toy", "fitness": {"proxies": {"naswot": {}}}, "budget": {"evaluations": 4}, "device": "cpu"}


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return (open, (str(self.mark), "w"))


def pickled(payload: Payload) -> bytes:
    return pickle.dumps({"data": payload, "labels": [0]})


def torch_file(payload: Payload) -> bytes:
    buffer = io.BytesIO()
    torch.save({"array": payload}, buffer)
    return buffer.getvalue()


def npy(payload: Payload) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([payload], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def npz(payload: Payload) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("arch_str", "cifar10", "images", "space", "key", "notation", "row", "architecture"):
            archive.writestr(f"{name}.npy", npy(payload))
    return buffer.getvalue()


def cifar(folder: Path) -> object:
    (folder / "cifar-10-batches-py").mkdir()
    for number in range(1, 6):
        (folder / "cifar-10-batches-py" / f"data_batch_{number}").write_bytes((folder / "file").read_bytes())
    return create_batch("cifar10", root=str(folder), n=1)


def renamed(folder: Path, name: str) -> str:
    return str((folder / "file").rename(folder / name))


READERS: dict[str, tuple[Callable[[Payload], bytes], Callable[[Path], object]]] = {
    "cifar10": (pickled, cifar),
    "images .npz": (npz, lambda f: create_batch("file", path=renamed(f, "a.npz"), array="images", n=1)),
    "images .npy": (npy, lambda f: create_batch("file", path=renamed(f, "a.npy"), n=1)),
    "images .pt": (torch_file, lambda f: create_batch("file", path=renamed(f, "a.pt"), n=1)),
    "images .pt, pickled": (pickled, lambda f: create_batch("file", path=renamed(f, "a.pt"), n=1)),
    "table .npz": (npz, lambda f: create_table("npz", create_space("nats_tss"), path=renamed(f, "a.npz"), accuracy="cifar10")),
    "table .pth": (torch_file, lambda f: create_table("transnas101", create_space("transnas_micro"), path=renamed(f, "a.pth"))),
    "scores": (npz, lambda f: read_scores(Path(renamed(f, "scores.npz")))),
    "bert weights": (torch_file, lambda f: read_weights(renamed(f, "a.bin"), torch.nn.Linear(1, 1), "all")),
    "analog-nasbench": (pickled, lambda f: _analog_accuracies(Path(renamed(f, "data.anb")))),
    "exported network": (pickled, lambda f: (renamed(f, "architecture.json"), read_architecture(f))),
}


@pytest.mark.parametrize("reader", READERS)
def test_no_reader_runs_code_of_a_file(reader: str, tmp_path: Path) -> None:
    make, read = READERS[reader]
    mark = tmp_path / "executed"
    (tmp_path / "file").write_bytes(make(Payload(mark)))
    with pytest.raises(RbflexEvoError):
        read(tmp_path)
    assert not mark.exists()


def calls(path: Path) -> list[tuple[str, ast.Call]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [(ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


def test_no_source_loads_pickles_or_yaml_or_evaluates_text_without_care() -> None:
    """Also of readers that somebody adds later."""
    for path in SOURCES:
        for name, call in calls(path):
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            if name == "np.load":
                assert given.get("allow_pickle") == "False", path
            if name == "torch.load":
                assert given.get("weights_only") == "True", path
            if name in ("yaml.load", "yaml.load_all"):
                assert given.get("Loader") == "_Loader", path
            ours = ("workers.py", "checking.py", "processes.py", "gateway.py", "ray.py", "station.py")
            if name in ("pickle.load", "pickle.loads") and path.name not in ours:
                # Between our own processes, from workers of a Ray cluster, and of an object that was just pickled.
                pytest.fail(f"{path} unpickles")
            assert name not in ("eval", "exec", "os.system", "joblib.load"), path
            assert given.get("shell") != "True", path


NAMES = ["../x", "..", "/tmp/x", "a/b", "a\\b", ".hidden", "", "x\n", "x\x00", "~"]


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_a_run_cannot_leave_its_folder(name: str, tmp_path: Path) -> None:
    config = tmp_path / "search.yaml"
    config.write_text(yaml.safe_dump({**SEARCH, "name": name, "runs": str(tmp_path / "runs")}))
    with pytest.raises(RbflexEvoError, match="name"):
        load_config(config)


def test_the_folder_that_is_given_is_used_whatever_its_configuration_names(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "received", evaluations(), table=False, runs=str(tmp_path / "elsewhere"), name="../other")
    assert write_report(folder) == folder / "report.html"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["received"]


def test_links_in_the_folder_of_a_run_are_replaced_and_not_followed(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.write_text("untouched")
    folder = write_run(tmp_path / "run", evaluations(), table=False)
    write_report(folder)
    pictures = [path.name for path in folder.glob("*.png")]
    for name in ("report.html", ".report.html.new", *pictures):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(private)
    write_report(folder)
    assert pictures and private.read_text() == "untouched"
    assert not any((folder / name).is_symlink() for name in ("report.html", *pictures))


@pytest.mark.parametrize("name", ["snapshot.json", "config.yaml", "result.json"])
def test_a_file_is_replaced_also_where_its_draft_is_a_link(name: str, tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.write_text("untouched")
    (tmp_path / f".{name}.new").symlink_to(private)
    replace_text(tmp_path / name, "content")
    assert (private.read_text(), (tmp_path / name).read_text()) == ("untouched", "content")


MODULE = "named_by_a_run_folder"
CODE = f"{MODULE}:Thing"
NAMED = {
    "space": {"space": CODE},
    "space by a path": {"space": f"./{MODULE}.py:Thing"},
    "strategy": {"strategy": {"name": CODE}},
    "score": {"fitness": {"proxies": {CODE: {}}}},
    "data": {"data": {"source": CODE}},
    "table": {"table": {"source": CODE}},
    "python tag": {"strategy": {"name": f"!!python/name:{MODULE}.Thing"}},
}


@pytest.mark.parametrize("what", NAMED)
def test_commands_that_read_import_no_code_that_a_run_folder_names(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_run(tmp_path / "run", evaluations(), table=False)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump({**config, **NAMED[what]}))
    for place in (folder, tmp_path):
        (place / f"{MODULE}.py").write_text("import pathlib; pathlib.Path('executed').touch(); Thing = object")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    for command in (["report", "."], ["explain", "."], ["list", "spaces"]):
        run(command)
    assert "Traceback" not in capsys.readouterr().err
    assert MODULE not in sys.modules
    assert not list(tmp_path.rglob("executed"))


@pytest.mark.parametrize("of", ["limit", "objective"])
def test_only_a_search_runs_the_command_of_a_latency(of: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    marker = tmp_path / "executed"
    command = {"command": [sys.executable, "-c", f"open({str(marker)!r}, 'w').close(); print(1.5)", "{torch}"]}
    folder = write_run(tmp_path / "run", evaluations(), table=False)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    name = next(iter(config["fitness"]["proxies"]))
    changes = {
        "limit": {"constraints": {"latency": {"max": 9.0, **command}}},
        "objective": {"objective": {"pareto": [name, {"minimise": "latency", **command}]}},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump({**config, "fitness": {**config["fitness"], **changes[of]}}))
    for words in (["report", str(folder)], ["explain", str(folder)], ["export", str(folder)], ["list", "metrics"]):
        run(words)
    assert "Traceback" not in capsys.readouterr().err and not marker.exists()


def test_the_page_of_a_comparison_imports_no_code_that_its_configuration_names(tmp_path: Path) -> None:
    config = tmp_path / "compare.yaml"
    config.write_text(yaml.safe_dump({**SEARCH, "compare": {"strategies": [CODE, "random"], "seeds": 2}}))
    (tmp_path / f"{MODULE}.py").write_text("raise SystemExit")
    with pytest.raises(RbflexEvoError, match="unknown strategy"):
        load_config(config).plan()
    assert MODULE not in sys.modules


def test_a_yaml_tag_of_python_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "search.yaml"
    for tag in ("!!python/object/apply:os.system ['touch executed']", "!!python/name:os.system", "!!python/module:os"):
        config.write_text(f"name: {tag}")
        with pytest.raises(RbflexEvoError, match="malformed YAML"):
            load_config(config)


NINE = [", ".join([f"*a{level}"] * 9) for level in range(9)]
LAUGHS = "\n".join(["a0: &a0 [x, x, x, x, x, x, x, x, x]", *(f"a{i + 1}: &a{i + 1} [{nine}]" for i, nine in enumerate(NINE))])
BOMBS = {
    "billion laughs": LAUGHS + "\n",
    "in a section": LAUGHS + "\nname: x\nspace: *a9\n",
    "of mappings": "\n".join(["a0: &a0 {x: y}", *(f"a{i}: &a{i} {{p: *a{i - 1}, q: *a{i - 1}}}" for i in range(1, 40))]),
    "merged": "\n".join(["a0: &a0 {x: y}", *(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}" for i in range(1, 30))]),
    "recursive": "a: &a [*a]\nname: *a\n",
    "deep": "[" * 20_000,
    "long number": "seed: 1" + "0" * 6000,
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("load", [load_config, load_scoring])
def test_a_bomb_of_yaml_is_refused_in_one_line(bomb: str, load: Callable[[Path], object], tmp_path: Path) -> None:
    config = tmp_path / "bomb.yaml"
    config.write_text(BOMBS[bomb])
    with pytest.raises(RbflexEvoError) as refused:
        load(config)
    assert len(str(refused.value)) < 500


@pytest.mark.timeout(20)
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_in_a_run_folder_is_refused_in_one_line(bomb: str, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", evaluations(), table=False)
    (folder / "config.yaml").write_text(BOMBS[bomb])
    with pytest.raises(RbflexEvoError) as refused:
        read_run(folder)
    assert len(str(refused.value)) < 700


EVIL = "<script>alert(1)</script>&'\""


def test_a_report_escapes_all_that_it_shows(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", evaluations(), table=False, name=EVIL, strategy={"name": EVIL}, warm_start=[EVIL])
    page = Page(write_report(folder))
    assert "<script>alert" not in page.html
    assert "&lt;script&gt;alert" in page.html


def test_every_page_is_rendered_with_escapes() -> None:
    environments = [(path, call) for path in SOURCES for name, call in calls(path) if name.rpartition(".")[2] == "Environment"]
    assert environments
    for path, call in environments:
        assert {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}.get("autoescape") == "True", path
    raw = {
        filtered
        for template in (ROOT / "engine").rglob("*.j2")
        for line in template.read_text(encoding="utf-8").splitlines()
        for filtered in re.findall(r"[\w.]+ *\| *safe|autoescape", line)
    }
    # Figures are SVG that matplotlib wrote, which escapes its texts.
    assert raw == {
        "found.figure.svg | safe",
        "figure.svg | safe",
        "part.standing.svg | safe",
        "shown.svg | safe",
        "diagram.svg | safe",
    }


@pytest.mark.parametrize("text", [EVIL, "$\\frac{$", "$x$ $", "\\alpha", "%s {0}"])
def test_names_in_figures_are_texts(text: str, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", evaluations(), table=True)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["table"]["dataset"] = text
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert "<script>alert" not in write_report(folder).read_text(encoding="utf-8")


def test_the_watched_page_is_for_this_machine_and_for_reading_only(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", evaluations(), table=False)
    before = sorted(path.name for path in folder.iterdir())
    with served(folder) as server:
        assert server.server_address[0] == "127.0.0.1"
        assert ask(server, "/")[0] == 200
        assert ask(server, "/", Host=f"evil.example:{server.server_port}")[0] == 403
        assert {ask(server, path)[0] for path in ("/config.yaml", "/../config.yaml", "/%2e%2e/config.yaml")} == {404}
        assert {ask(server, "/", method)[0] for method in ("POST", "PUT", "DELETE")} == {501}
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_cache_holds_numbers_and_json_only(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    path = tmp_path / "cache.sqlite"
    StatisticsCache(path).close()
    blob = pickle.dumps(Payload(mark))
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO statistics VALUES ('k', ?, ?, 0.0)", (blob, zlib.crc32(blob)))
    connection.commit()
    connection.close()
    cache = StatisticsCache(path)
    with pytest.raises(Exception):  # noqa: B017, PT011 (any: a forged row may fail, but it is not executed)
        cache.get("k")
    assert not mark.exists()


def test_explain_measures_only_what_is_registered(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", evaluations(), table=False, space=CODE)
    with pytest.raises(RbflexEvoError, match="unknown space"):
        explain(folder, quiet=True)
