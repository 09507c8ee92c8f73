"""Exported networks: plain, ready to be trained, the same in a fresh process; whole folders or none; one line for what is wrong."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from rbflex_evo.engine.commands.app import run
from rbflex_evo.engine.commands.export import summary
from rbflex_evo.engine.export.export import Exported, export_run, write_network
from rbflex_evo.engine.export.exported import Run, load_network, read_architecture
from rbflex_evo.engine.run.folder import LOCK, find_run
from rbflex_evo.engine.search.search import Search
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.spaces import SPACES, ConfigError, Parameters, RunError, SearchSpace, create_space
from rbflex_evo.spaces.families.toy.space import ToyParameters, ToySpace
from tests.support.families import SMALL_FAMILIES
from tests.support.instant import instant_search, toy_config
from tests.support.transformers import SMALL_TRANSFORMERS

# Forms of the spaces that are built and run in no time; a space that is not named here is taken as it is by default.
SMALL: dict[str, dict[str, Any]] = {
    **SMALL_FAMILIES,
    **SMALL_TRANSFORMERS,
    "nats_tss": {"channels": 4, "cells": 1},
    "darts": {"channels": 4, "layers": 3},
    **{f"nds_{name}": {"depths": [3], "widths": [4]} for name in ("amoeba", "darts", "enas", "nasnet", "pnas")},
    "nasbench101": {"channels": 8},
    "nasbench_macro": {"channels": 4},
    "nds_resnet": {"depths": [1], "widths": [8, 16]},
    "mobilenet": {"size": 64, "classes": 10},
    "fbnet": {"size": 16, "classes": 10},
    "transnas_micro": {"size": 64, "channels": 8},
    "transnas_macro": {"size": 64, "channels": 8},
    "nafbee_bert": {"layers": 1, "hidden": 24, "vocabulary": 100},
    "nafbee_vgg11": {"channels": 8},
    "nafbee_vgg19": {"channels": 8},
}
FOUND = Run(name="run", finished=True, evaluations=1, place=1, scores={}, costs={})
PARETO = {"proxies": {"naswot": {}, "synflow": {}}, "objective": {"pareto": ["naswot", "synflow"]}}
SAMPLED = {
    "proxies": {"naswot": {}, "synflow": {}},
    "objective": {"rank": ["naswot", "synflow"], "reference": "sample", "sample": 20},
}


def small(name: str) -> SearchSpace:
    values = SMALL.get(name, {})
    allowed = {field.alias or key for key, field in SPACES.get(name).Parameters.model_fields.items()}
    return create_space(name, **{key: value for key, value in values.items() if key in allowed})


def sampled(space: SearchSpace, seed: int = 2) -> Evaluation:
    genotype = space.encoding.sample(np.random.Generator(np.random.PCG64(seed)))
    return Evaluation(genotype, space.key(genotype), {})


def outputs(network: nn.Module, inputs: Tensor) -> Tensor:
    """Returns what the network gives in evaluation mode and then, with the batch's statistics, in training mode."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # what dropout draws
        return torch.cat([network.eval()(inputs), network.train()(inputs)])


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network of every registered space, under the space's name."""
    folder = tmp_path_factory.mktemp("exported")
    for name in SPACES.names():
        space = small(name)
        write_network(folder / name, space, sampled(space), FOUND, WeightParameters(seed=3))
    return folder


@pytest.fixture(scope="module")
def reloaded(exported: Path) -> dict[str, Tensor]:
    """What those networks give in another process that loads them."""
    program = (
        "import sys, torch; from pathlib import Path; from rbflex_evo.engine import load_network, read_architecture\n"
        "from tests.engine.export.test_export import outputs\n"
        "folder = Path(sys.argv[1]); found = {}\n"
        "for entry in sorted(folder.iterdir()):\n"
        "    inputs = read_architecture(entry).create_space().example_inputs(3)\n"
        "    found[entry.name] = outputs(load_network(entry), inputs)\n"
        "torch.save(found, folder.with_suffix('.outputs'))\n"
    )
    paths = os.pathsep.join(filter(None, sys.path))
    subprocess.run([sys.executable, "-c", program, str(exported)], check=True, env={**os.environ, "PYTHONPATH": paths})
    found: dict[str, Tensor] = torch.load(exported.with_suffix(".outputs"), weights_only=True)
    return found


