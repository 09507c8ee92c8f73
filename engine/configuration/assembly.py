"""Creates the parts that a configuration names: space, inputs, scores, evaluator, table."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rbflex_evo.fitness import PROXIES, Proxy
from rbflex_evo.fitness.costs.book import CostBook
from rbflex_evo.fitness.costs.metric import create_metric, metrics_named
from rbflex_evo.fitness.data.batch import sources
from rbflex_evo.fitness.objective.constraints import Constraints, read_constraints
from rbflex_evo.fitness.objective.objective import Objective, create_objective
from rbflex_evo.spaces import SPACES, TABLES, ConfigError, Genotype, Parameters, SearchSpace
from rbflex_evo.spaces.encodings.distinct import distinct, draws
from rbflex_evo.spaces.errors import shown
from rbflex_evo.spaces.fingerprint import foreign, has_changed, is_ours
from rbflex_evo.strategies import STRATEGIES, Strategy

from .config import Config, load_config, settings
from .form import cheap_form
from .selection import Choice

if TYPE_CHECKING:
    from rbflex_evo.fitness.data.batch import Batch
    from rbflex_evo.fitness.evaluation import EvaluatorLike
    from rbflex_evo.fitness.measuring.evaluator import Evaluator
    from rbflex_evo.fitness.measuring.executors.executor import Executor
    from rbflex_evo.fitness.measuring.tabulated import TabulatedEvaluator
    from rbflex_evo.fitness.passes.weights import WeightParameters
    from rbflex_evo.spaces.tables.table import Table


class OriginWarning(UserWarning):
    """Warns that it is unknown whether numbers were made with the code of this session."""


# How the code and the packages of a strategy are named in `Assembly.origins`.
STRATEGY = "the code of strategy"
PACKAGE = "the version of package"

# Draws in a row without a new architecture after which a sample of a nearly exhausted space ends.
IDLE_DRAWS = 1000


class Assembly:
    """The parts that a configuration names, each created once, when it is first asked for.

    Args:
        config: The configuration of the run.
        space: The space that the configuration describes, if it was made already, such as one with functions of a notebook.

    Raises:
        ConfigError: If the space is another one.
    """

    def __init__(self, config: Config, space: SearchSpace | None = None) -> None:
        self.config = config
        self._given = space
        if space is not None:
            _check_given(config, space)

    def of(self, config: Config) -> Assembly:
        """Returns the parts of another configuration of the same space, which is not created again."""
        found = Assembly(config, self._given)
        found.__dict__["space"] = self.space
        return found

    @cached_property
    def space(self) -> SearchSpace:
        """The search space."""
        if self._given is not None:
            return self._given
        space: SearchSpace = SPACES.get(self.config.space.name)(self.config.space.parameters)
        return space

    @cached_property
    def batch(self) -> Batch:
        """The inputs of the networks.

        Raises:
            DataError: If they are missing, unreadable or too few.
        """
        from rbflex_evo.fitness.data.inputs import fitted

        batch: Batch = sources.get(self.config.data.name)(self.config.data.parameters).batch()
        return fitted(self.space, batch)

    @cached_property
    def proxies(self) -> dict[str, Proxy]:
        """The scores by name."""
        return {name: PROXIES.get(name)(parameters) for name, parameters in self.config.fitness.proxies.items()}

    @cached_property
    def raw(self) -> bool:
        """True if a score is computed on the raw network of each genotype instead of the representative of its key."""
        return any(proxy.scores_raw_network for proxy in self.proxies.values())

    @cached_property
    def objective(self) -> Objective:
        """The objective."""
        return create_objective(self.config.fitness.objective, self.config.fitness.proxies)

    @cached_property
    def constraints(self) -> Constraints:
        """The constraints, empty if none are set."""
        return read_constraints(self.config.fitness.constraints)

    def book(self) -> CostBook:
        """Returns a new, empty book of the costs that constraints, the objective and the strategy name.

        Raises:
            TableError, DeviceError: If the table or the device of a latency is missing or does not fit the space.
        """
        named = metrics_named(self.constraints.metrics, self.config.fitness.objective.minimised)
        strategy = self.config.strategy
        for name in STRATEGIES.get(strategy.name).costs_read(strategy.parameters):
            named.setdefault(name, ({}, "strategy"))
        metrics = [create_metric(name, self.space, values, where) for name, (values, where) in named.items()]
        return CostBook(metrics, self.space, self.space.parse if self.raw else self.space.representative)

    def code(self) -> dict[str, str | None]:
        """Returns fingerprints of the space and the scores that are not of this package; None where none can be given."""
        scores = {score_code(name): type(proxy) for name, proxy in self.proxies.items()}
        return foreign({f"the code of space {self.space.name!r}": self.space, **scores})

    def origins(self, book: CostBook, *, measured: bool = True) -> dict[str, str | None]:
        """Returns fingerprints of what a run depends on beyond its configuration; see `rbflex_evo.engine.run.origins`.

        Args:
            book: The costs that the run counts.
            measured: Whether scores are measured; labels do not influence scores from a table.
        """
        metrics = book.metrics
        strategy = self.config.strategy.name
        costs = {f"the code of metric {name!r}": type(metric) for name, metric in metrics.items()}
        found = self.code() | foreign({**costs, f"{STRATEGY} {strategy!r}": STRATEGIES.get(strategy)})
        if measured and any(proxy.uses_labels or not is_ours(type(proxy)) for proxy in self.proxies.values()):
            found |= {} if self.batch.labels is None else {"the labels of the inputs": self.batch.labels_fingerprint}
        found |= {f"{PACKAGE} {name!r}": _version(name) for name in STRATEGIES.get(strategy).packages}
        return found | {f"the file of metric {name!r}": metric.file for name, metric in metrics.items() if metric.file is not None}

    @cached_property
    def table(self) -> Table | None:
        """The table of known accuracies, or None if none is set; see `open_table`."""
        return None if self.config.table is None else open_table(self.config.table, self.space)

    def tabulated(self) -> TabulatedEvaluator:
        """Returns a new evaluator that answers from the table of ``scores``.

        Raises:
            ConfigError: If the table is missing or damaged, lacks a proxy, or was made with other settings.
        """
        from rbflex_evo.fitness.measuring.tabulated import TabulatedEvaluator, read_tabulated

        path = Path(self.config.scores or "").expanduser()
        table = read_tabulated(path, self.proxies)
        _check_origin(self.config, path)
        check_code(path, recorded_code(path), self.code())
        return TabulatedEvaluator(self.space, table, raw=self.raw)

    @cached_property
    def warm_start(self) -> list[Genotype]:
        """The genotypes that the search begins with.

        Raises:
            GenotypeError: If one of them is not of the space.
            ConfigError: If there are more than the budget allows.
        """
        genotypes = [self.space.genotype_of(given) for given in self.config.warm_start]
        allowed = self.config.budget.evaluations
        if allowed is not None and len(genotypes) > allowed:
            raise ConfigError(f"'warm_start' has {len(genotypes)} architectures, but 'budget.evaluations' is only {allowed}")
        return genotypes

    def strategy(self) -> Strategy:
        """Returns a new strategy."""
        found = STRATEGIES.get(self.config.strategy.name)
        strategy: Strategy = found(self.space.encoding, self.config.seed, self.strategy_parameters)
        return strategy

    @cached_property
    def strategy_parameters(self) -> Parameters:
        """The parameters of the strategy.

        Raises:
            ConfigError: If bounds are to be proved that cannot be proved.
        """
        from rbflex_evo.strategies.map_elites import MapElitesParameters

        given = self.config.strategy.parameters
        if isinstance(given, MapElitesParameters) and given.bounds == "proved":
            from .proved_bounds import with_proved_bounds

            return with_proved_bounds(given, self.space, self.constraints)
        return given

    def evaluator(
        self,
        *,
        cached: bool = True,
        weights: WeightParameters | None = None,
        calibrations: Mapping[str, Mapping[str, float]] | None = None,
    ) -> Evaluator:
        """Returns a new evaluator that measures.

        Args:
            cached: Whether it reads and writes the cache of statistics.
            weights: How weights are drawn, if not as configured.
            calibrations: Calibrations of another evaluator to use, by proxy; None to determine them.

        Raises:
            DataError, DeviceError: If the inputs do not fit the space, or the device is not available.
        """
        from rbflex_evo.fitness.measuring.conditions import Conditions
        from rbflex_evo.fitness.measuring.evaluator import Evaluator

        config = self.config
        return Evaluator(
            Conditions.of(
                self.space,
                self.batch,
                weights=weights or config.fitness.weights,
                device=config.device,
                precision=config.precision,
                backend=config.backend,
                elsewhere=not self.executor.here,
            ),
            self.proxies,
            workers=None if config.workers == "auto" else config.workers,
            timeout=config.timeout,
            micro_batch=None if config.micro_batch == "auto" else config.micro_batch,
            cache=cache_path(config.cache) if cached else None,
            calibrations=calibrations,
            executor=self.executor,
        )

    @cached_property
    def executor(self) -> Executor:
        """Where the workers are.

        Raises:
            ConfigError: If a package that it needs is not installed.
        """
        from rbflex_evo.fitness.measuring.executors.executor import create_executor

        return create_executor(self.config.executor.name, self.config.executor.parameters)

    @cached_property
    def cheap(self) -> Assembly:
        """The parts of the form in which the search scores: these parts, unless ``fidelity`` names a cheaper form.

        Raises:
            ConfigError: If the space of that form has other genotypes, or larger networks.
        """
        if self.config.fidelity is None:
            return self
        cheap = cheap_form(self.config)
        if cheap.space == self.config.space:
            return Assembly(cheap, self.space)
        if self._given is not None:
            raise ConfigError("'fidelity' names another space, but the space was handed in; change the inputs only (size, n)")
        found = Assembly(cheap)
        _check_same(self.space, found.space)
        return found

    @contextmanager
    def measuring(self) -> Iterator[tuple[EvaluatorLike, Mapping[str, str | None]]]:
        """Yields the evaluator, and the origin of its scores as far as the configuration does not determine it.

        Raises:
            ConfigError, DataError, DeviceError: If the table of scores, the inputs or the device cannot be used.
        """
        if self.config.scores is not None:
            tabulated = self.tabulated()
            yield tabulated, {"inputs": None, "backend": None, "scores": tabulated.table.fingerprint}
            return
        with self.evaluator() as evaluator:
            yield evaluator, {"inputs": self.batch.fingerprint, "backend": evaluator.conditions.backend}

    def random_pairs(self, key_of: Callable[[Genotype], str], count: int, stream: int) -> list[tuple[str, Genotype]]:
        """Draws (key, genotype) pairs of `count` distinct keys, or fewer if the space has fewer.

        Args:
            key_of: Returns the key of a genotype.
            count: Number of pairs.
            stream: Number of the stream of random numbers: 1 for the reference sample of ranks, 2 for an estimate.
        """
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.config.seed, spawn_key=(stream,))))
        return list(islice(distinct(draws(self.space.encoding, rng), key_of, IDLE_DRAWS), count))


def _check_same(full: SearchSpace, cheap: SearchSpace) -> None:
    """Makes sure that a cheaper form of a space has its genotypes, and networks that are not larger."""
    genotype = full.encoding.sample(np.random.Generator(np.random.PCG64(0)))
    if cheap.encoding.size != full.encoding.size or cheap.notation(genotype) != full.notation(genotype):
        raise ConfigError("'fidelity.space' changes the genotypes of the space; name parameters that change its networks only")
    counted = [space.costs(genotype).flops for space in (full, cheap)]
    if counted[1] > counted[0]:
        raise ConfigError(
            f"'fidelity' names larger networks than the full form: {counted[1]:,} instead of {counted[0]:,} multiply-accumulates"
        )


def _version(package: str) -> str:
    """Returns the version of a package as a fingerprint."""
    try:
        return f"version:{metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return "version:none"


def _check_given(config: Config, space: SearchSpace) -> None:
    given, wanted = space.parameters.model_dump(mode="json"), config.space.parameters.model_dump(mode="json")
    if space.name != config.space.name:
        raise ConfigError(f"the space that was handed in is {space.name!r}, but the configuration is of {config.space.name!r}")
    for name, value in wanted.items():
        if given.get(name) != value:
            raise ConfigError(
                f"the space that was handed in is another one than that of the configuration: its {name!r} is "
                f"{shown(given.get(name))} instead of {shown(value)}"
            )


def open_table(choice: Choice, space: SearchSpace) -> Table:
    """Opens a table of known accuracies and checks that it is of the space; no accuracy is read yet.

    Raises:
        TableError: If it is missing, unreadable or of another space.
    """
    table: Table = TABLES.get(choice.name)(choice.parameters, space)
    table.check(space)
    return table


def score_code(name: str) -> str:
    """Returns how the code of a score is named in messages."""
    return f"the code of score {name!r}"


def recorded_code(path: Path) -> dict[str, str | None]:
    """Returns the fingerprints of code that ``tabulate`` left next to a table of scores; empty if there are none."""
    try:
        found = json.loads(path.with_name("table.json").read_text(encoding="utf-8"))
        return dict(found.get("code", {}))
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def check_code(path: Path, recorded: Mapping[str, str | None], now: Mapping[str, str | None]) -> None:
    """Checks that a table of scores was made with the code of this session, as far as both are known.

    Raises:
        ConfigError: If it was made with other code.
    """
    for what, mark in now.items():
        changed = has_changed(recorded.get(what), mark)
        if changed is None:
            warnings.warn(f"it cannot be told whether {what} has changed since {str(path)!r} was made", OriginWarning, stacklevel=2)
        elif changed:
            raise ConfigError(
                f"{what} has changed since {str(path)!r} was made; restore it, "
                "or tabulate again under another name (--set name=...)"
            )


def _check_origin(config: Config, path: Path) -> None:
    """Checks the settings of a table of scores against the configuration that ``tabulate`` left next to it."""
    beside = path.with_name("config.yaml")
    if not beside.exists():
        return
    wanted, found = (_origin(chosen, config.fitness.proxies) for chosen in (config, load_config(beside)))
    for name, value in wanted.items():
        if found[name] != value:
            raise ConfigError(
                f"{str(path)!r} was made with another {name!r} than this configuration has: {found[name]}\n"
                f"set it to the same value ({beside} has all settings), or tabulate again"
            )


def _origin(config: Config, proxies: Mapping[str, object]) -> dict[str, object]:
    chosen = settings(config)
    named = {f"fitness.proxies.{name}": chosen["fitness"]["proxies"].get(name) for name in proxies}
    return {**named, "fitness.weights": chosen["fitness"]["weights"], **{k: chosen[k] for k in ("space", "data", "precision")}}


def cache_path(setting: str) -> Path | None:
    """Returns the file of cached statistics: the default file for "auto", None for "off"."""
    from rbflex_evo.fitness.measuring.cache import default_path

    if setting == "off":
        return None
    return default_path() if setting == "auto" else Path(setting).expanduser()
