"""Searches under constraints: budgets, exhaustion and reasons for every strategy, and runs that are taken up again."""

from __future__ import annotations

import json
import signal
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from rbflex_evo.engine.commands.app import run
from rbflex_evo.engine.commands.search import summary
from rbflex_evo.engine.configuration.config import as_values, identity, settings
from rbflex_evo.engine.run.journal import read_journal
from rbflex_evo.engine.run.snapshot import Counts, Snapshot, encode, load
from rbflex_evo.engine.search.search import Search
from rbflex_evo.fitness import METRICS
from rbflex_evo.fitness.costs.metric import CostSubject, Metric
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import Genotype, RunError, create_space
from rbflex_evo.strategies import own_strategies
from tests.support.instant import InstantEvaluator, instant_search, journal_without_times, toy_config
from tests.support.interrupted import ROUNDS, PulledPlugError, Stopping, run_to_the_end, send_when_it_holds, start

TOY = {"name": "toy", "genes": 6, "choices": 4}
SPACE = create_space("toy", genes=6, choices=4)
PROXIES: dict[str, Any] = {"naswot": {}, "synflow": {}}


def limited(objective: dict[str, Any] | None = None, **constraints: Any) -> dict[str, Any]:
    return {
        "proxies": PROXIES,
        "objective": objective or {"rank": ["naswot", "synflow"]},
        "constraints": constraints,
    }


PARETO: dict[str, Any] = {"pareto": ["naswot", {"minimise": "flops"}]}
HALF = limited(params={"max": 3500.0})


def params_of(key: str) -> float:
    return SPACE.costs(SPACE.representative(key)).params


@pytest.mark.parametrize("strategy", own_strategies())
def test_rejections_cost_no_budget_and_nothing_rejected_is_evaluated(tmp_path: Path, strategy: str) -> None:
    config = toy_config(tmp_path, space=TOY, strategy=strategy, fitness=HALF, budget={"evaluations": 133})
    search, evaluator = instant_search(config)
    result = search.run()
    assert result.counts["unique"] == len(set(evaluator.asked)) == len(evaluator.asked) == 133
    assert all(params_of(key) <= 3500 for key in evaluator.asked)
    looks = read_journal(result.folder / "journal.jsonl").looks
    assert result.counts["rejected"] == len({look.key for look in looks}) == len(looks) > 0
    assert all(look.costs == {"params": params_of(look.key)} and look.costs["params"] > 3500 for look in looks)
    assert result.best is not None and result.best.costs == {"params": params_of(result.best.key)}
    assert result.counts["proposed"] == result.counts["known"] + result.counts["unique"]


@pytest.mark.parametrize("strategy", own_strategies())
def test_a_space_with_few_feasible_networks_is_exhausted_to_the_last_of_them(tmp_path: Path, strategy: str) -> None:
    fitness = limited(params={"max": 1000.0})
    config = toy_config(tmp_path, space=TOY, strategy=strategy, fitness=fitness, budget={"evaluations": 1000})
    search, evaluator = instant_search(config)
    result = search.run()
    feasible = set(filter(lambda key: params_of(key) <= 1000, SPACE.keys()))
    assert set(evaluator.asked) == feasible and 20 < len(feasible) < 100
    assert "rejected by params <= 1,000" in result.stop_reason or "known architectures" in result.stop_reason


@pytest.mark.parametrize("strategy", own_strategies())
@pytest.mark.parametrize("space", [TOY, {"name": "nats_tss"}, {"name": "toy", "genes": 30}], ids=["toy", "nats_tss", "open"])
def test_constraints_that_nothing_satisfies_end_the_search_with_that_reason(
    tmp_path: Path, strategy: str, space: dict[str, Any]
) -> None:
    config = toy_config(tmp_path, space=space, strategy=strategy, fitness=limited(params={"max": 10.0}))
    search, evaluator = instant_search(config)
    result = search.run()
    assert evaluator.asked == [] and result.best is None
    assert result.stop_reason.startswith("no architecture satisfies params <= 10: ")
    assert "were rejected; the nearest had params " in result.stop_reason
    if space["name"] == "nats_tss":
        assert "all 6,236" in result.stop_reason and result.stop_reason.endswith("params 73,306")
    elif space["genes"] == 30:
        assert "1,000 proposals in a row" in result.stop_reason and result.counts["rejected"] == 1000