@pytest.mark.parametrize("name", SPACES.names())
def test_a_fresh_process_gives_the_same_outputs_bit_for_bit(name: str, exported: Path, reloaded: dict[str, Tensor]) -> None:
    space = small(name)
    network = build_initialised(space, sampled(space).genotype, WeightParameters(seed=3))
    wanted = outputs(network, space.example_inputs(3))
    assert wanted.shape[1:] == tuple(read_architecture(exported / name).interface.outputs)
    assert torch.equal(reloaded[name], wanted)


@pytest.mark.parametrize("name", SPACES.names())
def test_an_exported_network_is_a_plain_module(name: str, exported: Path) -> None:
    network = load_network(exported / name)
    assert network.training and all(parameter.requires_grad for parameter in network.parameters())
    assert all(value.dtype in (torch.float32, torch.int64) for value in network.state_dict().values())
    for module in network.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks and not module._backward_hooks
        if "Norm" in type(module).__name__ and not list(module.children()):
            assert type(module).__module__.startswith("torch.nn.")
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            assert module.track_running_stats and module.momentum == 0.1
            assert not module.running_mean.any() and (module.running_var == 1).all() and module.num_batches_tracked == 0


@pytest.mark.parametrize("name", SPACES.names())
def test_a_step_of_gradient_descent_makes_the_loss_smaller(name: str, exported: Path) -> None:
    network, space = load_network(exported / name), small(name)
    inputs = space.example_inputs(4)

    def loss() -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # what dropout draws, the same before and after
            found = network(inputs)
        if space.loss == "mean_squared_error":
            return functional.mse_loss(found, torch.ones_like(found))
        return functional.cross_entropy(found, torch.zeros(len(found), *found.shape[2:], dtype=torch.int64))

    before = loss()
    before.backward()
    slope = sum(float(parameter.grad.square().sum()) for parameter in network.parameters() if parameter.grad is not None)
    # To first order the step takes a thousandth of the loss; a fixed rate would be too much for deep networks without shortcuts.
    torch.optim.SGD(network.parameters(), lr=1e-3 * before.item() / slope).step()
    with torch.no_grad():
        assert loss() < before


@pytest.mark.parametrize("name", SPACES.names())
def test_the_description_is_of_the_network_in_the_folder(name: str, exported: Path) -> None:
    architecture, space = read_architecture(exported / name), small(name)
    assert space.parse(architecture.notation) == tuple(architecture.genotype) == sampled(space).genotype
    assert architecture.key == space.key(tuple(architecture.genotype))
    assert sum(p.numel() for p in load_network(exported / name).parameters()) == architecture.costs.params
    assert set(architecture.checksums) == {"architecture.png", "state_dict.pt"}
    page = (exported / name / "README.md").read_text()
    assert architecture.notation in page and f"{architecture.costs.params:,.0f} parameters" in page


def test_weights_are_those_that_are_scored_and_no_generator_of_the_process_takes_part(exported: Path) -> None:
    before = random.getstate(), repr(np.random.get_state(legacy=False)), torch.random.get_rng_state()
    network = load_network(exported / "toy")
    space = small("toy")
    wanted = build_initialised(space, sampled(space).genotype, WeightParameters(seed=3)).state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in network.state_dict().items())
    after = random.getstate(), repr(np.random.get_state(legacy=False)), torch.random.get_rng_state()
    assert before[:2] == after[:2] and torch.equal(before[2], after[2])


def test_trained_weights_are_loaded_instead(exported: Path, tmp_path: Path) -> None:
    network = load_network(exported / "toy")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1.0)
    torch.save(network.state_dict(), tmp_path / "trained.pt")
    again = load_network(exported / "toy", tmp_path / "trained.pt")
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in again.state_dict().items())


# Runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return instant_search(toy_config(tmp_path_factory.mktemp("runs")))[0].run().folder


