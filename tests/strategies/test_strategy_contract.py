"""Conformance of every registered strategy, and of the checks themselves on strategies that break one promise each."""

import random
import subprocess
import sys

import numpy as np
import pytest

from rbflex_evo.spaces import ConfigError, UnknownNameError, VectorEncoding
from rbflex_evo.spaces.conformance.checking import CheckFailed
from rbflex_evo.strategies import Strategy, create_strategy, own_strategies
from rbflex_evo.strategies.conformance.check_strategy import check_strategy
from rbflex_evo.strategies.conformance.synthetic import VariableLengthEncoding, World
from rbflex_evo.strategies.random_search import RandomSearch
from rbflex_evo.strategies.unseen import Unseen

VARIANTS = [
    ("random", {"batch": 1}),
    ("random", {"batch": 7}),
    ("genetic", {"population": 2, "offspring": 1, "tournament": 1}),
    ("genetic", {"population": 6, "offspring": 9, "crossover": 1.0, "mutation": 0.0}),
    ("genetic", {"population": 8, "crossover": 0.0, "mutation": 1.0}),
    ("annealing", {"neighbours": 1, "steps": 1, "cooling": 0.1}),
    ("annealing", {"neighbours": 3, "steps": 2, "cooling": 0.3, "memory": 5}),
    ("regularised_evolution", {"population": 2, "tournament": 1, "batch": 1}),
    ("regularised_evolution", {"population": 8, "tournament": 20, "batch": 12}),
    ("free_rea", {"population": 2, "tournament": 2}),
    ("free_rea", {"population": 7, "tournament": 3, "steps": 3}),
    ("local_search", {"initial": 4, "batch": 1}),
    ("local_search", {"initial": 30, "batch": 5}),
    ("search_economics", {"searchers": 1, "regions": 2, "goods": 1, "tournament": 1}),
    ("search_economics", {"searchers": 3, "regions": 7, "goods": 5, "tournament": 9}),
    ("large_space_evolution", {"population": 2, "initial": 50, "batch": 1}),
    ("large_space_evolution", {"population": 12, "initial": 1, "edits": 1, "batch": 30}),
    ("reinforce", {"batch": 1, "memory": 2, "momentum": 0.0}),
    ("reinforce", {"batch": 20, "learning_rate": 5.0}),
    ("regularised_evolution", {"asynchronous": True}),
    ("regularised_evolution", {"population": 8, "batch": 1, "asynchronous": True, "ahead": 30}),
    ("free_rea", {"population": 7, "asynchronous": True, "ahead": 1}),
    ("large_space_evolution", {"population": 12, "initial": 3, "batch": 5, "asynchronous": True, "ahead": 12}),
    ("genetic", {"population": 6, "offspring": 2, "asynchronous": True, "ahead": 7}),
]


@pytest.mark.parametrize("name", own_strategies())
def test_every_registered_strategy_keeps_the_contract(name):
    check_strategy(name)


@pytest.mark.parametrize(("name", "values"), VARIANTS)
def test_strategies_keep_the_contract_with_other_parameters(name, values):
    check_strategy(name, **values)


@pytest.mark.parametrize("name", own_strategies())
def test_defaults_are_those_of_the_parameters_and_describe_themselves(name):
    strategy = create_strategy(name, VectorEncoding([3, 3]))
    assert strategy.name == name
    assert strategy.description
    assert strategy.parameters == strategy.Parameters()


PROPOSE = """
from rbflex_evo.spaces import VectorEncoding
from rbflex_evo.strategies import create_strategy, own_strategies
from rbflex_evo.strategies.conformance.synthetic import World
encoding = VectorEncoding((4,) * 5)
for name in own_strategies():
    world, strategy = World(encoding, "archive"), create_strategy(name, encoding, 3)
    for n in (60, 60, 30):
        genotypes = strategy.ask(n, world.view)
        strategy.tell(world.evaluate(genotypes), world.view)
        print(name, genotypes)
"""