@pytest.mark.slow
@pytest.mark.parametrize("strategy", own_strategies())
def test_constraints_that_nothing_satisfies_end_a_search_of_32768_networks(tmp_path: Path, strategy: str) -> None:
    config = toy_config(tmp_path, space="nats_sss", strategy=strategy, fitness=limited(params={"max": 10.0}))
    result = instant_search(config)[0].run()
    assert "all 32,768 that the strategy could find were rejected; the nearest had params 11,714" in result.stop_reason


def test_the_cap_on_rejections_in_a_row_is_a_setting(tmp_path: Path) -> None:
    config = toy_config(tmp_path, space=TOY, fitness=limited(params={"max": 10.0}, rejections=7))
    result = instant_search(config)[0].run()
    assert "7 proposals in a row were rejected" in result.stop_reason and result.counts["rejected"] == 7
    assert len(journal_without_times(result.folder)) == 8
    # A finished run is not begun again, and one without its result comes to the same end.
    assert instant_search(config)[0].run().stop_reason == result.stop_reason
    before = journal_without_times(result.folder)
    (result.folder / "result.json").unlink()
    assert instant_search(config)[0].run().stop_reason == result.stop_reason
    assert journal_without_times(result.folder) == before


def test_a_time_budget_ends_a_search_that_finds_nothing_to_evaluate(tmp_path: Path) -> None:
    fitness = limited(params={"max": 10.0}, rejections=10**9)
    config = toy_config(tmp_path, space={"name": "toy", "genes": 30}, fitness=fitness, budget={"seconds": 0.05})
    result = instant_search(config)[0].run()
    assert result.stop_reason == "the budget of 0.05 seconds is spent" and result.counts["unique"] == 0


def test_a_warm_start_beyond_the_limits_is_rejected_like_any_other(tmp_path: Path) -> None:
    large, small = SPACE.notation((3,) * 6), SPACE.notation((1,) * 6)
    config = toy_config(tmp_path, space=TOY, fitness=HALF, budget={"evaluations": 20}, warm_start=[large, small])
    search, evaluator = instant_search(config)
    assert search.run().counts["unique"] == 20
    assert evaluator.asked[0] == small and SPACE.key((3,) * 6) not in evaluator.asked


def test_debs_rules_evaluate_what_breaks_a_limit_and_choose_among_the_rest(tmp_path: Path) -> None:
    fitness = limited(params={"max": 2500.0}, depth={"min": 4.0}, handling="deb")
    result = instant_search(toy_config(tmp_path, space=TOY, fitness=fitness, budget={"evaluations": 150}))[0].run()
    told = read_journal(result.folder / "journal.jsonl").evaluations
    feasible = {e.key for e in told if e.costs["params"] <= 2500 and e.costs["depth"] >= 4 and not e.failed}
    assert result.counts == {**result.counts, "unique": 150, "rejected": 0} and 0 < len(feasible) < 150
    assert {e.key for e in result.ranked} == feasible and result.best is not None and result.best.key in feasible
    # The search moves to where the limits hold.
    assert sum(e.key in feasible for e in told[75:]) > sum(e.key in feasible for e in told[:75])
    nothing = limited(params={"max": 10.0}, handling="deb")
    config = toy_config(tmp_path, name="none", space=TOY, fitness=nothing, budget={"evaluations": 30})
    assert instant_search(config)[0].run().best is None
    with pytest.raises(RunError, match="every candidate failed or breaks the constraints"):
        instant_search(config)[0].run().network()


