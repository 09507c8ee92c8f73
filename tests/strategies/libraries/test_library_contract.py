"""Conformance of the strategies of other libraries, over several of their optimisers."""

import subprocess
import sys

import numpy as np
import pytest

from rbflex_evo.spaces import ConfigError, VectorEncoding
from rbflex_evo.strategies import create_strategy
from rbflex_evo.strategies.conformance.check_strategy import check_strategy
from rbflex_evo.strategies.conformance.synthetic import VariableLengthEncoding, World

QUICK = [
    ("optuna", {"sampler": "RandomSampler", "repeats": 5}),
    ("pymoo", {"population": 8}),
]
# Nevergrad needs some 3 ms for a proposal, and TPE up to 10 ms.
VARIANTS = [
    ("optuna", {"repeats": 5}),
    ("optuna", {"sampler": "TPESampler", "options": {"multivariate": True, "n_startup_trials": 3}, "batch": 4, "repeats": 2}),
    ("optuna", {"sampler": "NSGAIISampler", "options": {"population_size": 8}, "repeats": 5}),
    ("optuna", {"sampler": "NSGAIIISampler", "options": {"population_size": 8}, "repeats": 5}),
    ("optuna", {"sampler": "CmaEsSampler", "options": {"with_margin": True, "n_startup_trials": 3}, "repeats": 5}),
    ("optuna", {"sampler": "QMCSampler", "repeats": 5}),
    ("nevergrad", {"repeats": 3}),
    ("nevergrad", {"optimiser": "PortfolioDiscreteOnePlusOne", "batch": 5, "repeats": 3}),
    ("nevergrad", {"optimiser": "DE", "repeats": 3}),
    ("nevergrad", {"optimiser": "TBPSA", "repeats": 3}),
    ("nevergrad", {"optimiser": "NGOpt", "planned": 300, "repeats": 3}),
    ("pymoo", {"repeats": 5}),
    ("pymoo", {"algorithm": "NSGA2", "population": 8}),
    ("pymoo", {"algorithm": "NSGA3", "population": 8}),
    ("pymoo", {"algorithm": "UNSGA3", "population": 8}),
    ("pymoo", {"algorithm": "AGEMOEA", "population": 8}),
    ("pymoo", {"algorithm": "SPEA2", "population": 8, "options": {"n_offsprings": 3}}),
]


def name_of(value):
    return value if isinstance(value, str) else "-".join(str(one) for one in value.values() if not isinstance(one, dict))


@pytest.mark.parametrize(("name", "values"), QUICK, ids=name_of)
def test_quick_optimisers_of_other_libraries_keep_the_contract(name, values):
    pytest.importorskip(name)
    check_strategy(name, **values)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "values"), VARIANTS, ids=name_of)
def test_optimisers_of_other_libraries_keep_the_contract(name, values):
    pytest.importorskip(name)
    check_strategy(name, **values)


@pytest.mark.parametrize("name", ["optuna", "nevergrad", "pymoo"])
def test_defaults_are_those_of_the_parameters_and_describe_themselves(name):
    pytest.importorskip(name)
    strategy = create_strategy(name, VectorEncoding([3, 3]))
    assert strategy.name == name
    assert f"extra: {name}" in strategy.description
    assert strategy.parameters == strategy.Parameters()


@pytest.mark.parametrize("name", ["optuna", "nevergrad", "pymoo"])
def test_an_encoding_without_a_fixed_list_of_choices_is_refused_in_one_line(name):
    pytest.importorskip(name)
    with pytest.raises(ConfigError, match="needs a fixed list of choices, which VariableLengthEncoding does not") as info:
        create_strategy(name, VariableLengthEncoding(5))
    assert "\n" not in str(info.value)


PROPOSE = """
import sys
from rbflex_evo.spaces import VectorEncoding
from rbflex_evo.strategies import create_strategy
from rbflex_evo.strategies.conformance.synthetic import World
encoding = VectorEncoding((4,) * 5)
world, strategy = World(encoding, "archive"), create_strategy(sys.argv[1], encoding, 3)
for _ in range(12):
    genotypes = strategy.ask(40, world.view)
    strategy.tell(world.evaluate(genotypes), world.view)
    print(genotypes)
"""


@pytest.mark.parametrize("name", ["optuna", "nevergrad", "pymoo"])
def test_another_process_with_another_hash_seed_proposes_the_same(name):
    pytest.importorskip(name)
    outputs = [
        subprocess.run(
            [sys.executable, "-c", PROPOSE, name], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        )
        for seed in ("1", "2")
    ]
    assert len(outputs[0].stdout.splitlines()) == 12
    assert outputs[0].stdout == outputs[1].stdout
    assert [output.stderr for output in outputs] == ["", ""]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "values"), [("optuna", {}), ("nevergrad", {}), ("pymoo", {"population": 20})])
def test_a_search_finds_better_candidates_than_random_search(name, values):
    pytest.importorskip(name)
    encoding = VectorEncoding((4,) * 8)
    means = {}
    for chosen, given in ((name, values), ("random", {"batch": 1})):
        found = []
        for seed in range(5):
            world, strategy = World(encoding), create_strategy(chosen, encoding, seed, **given)
            while len(world) < 150:
                strategy.tell(world.evaluate(strategy.ask(150 - len(world), world.view)), world.view)
            found.append(max(evaluation.scores["near"] for evaluation in world.archive.evaluations))
        means[chosen] = np.mean(found)
    assert means[name] > means["random"]