def test_another_process_with_another_hash_seed_proposes_the_same():
    outputs = [
        subprocess.run(
            [sys.executable, "-c", PROPOSE], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert len(outputs[0].splitlines()) == 3 * len(own_strategies())
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize("name", own_strategies())
def test_an_open_space_ends_when_no_unseen_genotype_can_be_found(name):
    encoding = VariableLengthEncoding(6)
    world, strategy = World(encoding), create_strategy(name, encoding, 0)
    while genotypes := strategy.ask(500, world.view):
        strategy.tell(world.evaluate(genotypes), world.view)
    # 3 + ... + 3^6 chains = 1092, of which chains that differ only in the order of the first two genes share a key.
    assert len(world) == 3 + 6 * (1 + 3 + 9 + 27 + 81)


# Each of the following strategies breaks one promise of the contract.


class TooMany(RandomSearch):
    def ask(self, n, view):
        return super().ask(n + 1, view)


class Nothing(RandomSearch):
    def ask(self, n, view):
        return []


class Lists(RandomSearch):
    def ask(self, n, view):
        return [list(genotype) for genotype in super().ask(n, view)]


class NumpyGenes(RandomSearch):
    def ask(self, n, view):
        return [tuple(np.array(genotype)) for genotype in super().ask(n, view)]


class Invalid(RandomSearch):
    def ask(self, n, view):
        return [(99, *genotype[1:]) for genotype in super().ask(n, view)[:1]]


class Twice(RandomSearch):
    def ask(self, n, view):
        genotypes = super().ask(n, view)
        return [genotypes[0], *genotypes][:n]


class GlobalDraw(RandomSearch):
    def ask(self, n, view):
        self.rng = np.random.Generator(np.random.PCG64(random.getrandbits(32)))
        return [self.encoding.sample(self.rng)]


class GlobalRead(RandomSearch):
    def ask(self, n, view):
        state = random.getstate()
        genotype = tuple(random.randrange(4) for _ in self.encoding.sample(self.rng))
        random.setstate(state)
        return [genotype]


class GlobalNumpyChange(RandomSearch):
    def ask(self, n, view):
        np.random.seed(0)
        return super().ask(n, view)


class SystemRandom(RandomSearch):
    def ask(self, n, view):
        return [self.encoding.sample(np.random.default_rng())]


class ForgottenState(RandomSearch):
    def __init__(self, encoding, seed, parameters=None):
        super().__init__(encoding, seed, parameters)
        self.told = 0

    def ask(self, n, view):
        return super().ask(n, view)[: 1 + self.told % 5]

    def tell(self, evaluations, view):
        self.told += len(evaluations)


class TupleState(RandomSearch):
    def get_state(self):
        return {**super().get_state(), "pair": (1, 2)}


class NumpyState(RandomSearch):
    def get_state(self):
        return {**super().get_state(), "count": np.int64(3)}


class SharedState(RandomSearch):
    def __init__(self, encoding, seed, parameters=None):
        super().__init__(encoding, seed, parameters)
        self.keys = []

    def tell(self, evaluations, view):
        self.keys.extend(evaluation.key for evaluation in evaluations)

    def get_state(self):
        return {**super().get_state(), "keys": self.keys}

    def set_state(self, state):
        super().set_state(state)
        self.keys = list(state["keys"])


class ReadsScores(RandomSearch):
    def tell(self, evaluations, view):
        max(evaluation.scores["near"] for evaluation in evaluations)


class BeyondTheView(RandomSearch):
    def tell(self, evaluations, view):
        view.ranking()


class UtilityOfUnseen(RandomSearch):
    def ask(self, n, view):
        view.utility([view.key(self.encoding.sample(self.rng))])
        return super().ask(n, view)


class WithReplacement(RandomSearch):
    def ask(self, n, view):
        self.generation += 1
        return [self.encoding.sample(self.rng)]


class GivesUp(RandomSearch):
    def ask(self, n, view):
        return [genotype for genotype in super().ask(n, view) if genotype != (0, 0, 0)]


class NoGenerations(RandomSearch):
    def ask(self, n, view):
        genotypes = super().ask(n, view)
        self.generation = 0
        return genotypes


class CountsWarmStart(RandomSearch):
    def tell(self, evaluations, view):
        self.generation += 1


class VectorsOnly(RandomSearch):
    def ask(self, n, view):
        assert len(self.encoding.categories) > 0
        return super().ask(n, view)


class ForgetsFailures(RandomSearch):
    def tell(self, evaluations, view):
        utilities = view.utility([evaluation.key for evaluation in evaluations])
        self.rng.choice(utilities[np.isfinite(utilities)])


class PlansWithTheBudget(RandomSearch):
    def ask(self, n, view):
        return super().ask(min(n, 1 + n // 100), view)


class SaysThatItPlans(PlansWithTheBudget):
    depends_on_budget = True


class AheadByTheSpace(RandomSearch):
    @property
    def batches_ahead(self):
        return 2 if self.encoding.size > 100 else 1


class AheadByHalves(RandomSearch):
    batches_ahead = 1.5


class ForgetsTheBatchesAhead(RandomSearch):
    def __init__(self, encoding, seed, parameters=None):
        super().__init__(encoding, seed, parameters)
        self.asked = []

    def ask(self, n, view):
        genotypes = super().ask(min(n, 1 + len(self.asked)), view)
        self.asked.append(len(genotypes))
        return genotypes

    def tell(self, evaluations, view):
        self.asked = self.asked[1:]

    def get_state(self):
        return {**super().get_state(), "asked": self.asked[-1:]}

    def set_state(self, state):
        super().set_state(state)
        self.asked = list(state["asked"])


class Nameless(RandomSearch):
    name = ""


class ForeignParameters(RandomSearch):
    Parameters = dict


@pytest.mark.parametrize(
    ("broken", "lesson"),
    [
        (TooMany, "cut the batch to n"),
        (Nothing, r"returned \[\] with 0 keys evaluated"),
        (Lists, "restore tuples from lists"),
        (NumpyGenes, "a tuple of plain ints"),
        (Invalid, "only by the encoding's own operators"),
        (Twice, "compare view.key()"),
        (GlobalDraw, "changed the global state of random"),
        (GlobalRead, "proposals depend on global random state"),
        (GlobalNumpyChange, "changed the global state of numpy.random"),
        (SystemRandom, "two runs with one seed"),
        (ForgottenState, "keep in get_state everything"),
        (TupleState, "tuples become lists"),
        (NumpyState, "not JSON data"),
        (SharedState, "get_state must copy"),
        (ReadsScores, "ask view.utility"),
        (BeyondTheView, "used view.ranking"),
        (UtilityOfUnseen, "was not evaluated"),
        (WithReplacement, r"still proposes after \d+ rounds"),
        (GivesUp, "return it only if no unseen key is left"),
        (NoGenerations, "a budget of generations never ends"),
        (CountsWarmStart, "count it in ask"),
        (VectorsOnly, 'that "It works on genotypes of varying length.*", it raised AttributeError'),
        (ForgetsFailures, 'that "The search continues when most candidates fail, .*", it raised ValueError'),
        (PlansWithTheBudget, "let n only cut the batch, or set depends_on_budget = True"),
        (AheadByTheSpace, "batches_ahead differs between two encodings"),
        (AheadByHalves, r"must be a whole number of at least 0, but it is 1\.5"),
        (ForgetsTheBatchesAhead, r"restored with 3 batches outstanding, .* keep in get_state what tell needs of each batch"),
        (Nameless, "name must be the name"),
        (ForeignParameters, "must derive from rbflex_evo.spaces.Parameters"),
    ],
)
def test_the_kit_catches_a_broken_promise_and_says_how_to_keep_it(broken, lesson):
    with pytest.raises(CheckFailed, match=lesson):
        check_strategy(broken)


def test_the_kit_accepts_a_strategy_that_says_that_it_plans_with_the_budget():
    check_strategy(SaysThatItPlans)


def test_the_kit_accepts_a_sound_strategy_that_is_not_registered_and_has_no_state():
    class OneByOne(Strategy):
        name = "one_by_one"

        def ask(self, n, view):
            self.generation += 1
            genotype = Unseen(self.encoding).draw(self.rng, view, set())
            return [] if genotype is None else [genotype]

        def tell(self, evaluations, view):
            view.utility([evaluation.key for evaluation in evaluations])

        def get_state(self):
            return None

        def set_state(self, state):
            assert state is None

    check_strategy(OneByOne)


def test_wrong_names_and_parameters_are_told_with_the_nearest():
    with pytest.raises(UnknownNameError, match="unknown strategy 'gentic'; did you mean 'genetic'"):
        check_strategy("gentic")
    with pytest.raises(ConfigError, match=r"unknown key 'strategy.genetic.populaton'; did you mean 'population'"):
        create_strategy("genetic", VectorEncoding([2]), populaton=10)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("random", {"batch": 0}),
        ("genetic", {"population": 1}),
        ("genetic", {"crossover": 1.5}),
        ("genetic", {"mutation": -0.1}),
        ("genetic", {"tournament": "3"}),
        ("annealing", {"cooling": 1.0}),
        ("annealing", {"end_temperature": 0.0}),
        ("annealing", {"neighbours": 0}),
        ("regularised_evolution", {"tournament": 0}),
        ("free_rea", {"tournament": 1}),
        ("local_search", {"batch": 0}),
        ("search_economics", {"regions": 1}),
        ("large_space_evolution", {"edits": 0}),
        ("reinforce", {"momentum": 1.0}),
    ],
)
def test_parameters_out_of_bounds_are_refused_by_name(name, values):
    with pytest.raises(ConfigError, match=f"strategy.{name}.{next(iter(values))}"):
        create_strategy(name, VectorEncoding([2]), **values)