def test_several_objectives_end_in_a_front(tmp_path: Path) -> None:
    fitness = limited(PARETO, params={"max": 3500.0})
    config = toy_config(tmp_path, space=TOY, strategy="nsga2", fitness=fitness, budget={"evaluations": 200})
    result = instant_search(config)[0].run()
    told = [e for e in read_journal(result.folder / "journal.jsonl").evaluations if not e.failed]
    points = {e.key: (e.scores["naswot"], -e.costs["flops"]) for e in told}
    front = {
        key
        for key, (score, cost) in points.items()
        if not any(s >= score and c >= cost and (s, c) != (score, cost) for s, c in points.values())
    }
    assert {found.key for found in result.front()} == front
    assert result.front()[0].scores["naswot"] == max(score for score, _ in points.values())
    values = np.array([points[key] for key in front])
    ideal, span = values.max(axis=0), np.ptp(values, axis=0)
    distance = {key: np.linalg.norm((ideal - points[key]) / span) for key in front}
    assert result.best is not None and distance[result.best.key] == min(distance.values())
    document = result.document["front"]
    assert document["objectives"] == {"naswot": "maximised", "flops": "minimised"}
    assert document["reference_point"] == {
        "naswot": min(score for score, _ in points.values()),
        "flops": max(-cost for _, cost in points.values()),
    }
    assert 0 < document["hypervolume_share"] < 1
    assert [found["key"] for found in document["candidates"]] == [found.key for found in result.front()]
    again = instant_search(config)[0].run()
    assert again.front() == result.front() and again.best == result.best


def test_a_hypervolume_stands_on_the_point_that_is_given(tmp_path: Path) -> None:
    fitness = limited({**PARETO, "reference_point": [0.0, 1e6]})
    config = toy_config(tmp_path, space=TOY, strategy="random", fitness=fitness, budget={"evaluations": 20})
    document = instant_search(config)[0].run().document["front"]
    assert document["reference_point"] == {"naswot": 0.0, "flops": 1e6}


@pytest.mark.parametrize("strategy", own_strategies())
def test_every_strategy_searches_several_objectives(tmp_path: Path, strategy: str) -> None:
    config = toy_config(tmp_path, space=TOY, strategy=strategy, fitness=limited(PARETO), budget={"evaluations": 80})
    result = instant_search(config)[0].run()
    assert result.counts["unique"] == 80 and result.best in result.front()


def test_the_front_of_a_run_without_a_feasible_candidate_is_empty(tmp_path: Path) -> None:
    config = toy_config(tmp_path, space=TOY, strategy="random", fitness=limited(PARETO, params={"max": 10.0}))
    document = instant_search(config)[0].run().document["front"]
    assert (document["hypervolume"], document["hypervolume_share"], document["candidates"]) == (0.0, 0.0, [])


def test_a_run_with_one_objective_has_no_front(tmp_path: Path) -> None:
    result = instant_search(toy_config(tmp_path, budget={"evaluations": 5}))[0].run()
    assert result.document["front"] is None and result.best is not None and result.best.costs == {}
    with pytest.raises(RunError, match="has no front: its objective is one number"):
        result.front()


# --- taking up a run --------------------------------------------------------------------------------------------------


def test_what_is_not_used_is_no_part_of_a_configuration(tmp_path: Path) -> None:
    plain, limited_one = toy_config(tmp_path), toy_config(tmp_path, fitness=HALF)
    assert set(settings(plain)["fitness"]) == {"proxies", "objective", "weights"}
    assert not {"pareto", "reference_point"} & set(settings(plain)["fitness"]["objective"])
    others = [
        limited(params={"max": 3501.0}),
        limited(params={"max": 3500.0}, handling="deb"),
        limited(params={"max": 3500.0}, latency={"max": 1.0}),
        limited(params={"max": 3500.0}, latency={"max": 1.0, "repeats": 3}),
    ]
    configs = [plain, limited_one, *(toy_config(tmp_path, fitness=fitness) for fitness in others)]
    assert len({identity(config) for config in configs}) == len(configs)


