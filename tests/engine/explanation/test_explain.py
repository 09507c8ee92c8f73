"""One candidate explained: ranks, spread and ties against literal forms, what is written, and every way in which it cannot be."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy.stats import rankdata

from rbflex_evo.engine.commands.app import run
from rbflex_evo.engine.commands.explain import summary
from rbflex_evo.engine.configuration.config import parse_config
from rbflex_evo.engine.explanation.document import Calls, Explanation, account_of, read_explanation
from rbflex_evo.engine.explanation.explain import explain, rank_of, spread_of
from rbflex_evo.engine.explanation.figures import block_shares, distribution, nearby
from rbflex_evo.engine.report.report import write_report
from rbflex_evo.engine.run.record import read_run
from rbflex_evo.engine.search.search import Search
from rbflex_evo.fitness import create_batch, create_proxy
from rbflex_evo.fitness.evaluation import keyed
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import Evaluator
from rbflex_evo.fitness.passes.weights import WeightParameters
from rbflex_evo.spaces import ConfigError, GenotypeError, RunError, create_space
from tests.support.calls import calls_of
from tests.support.page import Page
from tests.support.runs import CELLS, DEAD, evaluations, write_run

SEEDS = 4
SPACE: dict[str, Any] = {"name": "toy", "genes": 4, "channels": 4}
DATA: dict[str, Any] = {"source": "noise", "shape": [3, 8, 8], "n": 5}


def searched(folder: Path, **changes: Any) -> Path:
    """Runs a small search and returns its folder."""
    values: dict[str, Any] = {
        "name": "run",
        "space": SPACE,
        "data": DATA,
        "fitness": {
            "proxies": {"rbflex": {"networks": 3}, "naswot": {}, "params": {}},
            "objective": {"rank": ["rbflex", "naswot"]},
            "weights": {"seed": 6},
        },
        "strategy": "random",
        "budget": {"evaluations": 40},
        "workers": 1,
        "cache": str(folder / "cache.sqlite"),
        "runs": str(folder / "runs"),
    }
    return Search(parse_config({**values, **changes}), quiet=True, report=False).run().folder


@pytest.fixture(scope="module")
def origin(tmp_path_factory) -> Path:
    """A finished run with a table of accuracies, and statistics of other weight seeds in its cache; not to be changed."""
    folder = tmp_path_factory.mktemp("explained")
    space = create_space(**SPACE)
    rows = [f"{space.notation(g)},{i / 3}" for i, g in enumerate(space.encoding.enumerate())]
    (folder / "known.csv").write_text("\n".join(["notation,accuracy", *rows]))
    found = searched(folder, table={"source": "csv", "path": str(folder / "known.csv"), "dataset": "toys"})
    explain(found, seeds=SEEDS, quiet=True)
    return found


@pytest.fixture
def folder(origin, tmp_path) -> Path:
    """A copy of that run, without its explanation."""
    shutil.copytree(origin, tmp_path / "run")
    (tmp_path / "run" / "explain.json").unlink()
    return tmp_path / "run"


@pytest.fixture(scope="module")
def explanation(origin) -> Explanation:
    found = read_explanation(origin)
    assert found is not None
    return found


def scored(folder: Path):
    """The run's evaluations that have both members, by key."""
    return {e.key: e for e in read_run(folder).evaluations if {"rbflex", "naswot"} <= set(e.scores)}


def test_the_found_candidate_is_explained_by_default(origin, explanation):
    best = json.loads((origin / "result.json").read_text())["best"]
    assert explanation.notation == best["notation"]
    assert explanation.found
    assert explanation.scores == best["scores"]
    assert read_run(origin).evaluations[explanation.evaluation - 1].key == best["key"]


def test_ranks_count_from_the_best_with_ties_averaged(origin, explanation):
    run = scored(origin)
    position = list(run).index(explanation.key)
    for name, rank in explanation.ranks.items():
        scores = np.array([e.scores[name] for e in run.values()])
        assert rank.place == rankdata(-scores)[position]
        assert rank.of == len(run)
        assert rank.below == pytest.approx(sum(scores < scores[position]) / (len(run) - 1))


def test_equal_scores_share_the_mean_of_their_places():
    assert rank_of(2.0, np.array([3.0, 2.0, 2.0, 1.0])).model_dump() == {"place": 3.0, "of": 5, "below": 0.25}
    assert rank_of(2.0, np.array([])).model_dump() == {"place": 1.0, "of": 1, "below": 0.0}