@pytest.fixture(scope="module")
def pareto(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return instant_search(toy_config(tmp_path_factory.mktemp("pareto"), fitness=PARETO, strategy="nsga2"))[0].run().folder


def notations(done: list[Any]) -> list[str]:
    return [one.architecture.notation for one in done]


def test_the_best_network_is_exported_into_the_run(tmp_path: Path) -> None:
    result = instant_search(toy_config(tmp_path))[0].run()
    assert result.best is not None
    (done,) = result.export()
    assert done.folder == result.folder / "export" / "1" and done.architecture == read_architecture(done.folder)
    assert done.architecture.notation == result.best.notation and done.architecture.run.scores == result.best.scores
    wanted = result.network().state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in load_network(done.folder).state_dict().items())
    assert sorted(entry.name for entry in result.folder.iterdir() if entry.name.startswith(".export")) == []


@pytest.mark.parametrize("fitness", [None, SAMPLED])
def test_the_top_networks_are_those_of_the_result_in_its_order(fitness: dict[str, Any] | None, tmp_path: Path) -> None:
    changes = {} if fitness is None else {"fitness": fitness}
    result = instant_search(toy_config(tmp_path / "runs", **changes))[0].run()
    done = export_run(result.folder, top=4, into=tmp_path / "networks", quiet=True)
    assert notations(done) == [candidate.notation for candidate in result.top(4)]
    assert len({one.architecture.key for one in done}) == 4
    assert [one.folder.name for one in done] == ["1", "2", "3", "4"]
    assert sorted(entry.name for entry in (tmp_path / "networks").iterdir()) == ["1", "2", "3", "4"]


def test_of_several_objectives_the_front_is_exported(pareto: Path, tmp_path: Path) -> None:
    result = instant_search(find_run(pareto))[0].run()
    front = [candidate.notation for candidate in result.front()]
    assert len(front) > 1
    assert notations(export_run(pareto, into=tmp_path / "front", quiet=True)) == front
    assert notations(export_run(pareto, top=2, into=tmp_path / "two", quiet=True)) == [c.notation for c in result.top(2)]