def test_journals_and_snapshots_without_costs_are_still_read(tmp_path: Path) -> None:
    result = instant_search(toy_config(tmp_path, budget={"evaluations": 5}))[0].run()
    assert all("costs" not in line for line in journal_without_times(result.folder))
    assert [e.costs for e in read_journal(result.folder / "journal.jsonl").evaluations] == [{}] * 5
    body = json.loads(json.loads(encode(Snapshot(3, 1.0, Counts(9, 1, 0), {}), "x"))["body"])
    del body["counts"]["looks"], body["counts"]["rejected_in_a_row"]
    text = json.dumps(body)
    (tmp_path / "old.json").write_text(json.dumps({"crc": zlib.crc32(text.encode()), "body": text}))
    found, why_not = load(tmp_path / "old.json", "x", 3)
    assert why_not is None and found is not None and found.counts == Counts(9, 1, 0, 0, 0)


def test_a_snapshot_that_knows_of_more_looks_than_the_journal_is_not_used(tmp_path: Path) -> None:
    config = toy_config(tmp_path, space=TOY, fitness=HALF, budget={"evaluations": 40})
    whole, _ = instant_search(toy_config(tmp_path / "whole", space=TOY, fitness=HALF, budget={"evaluations": 40}))
    expected = journal_without_times(whole.run().folder)
    folder = instant_search(config)[0].run().folder
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "journal.jsonl").write_bytes(b"".join(lines[:4]))
    (folder / "result.json").unlink()
    instant_search(config)[0].run()
    assert journal_without_times(folder) == expected


@pytest.mark.parametrize("strategy", own_strategies())
@pytest.mark.parametrize("objective", [None, PARETO], ids=["rank", "pareto"])
def test_a_run_that_is_stopped_anywhere_resumes_to_the_same_journal(
    tmp_path: Path, strategy: str, objective: dict[str, Any] | None
) -> None:
    changes: dict[str, Any] = {"fitness": limited(objective, params={"max": 9000.0}), "strategy": strategy}
    changes["budget"] = {"evaluations": 60}
    whole, _ = run_to_the_end(toy_config(tmp_path / "whole", **changes))
    config = toy_config(tmp_path, **changes)
    for stop in (1, 13, 30):
        with pytest.raises(PulledPlugError):
            Search(config, Stopping(stop), quiet=True, report=False).run()
    folder, _ = run_to_the_end(config)
    assert journal_without_times(folder) == journal_without_times(whole)
    assert any(line["kind"] == "look" for line in journal_without_times(whole))
    results = [json.loads((f / "result.json").read_text()) for f in (folder, whole)]
    for name in ("best", "top", "front", "counts", "stop_reason"):
        assert results[0][name] == results[1][name]


def test_a_run_whose_journal_is_cut_anywhere_resumes_to_the_same_journal(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"space": TOY, "fitness": HALF, "budget": {"evaluations": 30}}
    whole, _ = run_to_the_end(toy_config(tmp_path / "whole", **changes))
    lines = (whole / "journal.jsonl").read_bytes().splitlines(keepends=True)
    config = toy_config(tmp_path, **changes)
    folder, _ = run_to_the_end(config)
    for end in range(1, len(lines), 3):
        (folder / "journal.jsonl").write_bytes(b"".join(lines[:end]))
        for name in ("result.json", "snapshot.json"):
            (folder / name).unlink()
        run_to_the_end(config)
        assert journal_without_times(folder) == journal_without_times(whole)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
@pytest.mark.parametrize("moment", [0.0, 0.3, 0.7])
def test_a_killed_process_under_constraints_with_two_objectives_resumes_to_the_same_journal(tmp_path: Path, moment: float) -> None:
    changes: dict[str, Any] = {"fitness": limited(PARETO, params={"max": 9000.0}), "strategy": "nsga2"}
    changes["budget"] = {"evaluations": 600}
    whole, _ = run_to_the_end(toy_config(tmp_path / "whole", **changes), ROUNDS)
    size = (whole / "journal.jsonl").stat().st_size
    config = toy_config(tmp_path, **changes)
    code = send_when_it_holds(start(tmp_path, changes), config.folder / "journal.jsonl", int(moment * size), signal.SIGKILL)
    assert code == -signal.SIGKILL
    folder, _ = run_to_the_end(config, ROUNDS)
    assert journal_without_times(folder) == journal_without_times(whole)


