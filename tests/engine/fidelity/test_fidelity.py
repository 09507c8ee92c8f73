"""The command ``fidelity``: cheaper forms beside the full one, resumed where it was stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rbflex_evo.engine.commands.app import run
from rbflex_evo.engine.configuration.config import Config, load_config, parse_config
from rbflex_evo.engine.fidelity.document import Fidelity, FidelityDocument, FormFacts
from rbflex_evo.engine.fidelity.forms import FULL, Form, pairs_of, single_forms
from rbflex_evo.engine.fidelity.measure import measure
from rbflex_evo.engine.fidelity.page import section, text, verdict
from rbflex_evo.engine.run.journal import Journal, read_journal
from rbflex_evo.engine.run.result_document import Agreement
from rbflex_evo.fitness.measuring.evaluator import Evaluator
from rbflex_evo.spaces import ConfigError, RunError
from tests.support.interrupted import PulledPlugError


def values_of(runs: Path, **changes: Any) -> dict[str, Any]:
    return {
        "name": "forms",
        "space": {"name": "toy", "genes": 5, "choices": 4},
        "data": {"source": "noise", "shape": [3, 12, 12], "n": 4},
        "fitness": {"proxies": {"naswot": {}, "params": {}}, "objective": {"rank": ["naswot", "params"]}},
        "workers": 1,
        "cache": "off",
        "runs": str(runs),
        **changes,
    }


def config_of(runs: Path, **changes: Any) -> Config:
    return parse_config({**values_of(runs, **changes), "strategy": "random", "budget": {"evaluations": 1}})


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Fidelity:
    return measure(config_of(tmp_path_factory.mktemp("forms")), networks=12, at_least=0.3, quiet=True)


def test_forms_are_smaller_images_fewer_inputs_and_narrower_networks(tmp_path: Path) -> None:
    forms, refused = single_forms(config_of(tmp_path))
    assert [form.name for form in forms] == ["size 8", "n 2", "channels 8", "channels 4"] and refused == {}
    mobilenet = config_of(tmp_path, space="mobilenet", data={"source": "noise", "shape": [3, 224, 224], "n": 16})
    names = [form.name for form in single_forms(mobilenet)[0]]
    assert names == [*(f"size {size}" for size in (192, 160, 128, 96, 64, 32)), "n 8", "n 4", "width 0.5", "width 0.25"]
    darts = config_of(tmp_path, space="darts", data="noise")
    assert {"channels 18", "channels 9", "layers 10", "layers 5"} <= {form.name for form in single_forms(darts)[0]}


def test_a_form_that_the_space_refuses_is_left_out_with_its_reason(tmp_path: Path) -> None:
    config = config_of(tmp_path, space={"name": "nats_tss", "cells": 1}, data="noise")
    assert "cells 1" not in [form.name for form in single_forms(config)[0]]
    small = config_of(tmp_path, space={"name": "mobilenet", "size": 32}, data={"source": "noise", "shape": [3, 32, 32]})
    assert all(form.config(small).data.name == "noise" for form in single_forms(small)[0])


def test_pairs_are_made_of_the_cheapest_good_forms_of_different_kinds() -> None:
    sizes = [Form({"size": size}, "size") for size in (96, 64, 32)]
    channels, cells = Form({"space": {"channels": 8}}, "channels"), Form({"space": {"cells": 2}}, "cells")
    found = [form.name for form in pairs_of([*sizes, channels, cells])]
    assert found == [
        "size 64, channels 8",
        "size 32, channels 8",
        "size 64, cells 2",
        "size 32, cells 2",
        "channels 8, cells 2",
    ]
    assert pairs_of(sizes) == []


def test_scores_of_a_form_are_those_of_its_configuration(measured: Fidelity) -> None:
    config = load_config(measured.folder / "config.yaml")
    for form in (FULL, Form({"size": 8}, "size")):
        told = read_journal(measured.folder / f"{form.stem}.jsonl").evaluations
        from rbflex_evo.engine.configuration.assembly import Assembly

        with Assembly(form.config(config)).evaluator() as evaluator:
            again = list(evaluator.evaluate([(e.key, e.genotype) for e in told]))
        assert [e.scores for e in told] == [e.scores for e in again] and len(told) == 12


def test_the_document_has_kendall_interval_and_speed_up_of_every_form(measured: Fidelity) -> None:
    document = measured.document
    assert document.decides == ["objective"] and document.networks == 12
    assert {"size 8", "n 2", "channels 8", "channels 4"} <= {form.name for form in document.forms}
    for form in document.forms:
        assert set(form.agreement) == {"naswot", "params", "objective"}
        assert form.agreement["params"].kendall is not None and form.agreement["params"].kendall > 0.9
        assert form.milliseconds > 0 and form.speed_up > 0
    assert json.loads((measured.folder / "fidelity.json").read_text()) == document.model_dump(mode="json")
    page = (measured.folder / "fidelity.html").read_text()
    assert "channels 8" in page and "Times are medians" in page and (measured.folder / "fidelity.png").is_file()


def test_a_second_call_scores_nothing_again(measured: Fidelity, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config(measured.folder / "config.yaml")

    def refuse(*_: Any) -> None:
        raise AssertionError("scored again")

    monkeypatch.setattr(Evaluator, "evaluate", refuse)
    again = measure(config, networks=12, at_least=0.3, quiet=True, page=False)
    assert [form.agreement for form in again.document.forms] == [form.agreement for form in measured.document.forms]


def test_a_stopped_measurement_resumes_with_the_missing_network(
    measured: Fidelity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, append, left = config_of(tmp_path), Journal.append, [20]

    def limited(journal: Journal, line: Any) -> None:
        if not left[0]:
            raise PulledPlugError
        left[0] -= 1
        append(journal, line)

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "append", limited)
        with pytest.raises(PulledPlugError):
            measure(config, networks=12, at_least=0.3, quiet=True)
    found = measure(config, networks=12, at_least=0.3, quiet=True, page=False)
    for path in measured.folder.glob("*.jsonl"):
        lines = [json.loads(line) for line in (found.folder / path.name).read_text().splitlines()]
        assert [line.get("scores") for line in lines] == [json.loads(t).get("scores") for t in path.read_text().splitlines()]


def test_more_networks_go_on_from_those_that_are_scored(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    few = measure(config, networks=4, quiet=True, page=False)
    before = read_journal(few.folder / "full.jsonl").evaluations
    measure(config, networks=6, quiet=True, page=False)
    after = read_journal(few.folder / "full.jsonl").evaluations
    assert after[:4] == before and len(after) == 6


def test_a_folder_of_another_configuration_is_refused(measured: Fidelity) -> None:
    config = load_config(measured.folder / "config.yaml")
    with pytest.raises(RunError, match="holds a run of another configuration"):
        measure(config.model_copy(update={"seed": 5}), networks=12, quiet=True)


def document_of(*forms: tuple[str, dict[str, Any], float, float], at_least: float = 0.98) -> FidelityDocument:
    facts = [
        FormFacts(
            name=name,
            values=values,
            agreement={"objective": Agreement(kendall=tau, low=tau - 0.01, high=1.0)},
            failed=0,
            milliseconds=100 / speed,
            speed_up=speed,
        )
        for name, values, tau, speed in forms
    ]
    return FidelityDocument(
        name="it", space="toy", networks=200, timed=12, decides=["objective"], at_least=at_least, full=FormFacts(
            name="full", values={}, agreement={}, failed=0, milliseconds=100.0, speed_up=1.0
        ), forms=facts, left_out={}, environment={},
    )  # fmt: skip


def test_the_cheapest_form_is_the_fastest_of_those_that_are_good_enough() -> None:
    forms = (
        ("size 96", {"size": 96}, 0.99, 4.0),
        ("size 64, n 8", {"size": 64, "n": 8}, 0.98, 9.0),
        ("size 32", {"size": 32}, 0.9, 20.0),
    )
    document = document_of(*forms)
    assert document.cheapest is not None and document.cheapest.name == "size 64, n 8"
    assert section(document) == "fidelity: {size: 64, n: 8, rescore: 100}"
    assert "size 64, n 8, 0.980, 9.0 times as fast" in verdict(document)
    assert "size 64, n 8 *" in text(document)
    strict = document_of(*forms, at_least=0.995)
    assert strict.cheapest is None and section(strict) is None and "No faster form" in verdict(strict)
    slow = document_of(("size 96", {"size": 96}, 1.0, 0.9))
    assert slow.cheapest is None


def test_the_command_prints_the_table_and_the_yaml_to_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "forms.yaml"
    path.write_text(json.dumps(values_of(tmp_path, fidelity={"size": 8})))
    assert run(["fidelity", str(path), "--networks", "4", "--at-least", "0.01"]) == 0
    out = capsys.readouterr().out
    assert "| size 8" in out and "speed-up" in out and "fidelity.html" in out
    assert run(["fidelity", str(path), "--networks", "4", "--at-least", "0.01", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["networks"] == 4 and found["folder"].endswith("forms-fidelity")


def test_what_cannot_be_measured_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 3 networks, but 2 were asked for"):
        measure(config_of(tmp_path), networks=2)
    with pytest.raises(ConfigError, match="more than 0 and at most 1, but it is 98"):
        measure(config_of(tmp_path), at_least=98)
    with pytest.raises(ConfigError, match="'scores' names a table"):
        measure(config_of(tmp_path, scores="scores.npz"))
    with pytest.raises(ConfigError, match="toy has no cheaper form"):
        measure(config_of(tmp_path, space={"name": "toy", "channels": 1}, data={"source": "noise", "shape": [3, 4, 4], "n": 2}))
