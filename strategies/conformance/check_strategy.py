"""The conformance kit of strategies, what `check_estimator` is to scikit-learn; `rbflex_evo.engine.conformance` has all of the kit.

    from rbflex_evo.engine.conformance import check_strategy

    def test_my_strategy_keeps_the_contract():
        check_strategy(MyStrategy)                 # or its registered name, and parameters by keyword

Every check runs the strategy on a small synthetic space where two genotypes may share a key, against a view that has
the contract's five methods and nothing else, and evaluations whose scores cannot be read. No network is built.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import Encoding, Genotype, GenotypeError, Parameters, VectorEncoding, parse
from rbflex_evo.spaces.conformance.checking import CheckFailed, called, poisoned, require
from rbflex_evo.strategies.strategy import STRATEGIES, Strategy

from .synthetic import OBJECTIVES, Chain, World

Make = Callable[[Encoding, int], Strategy]

SPACE = VectorEncoding((4, 4, 4, 4, 4))
TINY = VectorEncoding((2, 2, 3))
OPEN = Chain(8)
ASKS = (1000, 7, 1, 1000, 30, 1000, 1000, 3)
"""What each round asks for: more than a natural batch, less, and one."""


def check_strategy(strategy: str | type[Strategy], **values: Any) -> None:
    """Checks that a strategy, a class or a registered name with parameters `values`, keeps the ask/tell contract.

    Raises:
        CheckFailed: an AssertionError that names the first promise broken, and how to keep it.
        UnknownNameError: if no strategy has that name.
        ConfigError: if a parameter is unknown or of a wrong type.
    """
    chosen: type[Strategy] = STRATEGIES.get(strategy) if isinstance(strategy, str) else strategy
    _check_class(chosen)
    parameters = parse(chosen.Parameters, values, f"strategy.{chosen.name}")

    def make(encoding: Encoding, seed: int) -> Strategy:
        return chosen(encoding, seed, parameters)

    for check in CHECKS:
        promise = (check.__doc__ or "").partition("\n")[0].rstrip(".")
        try:
            with called(f'while it was checked that "{promise}", it', "let ask and tell cope with whatever the view may show"):
                check(make)
        except CheckFailed as error:
            raise CheckFailed(f"{chosen.__name__}: {error}") from error.__cause__


def _check_class(strategy: type[Strategy]) -> None:
    require(
        isinstance(strategy, type) and issubclass(strategy, Strategy),
        f"a strategy is a subclass of rbflex_evo.strategies.Strategy, but {strategy!r} is not",
    )
    name = getattr(strategy, "name", None)
    require(
        isinstance(name, str) and bool(name),
        f"{strategy.__name__}.name must be the name that a configuration gives, but it is {name!r}",
    )
    require(
        issubclass(strategy.Parameters, Parameters),
        f"{strategy.__name__}.Parameters must derive from rbflex_evo.spaces.Parameters, so that a wrong key is one clear error",
    )


def check_proposals(make: Make) -> None:
    """ask(n) gives 1 to n valid genotypes of distinct keys, under a raw score and under ranks."""
    for objective in OBJECTIVES:
        world = World(SPACE, objective=objective)
        strategy = make(SPACE, 0)
        for n in ASKS:
            _round(strategy, world, n)


def check_seed(make: Make) -> None:
    """The same seed gives the same proposals."""
    runs = []
    for _ in range(2):
        # The same global state twice: a strategy that reads it is told so by `check_global_random`.
        with poisoned(0):
            runs.append(_proposals(make))
    require(
        runs[0] == runs[1],
        "two runs with one seed proposed different genotypes; draw only from self.rng, and let nothing hang on the "
        "order of a set, on id() or on the time",
    )


def check_global_random(make: Make) -> None:
    """Global random state is neither read nor changed."""
    runs = []
    for poison in (1, 2):
        with poisoned(poison) as states:
            before = states()
            runs.append(_proposals(make))
            for name, state in states().items():
                require(
                    state == before[name],
                    f"it changed the global state of {name}; draw from self.rng, and call DEAP inside deap_random(self.rng)",
                )
    require(
        runs[0] == runs[1],
        "its proposals depend on global random state; draw from self.rng, and call DEAP inside deap_random(self.rng)",
    )


def check_state(make: Make) -> None:
    """state_dict is JSON data, and a strategy restored from it goes on as the other would have."""
    for rounds in (0, 1, 3, 6):
        for asked in (False, True):
            _check_state_at(make, rounds, asked)


def _check_state_at(make: Make, rounds: int, asked: bool) -> None:
    world = World(SPACE)
    strategy = make(SPACE, 1)
    for n in ASKS[:rounds]:
        _round(strategy, world, n)
    pending = _ask(strategy, world, 8) if asked else None
    where = f"after {rounds} rounds" + (" and an ask that was not told yet" if asked else "")
    state = strategy.state_dict()
    text = _json(state, where)

    loaded = json.loads(text)
    twin, twin_world = make(SPACE, 2), world.copy()
    twin.load_state_dict(loaded)
    require(
        _json(twin.state_dict(), where) == text,
        f"{where}: load_state_dict() then state_dict() gives another state; set_state must restore all of get_state",
    )
    expected, actual = (_go_on(s, w, pending) for s, w in ((strategy, world), (twin, twin_world)))
    require(
        expected == actual,
        f"restored {where}, it proposed other genotypes than the one that went on; keep in get_state everything that "
        "changes or is drawn, also in __init__: a checkpoint is that value and nothing else",
    )
    for value, method in ((state, "get_state"), (loaded, "set_state")):
        require(
            _json(value, where) == text,
            f"a state changed after it was taken {where}; {method} must copy lists and dicts, not share them",
        )


def _go_on(strategy: Strategy, world: World, pending: list[Genotype] | None) -> list[list[Genotype]]:
    if pending is not None:
        strategy.tell(world.evaluate(pending), world.view)
    return [_round(strategy, world, n) for n in (1000, 5, 1000)]


def check_failures(make: Make) -> None:
    """The search goes on when most candidates fail, and when all do."""
    for every in (5, None):
        world = World(SPACE, succeeds_every=every)
        strategy = make(SPACE, 0)
        for n in ASKS:
            _round(strategy, world, n)


def check_ties(make: Make) -> None:
    """The search goes on when all candidates are worth the same."""
    for objective in ("score", "archive"):
        world = World(SPACE, objective=objective, flat=True)
        strategy = make(SPACE, 0)
        for n in ASKS:
            _round(strategy, world, n)


def check_exhaustion(make: Make) -> None:
    """A tiny finite space is evaluated to its last key; then ask returns nothing, and goes on returning nothing."""
    for n in (1, 5, 1000):
        world = World(TINY)
        strategy = make(TINY, 3)
        keys = {world.view.key(genotype) for genotype in TINY.enumerate()}
        for _ in range(50 * len(keys)):
            genotypes = _ask(strategy, world, n)
            if not genotypes:
                break
            strategy.tell(world.evaluate(genotypes), world.view)
        else:
            raise CheckFailed(
                f"ask({n}, view) still proposes after all rounds of a space of {len(keys)} keys, of which "
                f"{len(world)} were evaluated; propose unseen genotypes (rbflex_evo.strategies.candidates.Unseen), then return []"
            )
        left = sorted(keys - {evaluation.key for evaluation in world.archive.evaluations})
        require(
            not left,
            f"ask({n}, view) returned [] with {len(left)} of {len(keys)} keys never evaluated, such as {left[:1]}; "
            "[] ends the search, so return it only when nothing is left",
        )
        require(not _ask(strategy, world, n), "ask() proposed again after it had returned []; the space is exhausted")


def check_constraints(make: Make) -> None:
    """It works where a constraint rejects most of a space or orders it, and a small space is evaluated to what is allowed."""
    for handling in ("reject", "deb"):
        world = World(SPACE, limit=8.0, handling=handling)
        strategy = make(SPACE, 0)
        for n in (20, 7, 1, 20):
            _round(strategy, world, n)
    world = World(TINY, limit=2.0)
    strategy = make(TINY, 0)
    keys = {world.view.key(genotype) for genotype in TINY.enumerate()}
    allowed = {key for key in keys if world.limits.admits(key)}
    for _ in range(50 * len(keys)):
        genotypes = _ask(strategy, world, 5)
        if not genotypes:
            break
        strategy.tell(world.evaluate(genotypes), world.view)
    left = allowed - {evaluation.key for evaluation in world.archive.evaluations}
    require(
        not left,
        f"under a constraint, {len(left)} of {len(allowed)} allowed keys were never evaluated, such as {sorted(left)[:1]}; a "
        "rejected candidate is one that was seen, so go on to others (rbflex_evo.strategies.candidates.Unseen)",
    )


def check_open_space(make: Make) -> None:
    """It works on genotypes of varying length, in a space of unknown size that cannot be enumerated."""
    for objective in OBJECTIVES:
        world = World(OPEN, objective)
        strategy = make(OPEN, 0)
        for n in ASKS:
            _round(strategy, world, n)


def check_warm_start(make: Make) -> None:
    """Evaluations told before the first ask are taken, be they few or many, and are no generation."""
    for count in (1, 5, 120):
        world = World(SPACE)
        strategy = make(SPACE, 0)
        rng = np.random.Generator(np.random.PCG64(9))
        given = list({world.view.key(g): g for g in (SPACE.sample(rng) for _ in range(count))}.values())
        strategy.tell(world.evaluate(given), world.view)
        require(
            strategy.generation == 0,
            "a warm start raised `generation`; a generation is a batch that was asked for, so count it in ask",
        )
        for n in ASKS:
            _round(strategy, world, n)


def check_generation(make: Make) -> None:
    """`generation` starts at 0 and rises with every batch asked for and told."""
    world = World(SPACE)
    strategy = make(SPACE, 0)
    require(strategy.generation == 0, f"`generation` must start at 0, but it is {strategy.generation}")
    for n in ASKS:
        before = strategy.generation
        _round(strategy, world, n)
        require(
            strategy.generation > before,
            f"`generation` stayed {before} over a batch; add 1 to self.generation, or a budget of generations never ends",
        )


CHECKS: tuple[Callable[[Make], None], ...] = (
    check_proposals,
    check_seed,
    check_global_random,
    check_state,
    check_failures,
    check_ties,
    check_exhaustion,
    check_constraints,
    check_open_space,
    check_warm_start,
    check_generation,
)


def _proposals(make: Make) -> list[list[Genotype]]:
    world = World(SPACE)
    strategy = make(SPACE, 7)
    return [_round(strategy, world, n) for n in ASKS]


def _round(strategy: Strategy, world: World, n: int) -> list[Genotype]:
    """Asks, evaluates and tells once, in a space where much is left."""
    genotypes = _ask(strategy, world, n)
    require(
        bool(genotypes),
        f"ask({n}, view) returned nothing with {len(world)} keys evaluated and many left; [] ends the search",
    )
    evaluations: Sequence[Evaluation] = world.evaluate(genotypes)
    strategy.tell(evaluations, world.view)
    return genotypes


def _ask(strategy: Strategy, world: World, n: int) -> list[Genotype]:
    genotypes = strategy.ask(n, world.view)
    require(isinstance(genotypes, list), f"ask() must return a list of genotypes, but it returned {type(genotypes).__name__}")
    require(
        len(genotypes) <= n,
        f"ask({n}, view) returned {len(genotypes)} genotypes; cut the batch to n, which is what the budget still allows",
    )
    for genotype in genotypes:
        _check_genotype(genotype, world.encoding)
    keys = [world.view.key(genotype) for genotype in genotypes]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    require(
        not twice,
        f"one batch holds the key {twice[:1]} more than once; genotypes of one key are one architecture: compare view.key()",
    )
    return list(genotypes)


def _check_genotype(genotype: Genotype, encoding: Encoding) -> None:
    require(
        isinstance(genotype, tuple) and all(type(gene) is int for gene in genotype),
        f"a genotype is a tuple of plain ints, but ask() returned {genotype!r}; after JSON, restore tuples from lists",
    )
    try:
        encoding.validate(genotype)
    except GenotypeError as error:
        raise CheckFailed(
            f"ask() returned an invalid genotype ({error}); vary genotypes only by the encoding's own operators"
        ) from error


def _json(state: Any, where: str) -> str:
    try:
        text = json.dumps(state, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise CheckFailed(
            f"state_dict() {where} is not JSON data ({error}); use dict, list, str, int, float, bool and None"
        ) from error
    require(
        json.loads(text) == state,
        f"state_dict() {where} does not survive JSON unchanged; tuples become lists and keys become str there, so "
        "write lists and str keys, and restore them in set_state",
    )
    return text
