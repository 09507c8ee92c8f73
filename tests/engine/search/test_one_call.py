"""`search` is a configuration in one call: the same journal as from YAML, the same errors, and never the result of other code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from rbflex_evo import Choices, Search, search
from rbflex_evo.engine import load_network
from rbflex_evo.engine.commands.app import run
from rbflex_evo.engine.search.one_call import configured
from rbflex_evo.spaces import SPACES, ConfigError, RbflexEvoError, RunError, SearchSpace, UnknownNameError, create_space
from tests.support.instant import journal_without_times
from tests.support.perilous import Perilous

CHOICES: dict[str, Any] = {"depth": [1, 2, 3], "width": [4, 8], "act": ["relu", "gelu"]}
SLOPE = [0.1]


def build(depth: int, width: int, act: str) -> nn.Module:
    layers: list[nn.Module] = []
    channels = 3
    for _ in range(depth):
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.LeakyReLU(SLOPE[0]) if act == "relu" else nn.GELU()]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def space(function: Any = build, **more: Any) -> SearchSpace:
    return Choices(function, **CHOICES, input_shape=(3, 8, 8), **more)


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """Settings with which a search takes no time."""
    return {
        "data": {"source": "noise", "shape": [3, 8, 8], "n": 4},
        "proxies": "naswot",
        "strategy": {"name": "genetic", "population": 4},
        "runs": str(tmp_path),
        "cache": "off",
        "workers": 1,
        "device": "cpu",
        "quiet": True,
        "report": False,
    }


def test_a_call_and_a_file_give_the_same_journal(settings: dict[str, Any], tmp_path: Path) -> None:
    called = search(space(), limits={"params": 900}, evaluations=6, name="called", **settings)
    values = {
        "name": "named",
        "space": {"name": "choices", "build": f"{__name__}:build", "input_shape": [3, 8, 8], "choices": CHOICES},
        "data": settings["data"],
        "fitness": {"objective": "naswot", "constraints": {"params": {"max": 900}}},
        "strategy": settings["strategy"],
        "budget": {"evaluations": 6},
        **{name: settings[name] for name in ("runs", "cache", "workers", "device")},
    }
    (tmp_path / "named.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    named = Search.from_yaml(tmp_path / "named.yaml", quiet=True).run()
    assert journal_without_times(called.folder) == journal_without_times(named.folder)
    assert called.best == named.best
    assert all(costs <= 900 for costs in (each.costs["params"] for each in called.top(6)))
    # Whichever began the run, the other gives its result.
    assert search(space(), limits={"params": 900}, evaluations=6, name="named", **settings).best == named.best


def test_calling_again_gives_the_result_and_goes_on_with_what_was_stopped(settings: dict[str, Any], tmp_path: Path) -> None:
    first = search(space(), evaluations=6, **settings)
    assert first.folder == tmp_path / "choices"
    whole = journal_without_times(first.folder)
    assert search(space(), evaluations=6, **settings).best == first.best
    path = first.folder / "journal.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:4]))
    for name in ("result.json", "snapshot.json"):
        (first.folder / name).unlink(missing_ok=True)
    assert search(space(), evaluations=6, **settings).best == first.best
    assert journal_without_times(first.folder) == whole
    with pytest.raises(RunError, match=r"holds a run with another budget .*give this one another name \(name=\.\.\.\)"):
        search(space(), evaluations=7, **settings)


def test_a_finished_run_whose_code_has_changed_says_so(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    search(space(), evaluations=3, **settings)
    monkeypatch.setattr(sys.modules[__name__], "SLOPE", [0.4])
    with pytest.raises(
        RunError, match=r"^the code of space 'choices' has changed since .* began; restore it, or .*\(name=\.\.\.\)"
    ):
        search(space(), evaluations=3, **settings)
    monkeypatch.undo()
    assert search(space(), evaluations=3, **settings).best is not None


def test_a_function_that_is_not_stored_is_handed_in_again(
    settings: dict[str, Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    slope = [0.2]

    def local(depth: int, width: int, act: str) -> nn.Module:
        return build(depth, width, act).append(nn.LeakyReLU(slope[0]))

    result = search(space(local), evaluations=4, **{**settings, "report": True})
    assert (result.folder / "report.html").exists() and "Left out" not in (result.folder / "report.html").read_text()
    text = (result.folder / "config.yaml").read_text()
    assert "test_one_call:test_a_function_that_is_not_stored_is_handed_in_again.<locals>.local" in text
    assert {path.name for path in result.folder.iterdir() if b"LeakyReLU" in path.read_bytes()} == set()
    assert run(["resume", str(result.folder)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "is never stored; hand it in again: call search(...) as before" in line
    assert run(["report", str(result.folder)]) == 0
    longer = Search.from_folder(result.folder, space=space(local), budget={"evaluations": 6}, quiet=True).run()
    assert longer.counts["unique"] == 6
    with pytest.raises(ConfigError, match="another one than that of the configuration: its 'forbidden' is"):
        Search.from_folder(result.folder, space=space(local, forbidden="depth == 3"))
    (done,) = longer.export(program=True)
    assert "local is a function of" in (done.folder / "README.md").read_text()
    with pytest.raises(ConfigError, match="is never stored"):
        load_network(done.folder)
    again, wanted = load_network(done.folder, space=space(local)), longer.network()
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), wanted.parameters(), strict=True))


def test_an_exported_network_is_built_without_this_package(settings: dict[str, Any], tmp_path: Path) -> None:
    result = search(space(), evaluations=3, **settings)
    (done,) = result.export()
    page = (done.folder / "README.md").read_text()
    code = page.split("To build it without rbflex-evo:")[1].split("```")[1].removeprefix("python\n")
    assert f"from {__name__} import build" in code and "rbflex_evo" not in code
    values: dict[str, Any] = {}
    exec(code.replace('"state_dict.pt"', repr(str(done.folder / "state_dict.pt"))), values)
    network = load_network(done.folder)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), values["network"].parameters(), strict=True))


def test_any_space_is_searched(settings: dict[str, Any]) -> None:
    toy = {"name": "toy", "genes": 4, "choices": 3}
    named = search(toy, evaluations=4, name="named", **settings)
    made = search(create_space("toy", genes=4, choices=3), evaluations=4, name="made", **settings)
    assert journal_without_times(named.folder) == journal_without_times(made.folder)
    assert search("toy", evaluations=2, **settings).folder.name == "toy"


def test_a_space_that_only_the_program_knows_is_searched_and_may_be_defined_again(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(SPACES._known, "perilous", raising=False)
    mine = Perilous(Perilous.Parameters(fate="none"))
    assert search(mine, evaluations=2, **settings).folder.name == "perilous"
    again = type("Perilous", (Perilous,), {"__module__": Perilous.__module__, "__qualname__": "Perilous"})
    assert search(again(Perilous.Parameters(fate="none")), evaluations=2, name="again", **settings).best is not None
    other = type("Other", (Perilous,), {})
    with pytest.raises(ConfigError, match=r"space 'perilous' is already registered as .*; give your space another 'name'"):
        search(other(Perilous.Parameters(fate="none")), **settings)
    del SPACES._known["perilous"]


def test_a_small_space_has_gammas_and_what_its_networks_do_not_take_is_said_before(settings: dict[str, Any]) -> None:
    few = {"depth": [1, 2], "width": [4], "act": ["relu"]}
    result = search(Choices(build, **few, input_shape=(3, 8, 8)), **{**settings, "proxies": "rbflex"}, name="few")
    assert result.counts["unique"] == 2 and result.counts["failed"] == 0
    for wrong, reason in (({"input_shape": (4, 8, 8)}, "'space.input_shape'"), ({"classifier": "head"}, "'space.classifier'")):
        shape: Any = wrong.get("input_shape", (3, 8, 8))
        data = {"source": "noise", "shape": list(shape), "n": 4}
        with pytest.raises(ConfigError, match=reason):
            search(Choices(build, **few, **{"input_shape": shape, **wrong}), **{**settings, "data": data}, name="wrong")


def test_limits_that_no_candidate_keeps_are_told(settings: dict[str, Any]) -> None:
    result = search(space(), evaluations=3, limits={"params": 1}, **settings)
    assert repr(result).endswith(": nothing found, because every candidate broke a limit, 0 evaluations>")


def test_numbers_of_candidates_and_names_of_costs_are_checked(settings: dict[str, Any]) -> None:
    result = search(space(), evaluations=3, limits={"params": 1e6}, **{**settings, "proxies": ["naswot", "params"]})
    assert repr(result).count("params") == 1
    with pytest.raises(ConfigError, match="'top' should be the number of candidates, but it is 'layered'"):
        result.plot_ranks("layered")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"the search has no cost 3; known: flops, naswot, params$"):
        result.plot_scores(3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (
            {"callbacks": print},
            r"callbacks must be a list, but it is <built-in function print>; write callbacks=\[MyCallback\(\)\]",
        ),
        ({"quiet": "no"}, "'quiet' should be True or False, but it is 'no'"),
        ({"runs": "/proc/x"}, r"'/proc/x/choices' cannot be .*; choose another with runs=FOLDER"),
        ({"data": torch.zeros(2, 3)}, r"'data': should be a source, but it is a Tensor of shape \[2, 3\]; save it as a file: "),
    ],
)
def test_what_only_a_call_can_get_wrong_is_one_line(given: dict[str, Any], reason: str, settings: dict[str, Any]) -> None:
    with pytest.raises(RbflexEvoError, match=reason) as caught:
        search(space(), evaluations=3, **{**settings, **given})
    assert len(str(caught.value).splitlines()) == 1


def sections(**given: Any) -> dict[str, Any]:
    fitness = {name: given.pop(name, None) for name in ("preset", "proxies", "objective", "limits")}
    budget = {name: given.pop(name) for name in ("evaluations", "seconds", "generations") if name in given}
    config, _ = configured(given.pop("space", "toy"), budget, fitness, given)
    return {**config.model_dump(exclude_unset=True), "proxies": list(config.fitness.proxies), "objective": config.fitness.objective}


def test_what_is_not_given_has_a_default() -> None:
    found = sections()
    assert found["name"] == "toy" and found["strategy"]["name"] == "auto" and found["budget"] == {"evaluations": 500}
    assert found["proxies"] == ["layered", "az_progressivity", "params", "flops", "early_depth"]
    assert found["data"]["values"] == {"shape": [3, 8, 8]}
    words = sections(space={"name": "nafbee_bert", "layers": 1})
    assert words["proxies"] == ["rbflex"] and words["data"]["name"] == "words"


def test_scores_are_given_in_short() -> None:
    assert sections(proxies=["rbflex", "naswot"])["objective"].rank == ["rbflex", "naswot"]
    assert sections(proxies={"rbflex": {"gamma": "flat"}})["objective"].score == "rbflex"
    assert sections(objective="naswot")["proxies"] == ["naswot"]
    assert sections(proxies=("rbflex", "naswot"), objective="naswot")["objective"].score == "naswot"
    assert sections(preset="az_nas", generations=3)["budget"] == {"generations": 3}
    # Further scores beside a preset are measured; the objective is the preset's.
    both, alone = sections(preset="az_nas", proxies="rbflex"), sections(preset="az_nas")
    assert both["proxies"] == [*alone["proxies"], "rbflex"] and both["objective"] == alone["objective"]
    assert sections(fitness={"weights": {"seed": 3}}, proxies="swap")["fitness"]["weights"] == {"seed": 3}
    limits = sections(limits={"params": 1000, "flops": {"min": 10}})["fitness"]["constraints"]
    assert limits == {"params": {"max": 1000.0}, "flops": {"min": 10}}


@pytest.mark.parametrize(
    ("given", "error", "reason"),
    [
        ({"sed": 3}, ConfigError, "unknown key 'sed'; did you mean 'seed'"),
        ({"space": "tyo"}, UnknownNameError, "unknown space 'tyo'; did you mean 'toy'"),
        ({"space": {"name": "toy", "gene": 3}}, ConfigError, "unknown key 'space.toy.gene'; did you mean 'genes'"),
        ({"space": 3}, ConfigError, "'space': should be a space, a name, or a mapping"),
        ({"space": build}, ConfigError, r"but it is <function build .*; make a space: Choices\(build, "),
        ({"space": Choices}, ConfigError, r"but it is <function Choices .*; make a space: Choices\(build, "),
        ({"space": None}, ConfigError, r"but it is None; make a space: Choices\(build, "),
        ({"proxies": ["rbflex", "naswot", "rbflex"]}, ConfigError, "'proxies' names 'rbflex' twice; leave one out"),
        ({"strategy": "gentic"}, UnknownNameError, "unknown strategy 'gentic'; did you mean 'genetic'"),
        ({"proxies": "naswto"}, UnknownNameError, "did you mean 'naswot'"),
        ({"limits": 3}, ConfigError, "'limits': should be bounds by metric"),
        ({"limits": {"parms": 3}}, UnknownNameError, "did you mean 'params'"),
        ({"objective": "rbflex_rank"}, ConfigError, "'rbflex_rank', which is a preset; write preset: rbflex_rank"),
        ({"preset": "az_nas", "fitness": {"preset": "az_nas"}}, ConfigError, "'preset' and 'fitness.preset' are both given"),
        ({"budget": {"evaluations": 3}}, ConfigError, "'budget' is no setting of search"),
        ({"evaluations": 0}, ConfigError, "'budget.evaluations'"),
    ],
)
def test_what_is_wrong_is_said_as_in_a_configuration(given: dict[str, Any], error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        sections(**given)


# --- the ten-line example -------------------------------------------------------------------------------------------------

EXAMPLE = """
import os
from torch import nn
from rbflex_evo import Choices, search
class Block(nn.Module):
    \"\"\"A convolution and an activation.\"\"\"
    def __init__(self, inputs, width, kernel, act):
        super().__init__()
        self.conv, self.act = nn.Conv2d(inputs, width, kernel, padding=kernel // 2), act
    def forward(self, x):
        return self.act(self.conv(x)) + SHIFT
SHIFT, ACTS = 0.1, {"relu": lambda: nn.ReLU(), "gelu": nn.GELU}
def build(depth, width, kernel, act):
    blocks = [Block(3 if i == 0 else width, width, kernel, ACTS[act]()) for i in range(depth)]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))