def test_of_an_unfinished_run_the_best_so_far_is_exported(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copied = tmp_path / "run"
    copied.mkdir()
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (copied / "journal.jsonl").write_bytes(b"".join(lines[:31]))
    (copied / "config.yaml").write_bytes((folder / "config.yaml").read_bytes())
    assert run(["export", str(copied)]) == 0
    out = capsys.readouterr().out
    assert "1 network of 30 evaluated" in out and "the search is not finished" in out
    found = read_architecture(copied / "export" / "1")
    assert not found.run.finished and found.run.evaluations == 30
    result = instant_search(toy_config(tmp_path / "whole", budget={"evaluations": 30}))[0].run()
    assert result.best is not None and found.notation == result.best.notation


def test_the_command_prints_what_there_is_and_how_to_load_it(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    into = tmp_path / "a" / "b"
    assert run(["export", str(folder), "--top", "2", "--into", str(into)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == ["exported", "1", "2", "load"]
    assert lines[-1] == f'load       rbflex_evo.engine.load_network("{into / "1"}")'
    assert run(["export", str(folder), "--into", str(tmp_path / "json"), "--json"]) == 0
    (document,) = json.loads(capsys.readouterr().out)
    assert document.pop("folder") == str(tmp_path / "json" / "1")
    assert document == json.loads((tmp_path / "json" / "1" / "architecture.json").read_text())


def test_it_says_what_the_search_counted_where_that_is_less(tmp_path: Path) -> None:
    space = small("nats_tss")
    genotype = space.parse("|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|")  # its convolution leads nowhere
    counted, own = (space.costs(one) for one in (space.representative(space.key(genotype)), genotype))
    assert counted.flops < own.flops
    for costs, says in (({"flops": counted.flops}, True), ({"flops": own.flops}, False), ({"latency": 1.0}, False)):
        found = FOUND.model_copy(update={"costs": costs})
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        written = write_network(folder, space, Evaluation(genotype, space.key(genotype), {}), found, WeightParameters())
        sentence = f"the search counted {counted.flops:,.0f} multiply-accumulates: in the network that it scores"
        printed = "\n".join(text for _, text in summary([Exported(folder, written)]))
        assert all((sentence in text) == says for text in ((folder / "README.md").read_text(), printed))


def test_the_head_has_the_classes_that_were_asked_for(folder: Path, tmp_path: Path) -> None:
    (done,) = export_run(folder, classes=7, into=tmp_path / "seven", quiet=True)
    assert done.architecture.interface.outputs == [7]
    network = load_network(done.folder)
    assert network(done.architecture.create_space().example_inputs(2)).shape == (2, 7)
    with pytest.raises(ConfigError, match=r"'space\.toy\.classes'"):
        export_run(folder, classes=1, into=tmp_path / "one", quiet=True)


def test_an_earlier_export_is_replaced_only_when_asked(folder: Path, tmp_path: Path) -> None:
    into = tmp_path / "networks"
    export_run(folder, top=3, into=into, quiet=True)
    with pytest.raises(RunError, match=r"exists already.*--replace"):
        export_run(folder, into=into, quiet=True)
    assert len(list(into.iterdir())) == 3
    export_run(folder, into=into, replace=True, quiet=True)
    assert [entry.name for entry in into.iterdir()] == ["1"] and list(tmp_path.iterdir()) == [into]


def test_a_folder_with_anything_else_is_never_replaced(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("do not lose this")
    with pytest.raises(RunError, match=r"'thesis.txt' in it is no exported network"):
        export_run(folder, into=tmp_path, replace=True, quiet=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_killed_export_leaves_no_folder_and_is_no_hindrance_to_the_next(folder: Path, tmp_path: Path) -> None:
    into = tmp_path / "networks"
    program = (
        "import os, signal, sys, torch\n"
        "from rbflex_evo.engine import export_run\n"
        "save, saved = torch.save, []\n"
        "def dying(state, path):\n"
        "    save(state, path); saved.append(path)\n"
        "    if len(saved) == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "torch.save = dying\n"
        "export_run(sys.argv[1], top=3, into=sys.argv[2], quiet=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(folder), str(into)])
    assert done.returncode == -signal.SIGKILL
    assert [entry.name for entry in tmp_path.iterdir()] == [".networks.new"]
    assert (tmp_path / ".networks.new" / "2" / "state_dict.pt").exists()
    assert len(export_run(folder, into=into, quiet=True)) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["networks"] and [entry.name for entry in into.iterdir()] == ["1"]


def test_an_export_that_fails_leaves_the_earlier_one(folder: Path, tmp_path: Path) -> None:
    into = tmp_path / "networks"
    export_run(folder, into=into, quiet=True)
    before = (into / "1" / "architecture.json").read_bytes()
    with pytest.raises(ConfigError):
        export_run(folder, into=into, classes=-5, replace=True, quiet=True)
    assert (into / "1" / "architecture.json").read_bytes() == before and list(tmp_path.iterdir()) == [into]


def test_two_exports_do_not_write_into_one_place_at_once(folder: Path, tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    draft = tmp_path / ".networks.new"
    draft.mkdir()
    with open(draft / LOCK, "a") as other:
        fcntl.flock(other.fileno(), fcntl.LOCK_EX)
        with pytest.raises(RunError, match="another process is exporting"):
            export_run(folder, into=tmp_path / "networks", quiet=True)
    assert draft.exists()


# What can be wrong


def fails(capsys: pytest.CaptureFixture[str], arguments: list[str], *parts: str) -> None:
    capsys.readouterr()
    code = run(arguments)
    out, err = capsys.readouterr()
    assert (code, out) == (2, ""), err
    assert err.startswith("error: ") and len(err.strip().splitlines()) == 1, err
    for part in parts:
        assert part in err


def test_what_can_be_wrong_with_a_run(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fails(capsys, ["export", str(tmp_path / "nowhere")], "there is no run folder")
    fails(capsys, ["export", str(tmp_path)], "is no run's folder: it has no config.yaml")
    networks = len(Search(find_run(folder), quiet=True, report=False).run().ranked)
    fails(capsys, ["export", str(folder), "--top", "500"], f"has {networks} networks to export, but 500", f"--top {networks}")
    (tmp_path / "file").write_text("")
    fails(capsys, ["export", str(folder), "--into", str(tmp_path / "file")], "exists already")
    fails(capsys, ["export", str(folder), "--into", str(tmp_path / "file" / "x")], "cannot be written")
    assert not (folder / "export").exists()


def test_a_run_without_a_network_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fitness = {"proxies": {"naswot": {}}, "constraints": {"params": {"max": 1.0}, "handling": "deb"}}
    nothing = instant_search(toy_config(tmp_path, fitness=fitness, strategy="random", budget={"evaluations": 5}))[0].run().folder
    fails(capsys, ["export", str(nothing)], "every candidate failed or breaks a limit")
    assert "resume" not in capsys.readouterr().err
    header = (nothing / "journal.jsonl").read_bytes().splitlines(keepends=True)[0]
    (nothing / "journal.jsonl").write_bytes(header)
    (nothing / "result.json").unlink()
    fails(capsys, ["export", str(nothing)], "nothing was evaluated yet", "rbflex-evo resume")


@pytest.mark.parametrize("command", ["export", "explain"])
def test_a_finished_search_that_evaluated_nothing_is_not_to_be_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    fitness = {"proxies": {"naswot": {}}, "constraints": {"params": {"max": 1.0}}}
    result = instant_search(toy_config(tmp_path, fitness=fitness, strategy="random", budget={"evaluations": 5}))[0].run()
    assert result.counts["unique"] == 0
    assert run([command, str(result.folder)]) == 2
    err = capsys.readouterr().err
    assert err == f"error: {result.folder} has nothing to {command}: nothing was evaluated, since {result.stop_reason}\n"
    assert "no architecture satisfies params <= 1" in err and "resume" not in err


def test_what_can_be_wrong_with_an_exported_folder(exported: Path, tmp_path: Path) -> None:
    def copied(name: str, **changes: Any) -> Path:
        into = tmp_path / name
        into.mkdir()
        document = json.loads((exported / "toy" / "architecture.json").read_text())
        (into / "architecture.json").write_text(json.dumps({**document, **changes}))
        (into / "state_dict.pt").write_bytes((exported / "toy" / "state_dict.pt").read_bytes())
        return into

    with pytest.raises(RunError, match=r"holds no exported network: it has no architecture\.json"):
        load_network(tmp_path)
    (tmp_path / "1").mkdir()
    document = json.loads((exported / "toy" / "architecture.json").read_text())
    (tmp_path / "1" / "architecture.json").write_text(json.dumps({k: v for k, v in document.items() if k != "genotype"}))
    with pytest.raises(RunError, match="is damaged: genotype: Field required"):
        load_network(tmp_path / "1")
    with pytest.raises(RunError, match="name one of the networks in it"):
        load_network(tmp_path)
    with pytest.raises(RunError, match="was written with version 99 of toy, but this is version 1"):
        load_network(copied("newer", space={"name": "toy", "version": 99, "parameters": {}}))
    with pytest.raises(LookupError, match="unknown space 'tyo'; did you mean 'toy'"):
        load_network(copied("other", space={"name": "tyo", "version": 1, "parameters": {}}))
    with pytest.raises(RunError, match="holds no weights of"):
        load_network(copied("wider", space={"name": "toy", "version": 1, "parameters": {"channels": 5}}))
    damaged = copied("damaged")
    content = bytearray((damaged / "state_dict.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (damaged / "state_dict.pt").write_bytes(content)
    with pytest.raises(RunError, match="its checksum is wrong"):
        load_network(damaged)
    with pytest.raises(RunError, match="cannot be read: No such file"):
        load_network(damaged, tmp_path / "none.pt")


def test_weights_that_would_run_code_are_refused(exported: Path, tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"weight": Malicious()}, tmp_path / "sent.pt")
    with pytest.raises(RunError, match="holds no weights of"):
        load_network(exported / "toy", tmp_path / "sent.pt")
    assert not (tmp_path / "ran").exists()


class Headless(ToySpace):
    Parameters = Parameters

    def __init__(self, parameters: Parameters | None = None) -> None:
        super().__init__(ToyParameters())


def test_a_space_without_classes_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SPACES._known, "headless", Headless)
    config = toy_config(tmp_path, space="headless", strategy="random", budget={"evaluations": 3})
    nothing = instant_search(config)[0].run().folder
    with pytest.raises(ConfigError, match="the networks of headless have no 'classes' to set"):
        export_run(nothing, classes=7, quiet=True)
