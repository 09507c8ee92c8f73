"""What every strategy of another library does with known, failed, infeasible and random candidates, and how it is restored."""

import json
import logging
import sys

import numpy as np
import pytest

from rbflex_evo.spaces import ConfigError, RunError, VectorEncoding
from rbflex_evo.spaces.encodings.conditional import ConditionalEncoding, Gene, Rule
from rbflex_evo.spaces.encodings.dag import DagEncoding
from rbflex_evo.spaces.encodings.staged import StagedEncoding, StageRange
from rbflex_evo.strategies import create_strategy
from rbflex_evo.strategies.conformance.synthetic import World

LIBRARIES = ["optuna", "nevergrad", "pymoo"]
ENCODING = VectorEncoding((4,) * 5)
IS_ONE = Rule((0,), lambda value: value == 1, "a is 1")
EQUAL = Rule((2, 3), lambda c, d: c == d, "c is d")


def created(name, encoding=ENCODING, seed=0, **values):
    pytest.importorskip(name)
    small = {"population": 10} if name == "pymoo" else {}
    return create_strategy(name, encoding, seed, **{**small, **values})


def run(strategy, world, evaluations, most=1000):
    """Searches until `evaluations` candidates were evaluated; returns the batches."""
    batches = []
    while len(world) < evaluations:
        genotypes = strategy.ask(min(most, evaluations - len(world)), world.view)
        if not genotypes:
            break
        batches.append(genotypes)
        strategy.tell(world.evaluate(genotypes), world.view)
    return batches


def told(strategy):
    """Returns what the optimiser was told, in order."""
    return [entry for entry in strategy.get_state()["log"] if len(entry) > 1]


@pytest.mark.parametrize("name", LIBRARIES)
def test_known_proposals_are_told_again_at_no_cost_and_the_search_goes_on(name):
    encoding = VectorEncoding((3, 2, 2))
    world = World(encoding)
    strategy = created(name, encoding, repeats=3)
    keys = {world.view.key(genotype) for genotype in encoding.enumerate()}
    run(strategy, world, 1000)
    assert len(world) == len(keys)
    entries = told(strategy)
    if name == "pymoo":  # which proposes nothing twice
        assert len(entries) == len(keys)
        return
    # Random candidates took the place of what was proposed again and again.
    assert any(isinstance(entry[0], list) for entry in entries)
    assert len(entries) > len(keys)


@pytest.mark.parametrize("name", LIBRARIES)
def test_failed_candidates_are_told_as_failed(name):
    world = World(ENCODING, succeeds_every=3)
    strategy = created(name)
    run(strategy, world, 60)
    failed = sum(evaluation.failed for evaluation in world.archive.evaluations)
    assert sum(entry[1] is None for entry in told(strategy)) >= failed > 0


@pytest.mark.parametrize(
    ("name", "values", "columns"),
    [
        ("optuna", {}, 2),
        ("optuna", {"sampler": "NSGAIISampler"}, 2),
        ("optuna", {"sampler": "CmaEsSampler"}, 1),
        ("nevergrad", {}, 2),
        ("pymoo", {"algorithm": "NSGA2"}, 2),
        ("pymoo", {"algorithm": "GA"}, 1),
    ],
)
def test_several_objectives_are_told_unless_the_optimiser_takes_one(name, values, columns):
    world = World(ENCODING, "pareto")
    strategy = created(name, **values)
    run(strategy, world, 30)
    assert {len(entry[1]) for entry in told(strategy)} == {columns}


@pytest.mark.parametrize(("name", "values"), [("optuna", {}), ("pymoo", {"algorithm": "NSGA2"}), ("nevergrad", {})])
def test_violations_are_told_and_feasible_candidates_are_found(name, values):
    world = World(ENCODING, "pareto", limit=4.0, handling="deb")
    strategy = created(name, **values)
    run(strategy, world, 60)
    evaluations = world.archive.evaluations
    late = [world.view.violations([evaluation.key])[0] for evaluation in evaluations[30:]]
    assert any(entry[2] > 0 for entry in told(strategy))
    # A random candidate breaks the limit in nine of ten cases.
    assert np.mean([violation == 0 for violation in late]) > 0.2


