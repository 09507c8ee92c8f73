"""Proved optima of configurations and of quantities by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rbflex_evo import proved_optimum
from rbflex_evo.engine.commands.app import run
from rbflex_evo.engine.configuration.assembly import Assembly
from rbflex_evo.engine.configuration.config import parse_config
from rbflex_evo.engine.optimum.facts import proof_within
from rbflex_evo.engine.optimum.question import NotProvable, question_of
from rbflex_evo.spaces import ConfigError, UnknownNameError, create_space
from tests.support.replay import SPACE, write_scores

TOY = create_space("toy")


def parts(fitness: dict[str, Any], **changes: Any) -> Assembly:
    values = {"name": "q", "space": "toy", "data": "noise", "strategy": "random", "budget": {"evaluations": 5}, "fitness": fitness}
    return Assembly(parse_config({**values, **changes}))


def costs(name: str) -> list[float]:
    return [getattr(TOY.costs(genotype), name) for genotype in TOY.encoding.enumerate()]


def test_the_objective_of_a_configuration_is_proved_within_its_constraints() -> None:
    middle = float(np.median(costs("flops")))
    found = question_of(parts({"proxies": {"params": {}}, "constraints": {"flops": {"max": middle}}})).prove()
    both = zip(costs("params"), costs("flops"), strict=True)
    assert found.best is not None
    assert found.best.values["params"] == max(params for params, flops in both if flops <= middle)
    assert found.best.values["flops"] <= middle


def test_a_count_that_is_score_and_cost_is_two_quantities() -> None:
    fitness = {"proxies": {"params": {}}, "objective": {"pareto": ["params", {"minimise": "flops"}]}}
    question = question_of(parts({**fitness, "constraints": {"params": {"max": 5000}}}))
    assert [goal.quantity.name for goal in question.goals] == ["params", "flops"]
    assert [limit.quantity.name for limit in question.limits] == ["params (cost)"]
    assert all(one.values["params (cost)"] <= 5000 for one in question.prove().front)


@pytest.mark.parametrize(
    "fitness",
    [
        {"proxies": {"naswot": {}}},
        {"proxies": {"params": {}, "flops": {}}, "objective": {"rank": ["params", "flops"]}},
        {"proxies": {"params": {}}, "constraints": {"latency": {"max": 10}}},
    ],
)
def test_what_is_measured_or_ranked_is_refused_in_one_line(fitness: dict[str, Any]) -> None:
    with pytest.raises(NotProvable) as refused:
        question_of(parts(fitness))
    assert "\n" not in str(refused.value)
    assert proof_within(parts(fitness), 5.0) == (None, "")


def test_a_table_of_scores_proves_the_optimum_of_a_measured_score(tmp_path: Path) -> None:
    scores = write_scores(tmp_path / "scores.npz")
    found = question_of(parts({"proxies": {"naswot": {}}}, space=SPACE, scores=str(scores))).prove()
    column = np.load(scores)["naswot"]
    assert found.best is not None
    assert found.method == "enumeration"
    assert found.best.values["naswot"] == np.nanmax(column)


def test_a_proof_that_takes_too_long_is_none_with_a_reason() -> None:
    proof, reason = proof_within(parts({"proxies": {"params": {}}}), 0.0)
    assert proof is None
    assert "longer than 0 s" in reason


def test_quantities_by_name_are_proved_in_one_call() -> None:
    found = proved_optimum("toy", maximise="params", minimise=["flops"], limits={"params": {"min": 3000, "max": 6000}})
    assert found.goals == {"params": "maximised", "flops": "minimised"}
    assert found.limits == ["3,000 <= params <= 6,000"]
    assert all(3000 <= one.values["params"] <= 6000 for one in found.front)
    with pytest.raises(UnknownNameError, match="did you mean 'params'"):
        proved_optimum("toy", maximise="param")
    with pytest.raises(ConfigError, match="nothing is to be proved"):
        proved_optimum("toy")


def test_the_command_prints_and_saves_a_front(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "front.json"
    limits = ["--limit", "flops=4e5", "--least", "params=2000"]
    assert run(["optimum", "toy", "--maximise", "params", "--minimise", "flops", *limits, "--rows", "2", "--save", str(saved)]) == 0
    printed = capsys.readouterr().out
    document = json.loads(saved.read_text(encoding="utf-8"))
    assert f"front      {len(document['front'])} networks" in printed
    assert "proved by enumeration over 4,096 genotypes" in printed
    assert document["front"][0]["notation"] in printed


def test_the_command_proves_the_objective_of_a_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "toy.yaml"
    config.write_text(
        "name: q\nspace: toy\ndata: {source: noise, shape: [3, 8, 8]}\nfitness: {proxies: {flops: {}}}\n", encoding="utf-8"
    )
    assert run(["optimum", str(config), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["front"][0]["values"]["flops"] == float(f"{max(costs('flops')):.6g}")
    assert run(["optimum", str(config), "--limit", "flops=3"]) == 2
    assert run(["optimum", "toy", "--minimise", "latency:pixel3"]) == 2
    assert "give it with --table FILE" in capsys.readouterr().err


@pytest.mark.slow
def test_the_sum_of_a_lookup_predictor_is_proved(tmp_path: Path) -> None:
    from rbflex_evo.fitness.costs.predictors.lookup import Lookup
    from rbflex_evo.fitness.costs.predictors.saved import Provenance, save_predictor

    space = create_space("fbnet")
    rng = np.random.default_rng(0)
    genotypes = [space.encoding.sample(rng) for _ in range(120)]
    predictor = Lookup(space)
    predictor.fit(genotypes, np.array([space.costs(genotype).flops ** 0.5 for genotype in genotypes]))
    provenance = Provenance(device="board", quantity="latency", unit="ms", rows=120, date="2026-01-01")
    save_predictor(tmp_path / "board.npz", predictor, provenance)
    files = {"predicted:board": str(tmp_path / "board.npz")}
    found = proved_optimum(space, maximise="flops", limits={"predicted:board": 6000.0}, files=files)
    assert found.method == "dynamic programming"
    best = found.front[0]
    assert best.values["predicted:board"] <= 6000
    assert predictor.predict([best.genotype])[0] == pytest.approx(best.values["predicted:board"], rel=1e-5)