space = Choices(build, depth=[2, 3, 4], width=[8, 12, 16], kernel=[3, 5], act=["relu", "gelu"], input_shape=(3, 8, 8))
workers, name = int(os.environ["WORKERS"]), os.environ["NAME"]
result = search(space, limits={"params": 2e4}, evaluations=12, workers=workers, name=name, quiet=True)
print(result.best.notation)
"""


def as_script(folder: Path) -> None:
    (folder / "example.py").write_text(EXAMPLE)
    subprocess.run([sys.executable, "-W", "error", "example.py"], cwd=folder, check=True)


def from_standard_input(folder: Path) -> None:
    subprocess.run([sys.executable, "-W", "error", "-"], cwd=folder, input=EXAMPLE, text=True, check=True)


def in_a_notebook(folder: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    imports, _, rest = EXAMPLE.partition("class Block")
    cells = [imports, f"class Block{rest.partition('SHIFT, ACTS')[0]}", f"SHIFT, ACTS{rest.partition('SHIFT, ACTS')[2]}"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=100, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_example_has_one_journal_as_a_script_in_a_notebook_and_from_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", ":".join(filter(None, sys.path)))
    monkeypatch.setenv("RBFLEX_EVO_CACHE", str(tmp_path / "cache"))
    journals = []
    for run_it in (as_script, in_a_notebook, from_standard_input):
        for workers in ("1", "2"):
            name = f"{run_it.__name__}{workers}"
            monkeypatch.setenv("WORKERS", workers)
            monkeypatch.setenv("NAME", name)
            run_it(tmp_path)
            journals.append(journal_without_times(tmp_path / "runs" / name))
    assert all(journal == journals[0] for journal in journals)
    assert np.isfinite([line["scores"]["layered"] for line in journals[0] if line["kind"] == "evaluation"]).all()
