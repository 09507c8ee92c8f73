"""From a configuration to the things that it names: space, images, evaluator, table. Torch is first imported here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rbflex_evo.fitness.costs.book import CostBook
from rbflex_evo.fitness.costs.metric import create_metric, metrics_named
from rbflex_evo.fitness.objective.constraints import Constraints, read_constraints
from rbflex_evo.fitness.objective.objective import Objective, ObjectiveParameters, create_objective
from rbflex_evo.spaces import ConfigError, Genotype, SearchSpace, create_space, parse
from rbflex_evo.spaces.encodings.distinct import distinct, draws
from rbflex_evo.strategies import Strategy, create_strategy

from .config import Config, load_config, settings

if TYPE_CHECKING:
    from rbflex_evo.fitness.data.batch import Batch
    from rbflex_evo.fitness.evaluation import EvaluatorLike
    from rbflex_evo.fitness.measuring.evaluator import Evaluator
    from rbflex_evo.fitness.measuring.tabulated import TabulatedEvaluator
    from rbflex_evo.spaces.tables.table import Table

# A sample of a space that is nearly used up ends after so many draws in a row without a new architecture.
IDLE_DRAWS = 1000


def space_of(config: Config) -> SearchSpace:
    """Returns the search space."""
    return create_space(config.space.name, **config.space.values)


def strategy_of(config: Config, space: SearchSpace) -> Strategy:
    """Returns a new strategy."""
    return create_strategy(config.strategy.name, space.encoding, config.seed, **config.strategy.values)


def objective_of(config: Config) -> Objective:
    """Returns the objective."""
    parameters = parse(ObjectiveParameters, config.fitness.objective, "fitness.objective")
    return create_objective(parameters, config.fitness.proxies)


def constraints_of(config: Config) -> Constraints:
    """Returns the constraints, none where none are set."""
    return read_constraints(config.fitness.constraints)


def cost_book_of(config: Config, space: SearchSpace) -> CostBook:
    """Returns the book of the costs that constraints and the objective name, of the networks that are scored.

    Raises:
        TableError, DeviceError: if a latency's table or device is not there or does not fit the space.
    """
    from rbflex_evo.fitness import create_proxy

    objective = parse(ObjectiveParameters, config.fitness.objective, "fitness.objective")
    named = metrics_named(constraints_of(config).metrics, objective.minimised)
    raw = any(create_proxy(name, **values).scores_raw_network for name, values in config.fitness.proxies.items())
    metrics = [create_metric(name, space, values, where) for name, (values, where) in named.items()]
    return CostBook(metrics, space, space.parse if raw else space.representative)


def warm_start_of(config: Config, space: SearchSpace) -> list[Genotype]:
    """Returns the genotypes to begin with.

    Raises:
        GenotypeError: if one is not of the space.
        ConfigError: if there are more than the budget allows.
    """
    genotypes = [space.parse(text) for text in config.warm_start]
    allowed = config.budget.evaluations
    if allowed is not None and len(genotypes) > allowed:
        raise ConfigError(f"'warm_start' has {len(genotypes)} architectures, but 'budget.evaluations' is only {allowed}")
    return genotypes


def random_pairs(
    config: Config, space: SearchSpace, key_of: Callable[[Genotype], str], count: int, stream: int
) -> list[tuple[str, Genotype]]:
    """Draws (key, genotype) pairs of `count` distinct keys, or fewer if the space has fewer.

    Args:
        stream: Number of the stream of random numbers: 1 for the reference sample of ranks, 2 for an estimate.
    """
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(config.seed, spawn_key=(stream,))))
    return list(islice(distinct(draws(space.encoding, rng), key_of, IDLE_DRAWS), count))


def table_of(config: Config, space: SearchSpace) -> Table | None:
    """Opens the table of known accuracies and makes sure that it is of this space; None where no table is set.

    Raises:
        TableError: if it is missing, unreadable or of another space.
    """
    if config.table is None:
        return None
    from rbflex_evo.spaces.tables.table import create_table

    table = create_table(config.table.name, space, **config.table.values)
    table.check(space)
    return table


def batch_of(config: Config) -> Batch:
    """Returns the input images.

    Raises:
        DataError: if they are missing, unreadable or too few.
    """
    from rbflex_evo.fitness.data.batch import create_batch

    return create_batch(config.data.name, **config.data.values)


def evaluator_of(
    config: Config,
    space: SearchSpace,
    batch: Batch,
    *,
    cached: bool = True,
    calibrations: Mapping[str, Mapping[str, float]] | None = None,
) -> Evaluator:
    """Returns the evaluator; without the cache if `cached` is false, with another's `calibrations` if they are given.

    Raises:
        DataError, DeviceError: if the images do not fit the space, or the device is not there.
    """
    from rbflex_evo.fitness import create_proxy
    from rbflex_evo.fitness.measuring.conditions import Conditions
    from rbflex_evo.fitness.measuring.evaluator import Evaluator

    return Evaluator(
        Conditions.of(
            space,
            batch,
            weights=config.fitness.weights,
            device=config.device,
            precision=config.precision,
            backend=config.backend,
        ),
        {name: create_proxy(name, **values) for name, values in config.fitness.proxies.items()},
        workers=None if config.workers == "auto" else config.workers,
        micro_batch=None if config.micro_batch == "auto" else config.micro_batch,
        cache=cache_path(config.cache) if cached else None,
        calibrations=calibrations,
    )


@contextmanager
def measuring(config: Config, space: SearchSpace) -> Iterator[tuple[EvaluatorLike, Mapping[str, str | None]]]:
    """Yields the evaluator, and what its scores depend on that the configuration does not tell.

    Raises:
        ConfigError, DataError, DeviceError: if the table of scores, the images or the device are not as they should be.
    """
    if config.scores is not None:
        tabulated = tabulated_evaluator_of(config, space)
        yield tabulated, {"inputs": None, "backend": None, "scores": tabulated.table.fingerprint}
        return
    batch = batch_of(config)
    with evaluator_of(config, space, batch) as evaluator:
        yield evaluator, {"inputs": batch.fingerprint, "backend": evaluator.conditions.backend}


def tabulated_evaluator_of(config: Config, space: SearchSpace) -> TabulatedEvaluator:
    """Returns the evaluator that answers from the table of ``scores``.

    Raises:
        ConfigError: if the table is missing, damaged, lacks a proxy, or was made with other settings.
    """
    from rbflex_evo.fitness import create_proxy
    from rbflex_evo.fitness.measuring.tabulated import TabulatedEvaluator, read_tabulated

    path = Path(config.scores or "").expanduser()
    table = read_tabulated(path, config.fitness.proxies)
    _check_origin(config, path)
    proxies = [create_proxy(name, **values) for name, values in config.fitness.proxies.items()]
    return TabulatedEvaluator(space, table, raw=any(proxy.scores_raw_network for proxy in proxies))


def _check_origin(config: Config, path: Path) -> None:
    """Makes sure that scores mean what the configuration says, by the configuration that ``tabulate`` left beside them."""
    beside = path.with_name("config.yaml")
    if not beside.exists():
        return
    wanted, found = (_origin(chosen, config.fitness.proxies) for chosen in (config, load_config(beside)))
    for name, value in wanted.items():
        if found[name] != value:
            raise ConfigError(
                f"{str(path)!r} was made with another {name!r} than this configuration has: {found[name]}\n"
                f"set it alike ({beside} has all settings), or tabulate again"
            )


def _origin(config: Config, proxies: Mapping[str, object]) -> dict[str, object]:
    chosen = settings(config)
    named = {f"fitness.proxies.{name}": chosen["fitness"]["proxies"].get(name) for name in proxies}
    return {**named, "fitness.weights": chosen["fitness"]["weights"], **{k: chosen[k] for k in ("space", "data", "precision")}}


def cache_path(setting: str) -> Path | None:
    """Returns the file that statistics are kept in: "auto" is the default one, "off" is none."""
    from rbflex_evo.fitness.measuring.cache import default_path

    if setting == "off":
        return None
    return default_path() if setting == "auto" else Path(setting).expanduser()