def test_the_spread_is_of_the_same_scores_under_other_weights_and_the_gammas_of_the_run(origin, explanation):
    space = create_space(**SPACE)
    gammas = json.loads((origin / "result.json").read_text())["evaluator"]["gammas"]["rbflex"]
    batch = create_batch("noise", shape=DATA["shape"], n=DATA["n"])
    assert explanation.seeds == [7, 8, 9, 10]
    for position, seed in enumerate(explanation.seeds):
        proxies = {
            "rbflex": create_proxy("rbflex", gamma=[gammas["gamma_k"], gammas["gamma_q"]]),
            "naswot": create_proxy("naswot"),
            "params": create_proxy("params"),
        }
        with Evaluator(Conditions.of(space, batch, weights=WeightParameters(seed=seed)), proxies, workers=1) as evaluator:
            (expected,) = evaluator.evaluate(keyed(evaluator, [space.parse(explanation.notation)]))
        assert {name: spread.values[position] for name, spread in explanation.spread.items()} == expected.scores
    for spread in explanation.spread.values():
        assert spread.mean == pytest.approx(np.mean(spread.values))
        assert spread.deviation == pytest.approx(np.std(spread.values, ddof=1))
        assert (spread.least, spread.most) == (min(spread.values), max(spread.values))
    assert explanation.spread["rbflex"].deviation > 0
    assert explanation.spread["params"].deviation == 0


def test_a_seed_with_which_a_score_fails_is_left_out_of_its_spread():
    spread = spread_of(5.0, [1.0, None, 3.0])
    assert (spread.values, spread.mean, spread.deviation) == ([1.0, None, 3.0], 2.0, math.sqrt(2))
    assert spread.shift == pytest.approx(3 / math.sqrt(2))
    assert spread_of(5.0, [None, 3.0]).deviation is None


def test_explaining_again_measures_nothing_and_says_the_same(origin, folder, explanation):
    calls = calls_of(lambda: explain(folder, seeds=SEEDS, quiet=True))
    assert calls["_measure_tile"] == 0
    assert calls["layer_distances"] == 1
    assert (folder / "explain.json").read_bytes() == (origin / "explain.json").read_bytes()
    assert calls_of(lambda: explain(folder, seeds=SEEDS + 1, quiet=True))["_measure_tile"] == 1


def test_ties_are_the_candidates_within_one_deviation_in_every_member(origin, explanation):
    run = scored(origin)
    own = run.pop(explanation.key)

    def within(e, name: str) -> bool:
        return abs(e.scores[name] - own.scores[name]) <= explanation.spread[name].deviation

    members = ("rbflex", "naswot")
    assert explanation.ties.members == {name: sum(within(e, name) for e in run.values()) for name in members}
    space = create_space(**SPACE)
    expected = {space.notation(e.genotype) for e in run.values() if all(within(e, name) for name in members)}
    assert explanation.ties.count == len(expected)
    assert {tied.notation for tied in explanation.ties.nearest} <= expected
    assert len(explanation.ties.nearest) == min(10, len(expected))
    assert explanation.ties.of == len(run)


def test_ties_are_listed_from_the_nearest_and_no_more_than_ten(tmp_path):
    proxies = {"proxies": {"naswot": {}}, "objective": {"score": "naswot"}}
    folder = searched(tmp_path, fitness=proxies, budget={"evaluations": 60})
    # The one whose score has most neighbours.
    scores = {e.key: e.scores["naswot"] for e in read_run(folder).evaluations if e.scores}
    explained = [explain(folder, key, seeds=2, quiet=True) for key in list(scores)[:12]]
    most = max(explained, key=lambda e: e.ties.count)
    assert most.ties.count > 10
    assert len(most.ties.nearest) == 10
    away = [abs(tied.scores["naswot"] - most.scores["naswot"]) for tied in most.ties.nearest]
    assert away == sorted(away)
    nearest = sorted(abs(score - scores[most.key]) for key, score in scores.items() if key != most.key)[:10]
    assert away == pytest.approx(nearest)


def test_a_score_that_no_weight_moves_ties_with_its_equals_only(tmp_path):
    fitness = {"proxies": {"params": {}}, "objective": {"score": "params"}}
    found = explain(searched(tmp_path, fitness=fitness), seeds=2, quiet=True)
    others = [e for e in read_run(tmp_path / "runs" / "run").evaluations if e.key != found.key]
    assert found.ties.count == sum(e.scores["params"] == found.scores["params"] for e in others)
    assert found.layers == []


def test_layers_are_those_of_the_network_that_was_scored(explanation):
    (found,) = explanation.layers
    assert (found.score, found.pairs) == ("rbflex", 10)
    assert found.calls == Calls(read=len(found.layers))
    shares = block_shares(found.layers)
    assert [share.name for share in shares] == list(dict.fromkeys(layer.block for layer in found.layers))
    assert sum(share.distances for share in shares) == pytest.approx(1)
    assert sum(share.units for share in shares) == pytest.approx(1)
    assert sum(share.layers for share in shares) == len(found.layers)


