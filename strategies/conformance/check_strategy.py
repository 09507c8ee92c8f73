"""Conformance checks of strategies, like scikit-learn's `check_estimator`; `rbflex_evo.engine.conformance` exports the whole kit.

    from rbflex_evo.engine.conformance import check_strategy

    def test_my_strategy_keeps_the_contract():
        check_strategy(MyStrategy)                 # or its registered name, and parameters by keyword

Every check runs the strategy on a small synthetic space in which two genotypes may share a key. The view has only the five
methods of the contract, and the scores of an evaluation cannot be read. No network is built.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import ConfigError, Encoding, Genotype, GenotypeError, Parameters, VectorEncoding, parse
from rbflex_evo.spaces.conformance.checking import CheckFailed, called, poisoned, require
from rbflex_evo.strategies.strategy import STRATEGIES, Strategy

from .synthetic import OBJECTIVES, VariableLengthEncoding, World

Make = Callable[[Encoding, int], Strategy]

SPACE = VectorEncoding((4, 4, 4, 4, 4))
TINY = VectorEncoding((2, 2, 3))
OPEN = VariableLengthEncoding(8)
ASKS = (1000, 7, 1, 1000, 30, 1000, 1000, 3)
"""Number of genotypes asked for in each round: more than a natural batch, less, and one."""
BUDGETS = (300, 700)
"""Two budgets of evaluations, of about a third and two thirds of the keys."""


def check_strategy(strategy: str | type[Strategy], **values: Any) -> None:
    """Checks that a strategy keeps the ask/tell contract.

    Args:
        strategy: Class of the strategy, or its registered name.
        **values: Values of the strategy's parameters; the others keep their defaults.

    Raises:
        CheckFailed: If a promise of the contract is broken; the AssertionError names the first one and how to keep it.
        UnknownNameError: If no strategy has that name.
        ConfigError: If a parameter is unknown, of a wrong type or out of bounds.
    """
    chosen: type[Strategy] = STRATEGIES.get(strategy) if isinstance(strategy, str) else strategy
    _check_class(chosen)
    parameters = parse(chosen.Parameters, values, f"strategy.{chosen.name}")

    def make(encoding: Encoding, seed: int) -> Strategy:
        return chosen(encoding, seed, parameters)

    for check in CHECKS:
        promise = (check.__doc__ or "").partition("\n")[0].rstrip(".")
        try:
            with called(
                f'while it was checked that "{promise}", it', "ask and tell must work with everything that the view may return"
            ):
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
        f"{strategy.__name__}.name must be the name used in a configuration, a non-empty string, but it is {name!r}",
    )
    require(
        issubclass(strategy.Parameters, Parameters),
        f"{strategy.__name__}.Parameters must derive from rbflex_evo.spaces.Parameters, so that a wrong key gives a clear error",
    )


def check_proposals(make: Make) -> None:
    """ask(n) returns 1 to n valid genotypes of distinct keys, for every kind of objective."""
    for objective in OBJECTIVES:
        world = World(SPACE, objective=objective)
        strategy = make(SPACE, 0)
        for n in ASKS:
            _round(strategy, world, n)


def check_seed(make: Make) -> None:
    """The same seed gives the same proposals."""
    runs = []
    for _ in range(2):
        # Both runs start from the same global random state; `check_global_random` finds a strategy that reads it.
        with poisoned(0):
            runs.append(_proposals(make))
    require(
        runs[0] == runs[1],
        "two runs with one seed proposed different genotypes; draw only from self.rng, and let nothing depend on the "
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
    """state_dict is JSON data, and a strategy restored from it continues as the original does."""
    for rounds in (0, 1, 3, 6):
        for asked in (False, True):
            _check_state_at(make, rounds, asked)


def _check_state_at(make: Make, rounds: int, asked: bool) -> None:
    world = World(SPACE)
    strategy = make(SPACE, 1)
    for n in ASKS[:rounds]:
        _round(strategy, world, n)
    pending = _ask(strategy, world, 8) if asked else None
    where = f"after {rounds} rounds" + (" and an ask whose evaluations were not told yet" if asked else "")
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
        f"restored {where}, it proposed other genotypes than the original; keep in get_state everything that "
        "changes or is drawn, including what __init__ draws: a checkpoint holds that value only",
    )
    for value, method in ((state, "get_state"), (loaded, "set_state")):
        require(
            _json(value, where) == text,
            f"a state taken {where} changed later; {method} must copy lists and dicts, not share them",
        )


def _go_on(strategy: Strategy, world: World, pending: list[Genotype] | None) -> list[list[Genotype]]:
    if pending is not None:
        strategy.tell(world.evaluate(pending), world.view)
    return [_round(strategy, world, n) for n in (1000, 5, 1000)]


def check_failures(make: Make) -> None:
    """The search continues when most candidates fail, and when all fail."""
    for every in (5, None):
        world = World(SPACE, succeeds_every=every)
        strategy = make(SPACE, 0)
        for n in ASKS:
            _round(strategy, world, n)


def check_ties(make: Make) -> None:
    """The search continues when all candidates have the same utility."""
    for objective in ("score", "archive"):
        world = World(SPACE, objective=objective, flat=True)
        strategy = make(SPACE, 0)
        for n in ASKS:
            _round(strategy, world, n)


def check_exhaustion(make: Make) -> None:
    """Every key of a tiny space is evaluated; then ask returns an empty list, also when it is called again."""
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
                f"ask({n}, view) still proposes after {50 * len(keys)} rounds in a space of {len(keys)} keys, of which "
                f"{len(world)} were evaluated; propose unseen genotypes (rbflex_evo.strategies.Unseen), then return []"
            )
        left = sorted(keys - {evaluation.key for evaluation in world.archive.evaluations})
        require(
            not left,
            f"ask({n}, view) returned [] with {len(left)} of {len(keys)} keys never evaluated, such as {left[:1]}; "
            "[] ends the search, so return it only if no unseen key is left",
        )
        require(
            not _ask(strategy, world, n),
            "ask() proposed again after it had returned []; return [] again, because the space is exhausted",
        )


def check_constraints(make: Make) -> None:
    """It works with a constraint that rejects or orders candidates, and every allowed key of a tiny space is evaluated."""
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
        "rejected candidate counts as seen, so propose others (rbflex_evo.strategies.Unseen)",
    )


def check_open_space(make: Make) -> None:
    """It works on genotypes of varying length, in a space of unknown size that cannot be enumerated, or refuses the encoding."""
    for objective in OBJECTIVES:
        world = World(OPEN, objective)
        try:
            strategy = make(OPEN, 0)
        except ConfigError as error:
            require("\n" not in str(error), f"it refuses an encoding in several lines ({error}); say in one line what it needs")
            return
        for n in ASKS:
            _round(strategy, world, n)


def check_warm_start(make: Make) -> None:
    """Few or many evaluations may be told before the first ask, and they do not count as a generation."""
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
    """`generation` starts at 0 and rises with every batch."""
    world = World(SPACE)
    strategy = make(SPACE, 0)
    require(strategy.generation == 0, f"`generation` must start at 0, but it is {strategy.generation}; count it in ask")
    for n in ASKS:
        before = strategy.generation
        _round(strategy, world, n)
        require(
            strategy.generation > before,
            f"`generation` stayed {before} over a batch; add 1 to self.generation in ask, or a budget of generations never ends",
        )


def check_budget(make: Make) -> None:
    """With two budgets, proposals are the same until a budget cuts a batch, unless `depends_on_budget` is true."""
    if make(SPACE, 0).depends_on_budget:
        return
    worlds = [World(SPACE), World(SPACE)]
    strategies = [make(SPACE, 5), make(SPACE, 5)]
    for _ in range(BUDGETS[0]):
        left = [budget - len(world) for budget, world in zip(BUDGETS, worlds, strict=True)]
        first, second = (_ask(strategy, world, n) for strategy, world, n in zip(strategies, worlds, left, strict=True))
        if max(len(first), len(second)) >= left[0] or not (first or second):
            return
        require(
            first == second,
            f"with {left[0]} and {left[1]} evaluations left it proposed different genotypes, though both are more than its batch; "
            "let n only cut the batch, or set depends_on_budget = True, so that a run is not given another budget",
        )
        for strategy, world, genotypes in zip(strategies, worlds, (first, second), strict=True):
            strategy.tell(world.evaluate(genotypes), world.view)


def check_ahead(make: Make) -> None:
    """Asked `batches_ahead` batches ahead, it exhausts a tiny space, and a restored strategy continues as the original does."""
    ahead = make(SPACE, 0).batches_ahead
    require(
        type(ahead) is int and ahead >= 0,
        f"batches_ahead must be a whole number of at least 0, but it is {ahead!r}; 0 tells each batch before the next ask",
    )
    require(
        make(TINY, 1).batches_ahead == ahead,
        "batches_ahead differs between two encodings or seeds; let it depend on the parameters alone, so that runs are replayable",
    )
    if not ahead:
        return
    world, strategy = World(TINY), make(TINY, 3)
    outstanding: list[list[Genotype]] = []
    while _ask_ahead(strategy, world, outstanding, 1000):
        strategy.tell(world.evaluate(outstanding.pop(0)), world.view)
    keys = {world.view.key(genotype) for genotype in TINY.enumerate()}
    require(
        len(world) == len(keys),
        f"asked {ahead} batches ahead, it evaluated {len(world)} of {len(keys)} keys of a tiny space; keys in flight count as seen",
    )
    world, strategy, outstanding = World(SPACE, "archive"), make(SPACE, 1), []
    for _ in range(6):
        _ask_ahead(strategy, world, outstanding, 8)
        strategy.tell(world.evaluate(outstanding.pop(0)), world.view)
    twin, twin_world, copied = make(SPACE, 2), world.copy(), list(outstanding)
    twin.load_state_dict(json.loads(_json(strategy.state_dict(), f"with {ahead} batches outstanding")))
    for _ in range(2 * ahead + 3):
        for one, where, batches in ((strategy, world, outstanding), (twin, twin_world, copied)):
            if _ask_ahead(one, where, batches, 8):
                one.tell(where.evaluate(batches.pop(0)), where.view)
        require(
            outstanding == copied,
            f"restored with {ahead} batches outstanding, it proposed other genotypes than the original; keep in get_state what "
            "tell needs of each batch that was asked for",
        )


def _ask_ahead(strategy: Strategy, world: World, outstanding: list[list[Genotype]], n: int) -> bool:
    """Asks until as many batches as allowed follow the oldest; returns whether any is outstanding."""
    while len(outstanding) <= strategy.batches_ahead:
        genotypes = _ask(strategy, world, n)
        if not genotypes:
            break
        world.limits.in_flight.update(map(world.view.key, genotypes))
        outstanding.append(genotypes)
    return bool(outstanding)


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
    check_budget,
    check_ahead,
)


def _proposals(make: Make) -> list[list[Genotype]]:
    world = World(SPACE)
    strategy = make(SPACE, 7)
    return [_round(strategy, world, n) for n in ASKS]


def _round(strategy: Strategy, world: World, n: int) -> list[Genotype]:
    """Asks, evaluates and tells once, in a space with many unseen keys."""
    genotypes = _ask(strategy, world, n)
    require(
        bool(genotypes),
        f"ask({n}, view) returned [] with {len(world)} keys evaluated and many left; [] ends the search, so propose an unseen "
        "genotype (rbflex_evo.strategies.Unseen)",
    )
    evaluations: Sequence[Evaluation] = world.evaluate(genotypes)
    strategy.tell(evaluations, world.view)
    return genotypes


def _ask(strategy: Strategy, world: World, n: int) -> list[Genotype]:
    genotypes = strategy.ask(n, world.view)
    require(isinstance(genotypes, list), f"ask() must return a list of genotypes, but it returned {type(genotypes).__name__}")
    require(
        len(genotypes) <= n,
        f"ask({n}, view) returned {len(genotypes)} genotypes; cut the batch to n, the number that the budget still allows",
    )
    for genotype in genotypes:
        _check_genotype(genotype, world.encoding)
    keys = [world.view.key(genotype) for genotype in genotypes]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    require(
        not twice,
        f"one batch contains the key {twice[:1]} more than once; genotypes of one key are one architecture: compare view.key()",
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
        f"state_dict() {where} is different after it was written to JSON and read back; tuples become lists and keys become "
        "str, so write lists and str keys, and restore them in set_state",
    )
    return text
