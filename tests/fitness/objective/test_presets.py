"""A preset is what it says it is, and a configuration that names one is the configuration that writes it out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from rbflex_evo.engine.commands.app import run
from rbflex_evo.engine.configuration.config import as_values, identity, load_config, parse_config
from rbflex_evo.fitness import create_proxy
from rbflex_evo.fitness.objective.objective import ObjectiveParameters, create_objective
from rbflex_evo.fitness.objective.presets import PRESETS
from rbflex_evo.spaces import ConfigError, UnknownNameError, parse

VALUES: dict[str, Any] = {
    "name": "run",
    "space": "toy",
    "data": {"source": "noise", "shape": [3, 8, 8], "n": 4},
    "strategy": "random",
    "budget": {"evaluations": 20},
}


def config(**fitness: Any) -> Any:
    return parse_config({**VALUES, "fitness": fitness})


def test_the_presets_of_the_papers_have_their_members_and_rules() -> None:
    assert PRESETS.get("rank_nas").objective == {"rank": ["ni", "naswot", "logsynflow"], "rule": "linear"}
    members = ["az_expressivity", "az_progressivity", "az_trainability", "flops"]
    assert PRESETS.get("az_nas").objective == {"rank": members, "rule": "log"}


@pytest.mark.parametrize("name", PRESETS.names())
def test_every_preset_is_an_objective_over_its_members(name: str) -> None:
    preset = PRESETS.get(name)
    objective = create_objective(parse(ObjectiveParameters, preset.objective, "objective"), preset.proxies)
    assert objective.members == preset.members == tuple(preset.proxies)
    assert set(preset.parameters) <= set(preset.members)
    assert preset.description
    assert "\n" not in preset.description


@pytest.mark.parametrize("name", [name for name in PRESETS.names() if name.startswith("rbflex")])
def test_our_presets_have_a_form_of_rbflex_as_a_member(name: str) -> None:
    assert {"rbflex", "layered"} & set(PRESETS.get(name).members)


def test_a_preset_is_the_configuration_that_writes_it_out() -> None:
    short = config(preset="rbflex_naswot")
    long = config(proxies={"rbflex": {}, "naswot": {}}, objective={"rank": ["rbflex", "naswot"], "rule": "log"})
    assert identity(short) == identity(long)
    assert as_values(short) == as_values(long)
    assert short.fitness.preset == "rbflex_naswot"


def test_what_a_preset_wrote_out_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(as_values(config(preset="rbflex_synflow"))))
    assert identity(load_config(path)) == identity(config(preset="rbflex_synflow"))


def test_parameters_beside_a_preset_are_those_of_its_members_and_other_scores_are_scored_too() -> None:
    found = config(preset="rbflex_synflow", proxies={"naswot": None, "rbflex": {"gamma": "flat"}}, weights={"seed": 3})
    assert as_values(found)["fitness"]["proxies"] == {"rbflex": {"gamma": "flat"}, "synflow": {}, "naswot": {}}
    assert found.fitness.objective.rank == ["rbflex", "synflow"]
    assert found.fitness.weights.seed == 3


def test_a_preset_given_on_the_command_line_takes_the_place_of_an_objective(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({**VALUES, "fitness": {"proxies": {"naswot": {}}, "objective": {"score": "naswot"}}}))
    found = load_config(path, ["fitness.preset=rbflex_naswot", "fitness.objective=null"])
    assert found.fitness.objective.rank == ["rbflex", "naswot"]


@pytest.mark.parametrize(
    ("fitness", "message"),
    [
        ({"preset": "rbflex_nsawot"}, "unknown preset 'rbflex_nsawot'; did you mean 'rbflex_naswot'"),
        ({"preset": "rbflex_naswot", "objective": {"score": "rbflex"}}, "is set in addition to the preset 'rbflex_naswot'"),
        ({"preset": "rbflex_naswot", "proxies": 3}, r"'fitness\.proxies'"),
        ({"preset": "rbflex_naswot", "proxies": {"rbflex": 3}}, r"'fitness\.proxies\.rbflex'"),
        ({"preset": "rbflex_naswot", "proxies": {"rbflex": {"gama": 3}}}, r"rbflex\.gama'; did you mean 'gamma'"),
        ({"preset": 3}, r"'fitness\.preset'"),
        ({"prest": "rbflex_naswot"}, r"unknown key 'fitness\.prest'; did you mean 'preset'"),
    ],
)
def test_a_wrong_preset_is_one_line(fitness: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, UnknownNameError), match=message) as raised:
        config(**fitness)
    assert "\n" not in str(raised.value)


def test_presets_are_listed_with_members_and_rule(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "presets"]) == 0
    out = capsys.readouterr().out
    assert "rbflex_naswot: RBFleX and NASWOT" in out
    assert "    log: rbflex, naswot" in out
    assert "    linear: ni, naswot, logsynflow" in out


def test_an_architecture_is_scored_by_the_members_of_a_preset(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["score", "toy", "random", "--preset", "rbflex_naswot", "--set", "cache=off"]
    assert run([*arguments, "--set", "fitness.proxies.rbflex.gamma=flat"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["rbflex", "naswot"]


@pytest.mark.parametrize("name", PRESETS.names())
def test_members_are_registered_proxies_with_those_parameters(name: str) -> None:
    for member, values in PRESETS.get(name).proxies.items():
        assert create_proxy(member, **values).name == member