def test_the_account_of_the_calls_names_the_layers_that_are_not_simply_read():
    calls = Calls(read=34, regrouped=["a", "b", "c", "d", "e"], fixed=["gate"])
    assert account_of(calls) == "34 read, 5 regrouped (a, b, c and 2 more), 1 the same for every image (gate)"


def test_an_explanation_of_an_earlier_version_has_no_account(explanation):
    earlier = explanation.model_dump(mode="json")
    del earlier["layers"][0]["calls"]
    assert Explanation.model_validate(earlier).layers[0].calls is None


def test_accuracies_are_those_of_the_table(explanation):
    space = create_space(**SPACE)
    known = {space.notation(g): i / 3 for i, g in enumerate(space.encoding.enumerate())}
    assert explanation.dataset == "toys"
    assert explanation.accuracy == pytest.approx(known[explanation.notation])
    for tied in explanation.ties.nearest:
        assert tied.accuracy == pytest.approx(known[tied.notation])


def test_a_table_that_is_gone_is_said_and_the_rest_explained(folder, explanation):
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["table"]["path"] = str(folder / "gone.csv")
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    found = explain(folder, seeds=SEEDS, quiet=True)
    assert found.accuracy is None
    assert found.notice is not None
    assert "gone.csv" in found.notice
    assert found.spread == explanation.spread


def test_any_other_architecture_is_explained_as_the_run_would_have_scored_it(folder):
    known = scored(folder)
    space = create_space(**SPACE)
    every = space.keys()
    key = next(k for k in every if k not in known and "conv3" in k and "zero" not in k)
    found = explain(folder, key, seeds=2, quiet=True)
    assert (found.evaluation, found.found) == (None, False)
    assert found.ranks["rbflex"].of == len(known) + 1
    assert found.ties.of == len(known)
    # The same candidate in a run that starts from it.
    again = searched(folder, warm_start=[key], budget={"evaluations": 1})
    assert read_run(again).evaluations[0].scores == found.scores


def test_every_space_and_score_can_be_explained(tmp_path):
    folder = searched(
        tmp_path,
        space={"name": "nats_tss", "channels": 4, "cells": 1},
        fitness={"proxies": {"rbflex": {"mode": "published"}, "grad_norm": {}}, "objective": {"rank": ["rbflex", "grad_norm"]}},
        budget={"evaluations": 12},
    )
    found = explain(folder, seeds=2, quiet=True)
    assert found.spread["grad_norm"].deviation > 0
    assert {layer.block for layer in found.layers[0].layers} == {f"blocks.{i}" for i in range(5)}


def test_a_run_without_a_result_or_without_a_score_is_one_line(tmp_path):
    unfinished = write_run(tmp_path / "open", evaluations(), finished=False)
    with pytest.raises(RunError, match=r"has no result yet; go on with: rbflex-evo resume"):
        explain(unfinished)
    failed = write_run(tmp_path / "failed", evaluations()[3:])
    with pytest.raises(RunError, match="nothing to explain: every candidate failed, and its report"):
        explain(failed)
    fitness = {"proxies": {"rbflex": {}, "naswot": {}}, "objective": {"rank": ["rbflex", "naswot"]}}
    fitness["constraints"] = {"params": {"max": 1.0}, "handling": "deb"}
    outside = write_run(tmp_path / "outside", evaluations(), fitness=fitness)
    result = json.loads((outside / "result.json").read_text())
    (outside / "result.json").write_text(json.dumps({**result, "best": None, "top": []}))
    with pytest.raises(RunError, match="nothing to explain: every candidate failed or breaks a limit, and its report"):
        explain(outside)
    with pytest.raises(RunError, match="there is no run folder"):
        explain(tmp_path / "none")


def test_an_architecture_that_is_none_or_failed_is_one_line(folder, tmp_path):
    with pytest.raises(GenotypeError, match="unknown operation 'conv4'; did you mean"):
        explain(folder, "conv4+skip|skip+skip")
    with pytest.raises(RunError, match=r"zero\+zero\|skip\+skip cannot be explained: it failed \(rbflex: "):
        explain(folder, "zero+zero|skip+skip")
    small = {"space": {"name": "nats_tss", "channels": 4, "cells": 1}, "data": DATA}
    told = write_run(tmp_path / "told", evaluations(), **small)
    with pytest.raises(RunError, match=r"cannot be explained: it failed .*no path from input to <output>"):
        explain(told, DEAD, quiet=True)


def test_a_spread_of_one_seed_is_refused(folder):
    with pytest.raises(ConfigError, match="at least 2 other weight seeds, but 1"):
        explain(folder, seeds=1)


def test_other_images_than_those_of_the_run_are_refused(folder):
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["data"]["seed"] = 9
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(RunError, match="the input images are not those"):
        explain(folder, quiet=True)