@pytest.mark.parametrize("name", LIBRARIES)
def test_values_are_those_of_the_time_when_they_were_told(name):
    world = World(ENCODING, "archive")
    strategy = created(name)
    (first, *_) = run(strategy, world, 10)[0]
    key = world.view.key(first)
    begin = told(strategy)[0][1][0]
    run(strategy, world, 80)
    assert told(strategy)[0][1][0] == begin
    assert world.view.utility([key])[0] != begin


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize(
    "encoding",
    [
        DagEncoding(4, 2, 4),
        StagedEncoding([2, 3], [StageRange(1, 3, 4), StageRange(2, 4, 2, step=2)]),
        ConditionalEncoding([Gene("a", 2), Gene("b", 3, True, IS_ONE), Gene("c", 9), Gene("d", 9)], [EQUAL]),
        VectorEncoding((5, 1, 5, 1, 5)),
    ],
    ids=lambda encoding: type(encoding).__name__,
)
def test_every_kind_of_encoding_with_variables_is_searched(name, encoding):
    world = World(encoding)
    strategy = created(name, encoding)
    for batch in run(strategy, world, 40):
        for genotype in batch:
            encoding.validate(genotype)
    assert len(world) == 40


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_warm_start_is_told(name):
    world = World(ENCODING)
    strategy = created(name)
    strategy.tell(world.evaluate([(0, 0, 0, 0, 0), (1, 1, 1, 1, 1)]), world.view)
    run(strategy, world, 30)
    assert [entry[0] for entry in told(strategy)[:2]] == [[0, 0, 0, 0, 0], [1, 1, 1, 1, 1]]


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_restored_strategy_goes_on_as_the_original_and_its_state_is_linear(name):
    world = World(ENCODING, "archive")
    strategy = created(name)
    run(strategy, world, 25)
    state = json.loads(json.dumps(strategy.state_dict()))
    twin, twin_world = created(name, seed=9), world.copy()
    twin.load_state_dict(state)
    assert run(twin, twin_world, 45) == run(strategy, world, 45)
    assert len(json.dumps(state)) < 3000 + 150 * len(told(twin))


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_run_is_refused_if_the_library_proposes_other_candidates_now(name):
    world = World(ENCODING)
    strategy = created(name)
    run(strategy, world, 25)
    state = strategy.state_dict()
    log = state["state"]["log"]
    asked = [i for i, entry in enumerate(log) if len(entry) == 1]
    log[asked[-1]] = [12345]
    for began, message in ((strategy.library, "proposes other candidates than before"), (f"{name} 0.1", f"install {name}==0.1")):
        twin = created(name)
        twin.load_state_dict({**state, "state": {**state["state"], "library": began}})
        with pytest.raises(RunError, match=message) as info:
            twin.ask(5, world.view)
        assert "\n" not in str(info.value)


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_missing_package_is_one_line_with_the_extra(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=rf"needs the package {name} .*: pip install 'rbflex-evo\[{name}\]'") as info:
        create_strategy(name, ENCODING)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        (
            "optuna",
            {"sampler": "TPESampeler"},
            "'strategy.sampler': Optuna has no sampler 'TPESampeler'.*mean 'TPESampler'",
        ),
        ("optuna", {"sampler": "GridSampler"}, "Optuna has no sampler 'GridSampler'"),
        ("optuna", {"options": {"n_startup_trails": 5}}, "no option 'n_startup_trails'; did you mean 'n_startup_trials'"),
        ("optuna", {"options": {"seed": 5}}, "'strategy.options.seed' is set by the search itself; leave it out"),
        ("optuna", {"options": {"n_ei_candidates": 5, "prior_weight": "x"}}, "TPESampler of optuna .* cannot"),
        ("nevergrad", {"optimiser": "DiscreteOnePlusTwo"}, "no optimiser 'DiscreteOnePlusTwo'; did you mean 'DiscreteOnePlusOne"),
        ("nevergrad", {"optimiser": "SQP"}, "SQP of Nevergrad runs a minimiser of its own in a thread"),
        ("pymoo", {"algorithm": "NSGA4"}, "pymoo has no algorithm 'NSGA4'.*; did you mean 'NSGA[23]'"),
        ("pymoo", {"options": {"n_offspring": 5}}, "no option 'n_offspring'; did you mean 'n_offsprings'"),
        ("pymoo", {"options": {"mutation": 5}}, "'strategy.options.mutation' is set by the search itself"),
    ],
)
def test_unknown_names_and_options_are_one_line_with_near_names(name, values, message):
    with pytest.raises(ConfigError, match=message) as info:
        run(created(name, **values), World(ENCODING), 30)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("name", LIBRARIES)
def test_nothing_is_printed_logged_or_warned(name, capfd, caplog, recwarn):
    run(created(name), World(ENCODING, "pareto", succeeds_every=2), 30)
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.name.startswith(name)] == []
    assert [str(warning.message) for warning in recwarn] == []
    assert logging.getLogger(name).level in (logging.NOTSET, logging.INFO)