class Record(list[str]):
    """A list that is no part of the state of what holds it, since a run is not resumed when a metric has changed."""

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        return (Record, ())


class Drifting(Metric):
    """A cost that is another one every time it is measured, as a latency is."""

    name = "drifting"
    description = "for tests"
    repeatable = False
    measured = Record()  # one for all, so that measuring anything twice is seen

    def cost(self, architecture: CostSubject) -> float:
        self.measured.append(architecture.space.key(architecture.genotype))
        return float(architecture.counted.params + 1000 * np.sin(len(self.measured)))


@pytest.fixture
def drifting(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setitem(METRICS._known, "drifting", Drifting)
    Drifting.measured.clear()
    return Drifting.measured


class StoppingLate(Stopping):
    """Ends the process's work before a given evaluation, on the small space."""

    def __init__(self, limit: int) -> None:
        InstantEvaluator.__init__(self, SPACE)
        self.limit = limit

    def evaluate(self, pairs: Sequence[tuple[str, Genotype]]) -> Iterator[Evaluation]:
        return super().evaluate(pairs)


@pytest.mark.parametrize("strategy", ["random", "genetic", "annealing", "nsga2"])
def test_measured_costs_are_kept_in_the_journal_and_never_measured_again(
    tmp_path: Path, drifting: list[str], strategy: str
) -> None:
    fitness = limited(drifting={"max": 3500.0})
    config = toy_config(tmp_path, space=TOY, fitness=fitness, strategy=strategy, budget={"evaluations": 60})
    for stop in (1, 9, 25):
        with pytest.raises(PulledPlugError):
            Search(config, StoppingLate(stop), quiet=True, report=False).run()
        before = (config.folder / "journal.jsonl").read_bytes()
        (config.folder / "snapshot.json").unlink(missing_ok=True)
    result = instant_search(config)[0].run()
    journal = result.folder / "journal.jsonl"
    assert journal.read_bytes().startswith(before)
    content = read_journal(journal)
    looked = {look.key: look for look in content.looks}
    assert len(looked) == len(content.looks) and sorted(drifting) == sorted(looked)
    assert {look.admitted for look in content.looks} == {True, False}
    for evaluation in content.evaluations:
        assert evaluation.costs == looked[evaluation.key].costs and evaluation.costs["drifting"] <= 3500
    measured = len(drifting)
    (result.folder / "result.json").unlink()
    lines = journal_without_times(result.folder)
    assert instant_search(config)[0].run().best == result.best
    assert len(drifting) == measured and journal_without_times(result.folder) == lines


def test_a_measured_objective_is_kept_in_the_evaluations_lines(tmp_path: Path, drifting: list[str]) -> None:
    fitness = limited({"pareto": ["naswot", {"minimise": "drifting"}]})
    config = toy_config(tmp_path, space=TOY, fitness=fitness, strategy="nsga2", budget={"evaluations": 60})
    with pytest.raises(PulledPlugError):
        Search(config, StoppingLate(40), quiet=True, report=False).run()
    before = (config.folder / "journal.jsonl").read_bytes()
    result = instant_search(config)[0].run()
    assert (result.folder / "journal.jsonl").read_bytes().startswith(before)
    content = read_journal(result.folder / "journal.jsonl")
    assert content.looks == [] and all(set(e.costs) == {"drifting"} for e in content.evaluations)


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.fixture
def config_file(tmp_path: Path) -> str:
    path = tmp_path / "limits.yaml"
    path.write_text(yaml.safe_dump(as_values(toy_config(tmp_path, space={"name": "nats_tss"}))))
    np.savez(tmp_path / "latency.npz", raspi4=np.ones(15625), pixel3=np.ones(15625))
    return str(path)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("fitness.constraints={parms: {max: 1.0}}", "unknown metric 'parms'; did you mean 'params'?"),
        ("fitness.constraints={params: {min: 2.0, max: 1.0}}", "min 2 is above max 1"),
        ("fitness.constraints={params: {}}", "'fitness.constraints.params' has no bound"),
        ("fitness.constraints={latency: {max: 1.0, device: cuda:7}}", "device 'cuda:7' is not available"),
        ("fitness.constraints={latency: {max: 1.0, repeats: 0}}", "'fitness.constraints.latency.repeats'"),
        (
            "fitness.constraints={latency:raspi: {max: 1.0, path: PATH}}",
            "has no 'latency:raspi'; did you mean 'latency:raspi4'?",
        ),
        ("fitness.constraints={latency:raspi4: {max: 1.0}}", "'fitness.constraints.latency:raspi4.path' is missing"),
        ("fitness.constraints={power:raspi4: {max: 1.0}}", "unknown metric 'power:raspi4'"),
        ("fitness.constraints={latency:DEVICE: {max: 1.0, path: PATH}}", "needs the name of a device, as in 'latency:raspi4'"),
        ("fitness.objective={pareto: [naswot, {minimise: flop}]}", "unknown metric 'flop'; did you mean 'flops'?"),
        ("fitness.objective={pareto: [naswot]}", "must have at least two members, one of them a proxy"),
        ("fitness.objective={pareto: [{minimise: params}, {minimise: flops}]}", "one of them a proxy"),
        ("fitness.objective={pareto: [naswt, {minimise: flops}]}", "'naswt' is not a configured proxy; did you mean 'naswot'?"),
        ("fitness.objective={pareto: [naswot, {minimize: flops}]}", "should hold proxies, metrics such as {minimise: flops}"),
        ("fitness.objective={pareto: [naswot, {minimise: latency, repeat: 3}]}", "did you mean 'repeats'?"),
        ("fitness.objective={pareto: [naswot, naswot]}", "names 'naswot' twice"),
        ("fitness.objective={pareto: [naswot, synflow], rule: linear}", "'fitness.objective.rule' belongs to 'rank'"),
        ("fitness.objective={pareto: [naswot, synflow], reference_point: [1.0]}", "must have one value a member, 2, but it has 1"),
        ("fitness.objective={score: naswot, reference_point: [1.0]}", "'fitness.objective.reference_point' belongs to 'pareto'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    tmp_path: Path, config_file: str, capsys: pytest.CaptureFixture[str], override: str, message: str
) -> None:
    code = run(["search", config_file, "--set", override.replace("PATH", str(tmp_path / "latency.npz"))])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert message in err and len(err.splitlines()) == 1


def test_a_table_of_another_space_is_one_line(tmp_path: Path, config_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    table = f"fitness.constraints={{latency:raspi4: {{max: 1.0, path: {tmp_path}/latency.npz}}}}"
    assert run(["search", config_file, "--set", table, "--set", "space=nats_sss"]) == 2
    err = capsys.readouterr().err
    assert "is a table of another space: it has 15,625 rows, but nats_sss has 32,768 architectures" in err
    assert len(err.splitlines()) == 1 and not (tmp_path / "run").exists()


def test_metrics_can_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "metrics", "--json"]) == 0
    listed = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    names = "params flops depth activation_memory latency latency:DEVICE energy:DEVICE predicted sram flash"
    assert set(listed) >= set(names.split())
    of_command = {"command": None, "timeout": 60.0, "retries": 1}
    assert listed["latency"]["parameters"] == {"device": "cpu", "warm_up": 5, "repeats": 21, **of_command}


def test_a_summary_names_costs_front_and_rejections(tmp_path: Path) -> None:
    fitness = limited(PARETO, params={"max": 3500.0})
    config = toy_config(tmp_path, space=TOY, strategy="nsga2", fitness=fitness, budget={"evaluations": 40})
    lines = dict(summary(instant_search(config)[0].run()))
    assert lines["costs"].startswith("params ") and "flops " in lines["costs"]
    assert " not dominated, hypervolume " in lines["front"] and " rejected, " in lines["stopped"]
    config = toy_config(tmp_path, name="nothing", space=TOY, fitness=limited(params={"max": 10.0}))
    assert dict(summary(instant_search(config)[0].run()))["found"] == "nothing: no candidate is within the limits"