def test_a_replay_of_scores_that_its_configuration_does_not_measure_is_refused(tmp_path):
    small = {"space": {"name": "nats_tss", "channels": 4, "cells": 1}, "data": DATA, "scores": "scores.npz"}
    folder = write_run(tmp_path / "run", evaluations(), **small)
    with pytest.raises(RunError, match=r"was replayed from scores that its configuration does not measure: rbflex is -8000\.5"):
        explain(folder, CELLS[0], quiet=True)


def test_a_damaged_explanation_is_named_with_the_way_out(folder):
    (folder / "explain.json").write_text('{"version": 1}')
    with pytest.raises(RunError, match=r"explain.json is damaged or of another version; write it again with: rbflex-evo explain"):
        write_report(folder)
    explain(folder, seeds=SEEDS, quiet=True)
    assert read_explanation(folder) is not None


def test_a_report_says_how_to_explain_its_candidate(tmp_path):
    fitness = {"proxies": {"naswot": {}}, "objective": {"score": "naswot"}}
    folder = searched(tmp_path, fitness=fitness, budget={"evaluations": 5})
    text = Page(write_report(folder)).text
    assert f"rbflex-evo explain {folder}" in text
    assert "architecture explained" not in text


def test_the_command_adds_the_explanation_to_the_report(folder, explanation, capsys):
    assert run(["explain", str(folder), "--seeds", str(SEEDS), "--json"]) == 0
    assert Explanation.model_validate_json(capsys.readouterr().out) == explanation
    assert read_explanation(folder) == explanation
    page = Page(folder / "report.html")
    assert "The found architecture explained" in page.text
    assert "rbflex-evo explain" not in page.text
    rank, spread = explanation.ranks["rbflex"], explanation.spread["rbflex"]
    assert f"{rank.place:g} of {rank.of}" in page.text
    assert f"{spread.mean:.6g} ± {spread.deviation:.3g}" in page.text
    assert f"Activation calls: {len(explanation.layers[0].layers)} read." in page.text
    assert all(text in page.text for text in (explanation.layers[0].layers[0].name, explanation.ties.nearest[0].notation))
    assert {"spread_rbflex", "spread_naswot", "layers_rbflex"} <= {path.stem for path in folder.glob("*.png")}
    assert not (folder / "spread_params.png").exists()
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))


def test_a_report_without_rbflex_says_why_no_layers_are_shown(tmp_path):
    fitness = {"proxies": {"naswot": {}}, "objective": {"score": "naswot"}}
    folder = searched(tmp_path, fitness=fitness, budget={"evaluations": 10})
    explain(folder, seeds=2, quiet=True)
    assert "it is not among the scores of this run" in Page(write_report(folder)).text


def test_what_is_printed_says_each_part_in_a_line(explanation):
    lines = summary(explanation)
    assert lines[0] == f"found      {explanation.notation}"
    assert [line.split()[0] for line in lines if line[:1] != " "] == [
        "found", "accuracy", "rbflex", "naswot", "params", "tied", "calls", "layers",
    ]  # fmt: skip
    assert "the same with 4 other weight seeds" in lines[4]
    shares = [float(line.split("%")[0]) for line in lines[-len(explanation.layers[0].layers) :]]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=0.5)


def test_the_command_takes_an_architecture(tmp_path, capsys):
    fitness = {"proxies": {"params": {}}, "objective": {"score": "params"}}
    folder = searched(tmp_path, fitness=fitness, budget={"evaluations": 3})
    assert run(["explain", str(folder), "conv1+skip|skip+skip", "--seeds", "2"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("candidate  conv1+skip|skip+skip")
    assert out.endswith(f"report     {folder / 'report.html'}\n")
    assert "Another architecture explained" in Page(folder / "report.html").text


def test_the_command_answers_mistakes_in_a_line(folder, capsys):
    for arguments, part in (
        ([str(folder), "conv4+skip|skip+skip"], "did you mean"),
        ([str(folder / "none")], "there is no run folder"),
    ):
        assert run(["explain", *arguments]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("error: ")
        assert part in err
        assert len(err.splitlines()) == 1
    assert run(["explain", str(folder), "--seeds", "1"]) == 2


def test_the_lowest_tenth_is_left_out_of_a_distribution_unless_it_holds_what_is_shown():
    scores = np.arange(100.0)
    found = distribution(scores, [50.0])
    assert (found.left_out, found.counts.sum(), found.edges[-1]) == (10, 90, 99.0)
    whole = distribution(scores, [-3.0, 120.0])
    assert (whole.left_out, whole.counts.sum()) == (0, 100)
    assert (whole.edges[0], whole.edges[-1]) == (-3.0, 120.0)
    assert distribution(np.array([]), [2.0]).counts.sum() == 0


def test_the_enlarged_part_holds_the_spread_and_the_stripe():
    spread = spread_of(10.0, [1.0, 2.0, 3.0])
    low, high = nearby(spread, 10.0)
    assert low < 1.0
    assert high > 11.0
