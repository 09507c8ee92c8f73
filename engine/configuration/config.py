"""The configuration of a run: strict and typed, read from YAML, with every name and parameter checked.

Everything is checked before a heavy package is imported, so that a mistake is reported at once. `settings` returns the
configuration with all defaults filled in. `identity` is a hash of the settings that determine the content of a run's journal.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SerializeAsAny, field_validator, model_validator
from pydantic_core import PydanticCustomError

from rbflex_evo.fitness import PROXIES
from rbflex_evo.fitness.costs.metric import metric_type, metrics_named
from rbflex_evo.fitness.data.batch import sources
from rbflex_evo.fitness.measuring.executors.executor import EXECUTORS
from rbflex_evo.fitness.objective.constraints import read_constraints
from rbflex_evo.fitness.objective.objective import ObjectiveParameters, create_objective
from rbflex_evo.fitness.objective.presets import PRESETS
from rbflex_evo.fitness.passes.weights import WeightParameters
from rbflex_evo.spaces import SPACES, TABLES, ConfigError, Parameters, near_name, parse
from rbflex_evo.spaces.errors import shown
from rbflex_evo.strategies import STRATEGIES

from .compare_entries import first_sections
from .compare_section import ComparisonPlan, first_strategy, plan_of
from .fidelity_section import ONE_FORM, FidelityConfig, check_fidelity
from .selection import NAME, NAME_RULE, Choice, read_choice
from .yaml_reader import read_file, read_value

DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


class FitnessConfig(Parameters):
    """The scores, their combination to a utility, the limits on costs, and the distribution of weights.

    Attributes:
        proxies: Parameters of each score, by name; ``{}`` or nothing for the defaults.
        objective: How scores become one utility; may be left out for a single score.
        constraints: Limits by metric, ``handling`` and ``rejections``.
        weights: How untrained weights are drawn.
        preset: Named combination of scores that gives proxies and objective.
    """

    proxies: dict[str, SerializeAsAny[Parameters]] = Field(min_length=1)
    objective: ObjectiveParameters
    constraints: dict[str, Any] = Field(default_factory=dict)
    weights: WeightParameters = Field(default_factory=WeightParameters)
    preset: str | None = Field(default=None, exclude=True)


class BudgetConfig(Parameters):
    """The limits of a search, which ends at the first one that is reached.

    Attributes:
        evaluations: Number of unique keys, failures included.
        seconds: Time of the search, over all of its parts if it was resumed.
        generations: Number of generations of the strategy.
    """

    evaluations: int | None = Field(default=None, ge=1)
    seconds: float | None = Field(default=None, gt=0)
    generations: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _has_a_limit(self) -> BudgetConfig:
        if self.evaluations is None and self.seconds is None and self.generations is None:
            raise PydanticCustomError("budget", "needs at least one of evaluations, seconds and generations")
        return self


class SampleConfig(Parameters):
    """The architectures that are tabulated and correlated instead of the whole space.

    Attributes:
        size: Number of distinct architectures that are drawn at random.
        seed: Seed of the random draw.
        file: A text file that lists the architectures instead, one notation per line.
    """

    size: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0)
    file: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _is_one_of_two(self) -> SampleConfig:
        if (self.size is None) == (self.file is None):
            raise PydanticCustomError("sample", "needs one of size and file")
        return self


class CorrelateConfig(Parameters):
    """The settings of ``correlate``.

    Attributes:
        presets: Presets that are judged in addition to the objective; their members are scored, too.
        tables: Tables of known accuracies in addition to ``table``, one per data set.
        resamples: Number of bootstrap resamples.
        seed: Seed of the bootstrap and of the random baseline.
        seeds: Number of weight seeds: ``fitness.weights.seed`` and the next ones. Each takes as long as the first.
    """

    presets: list[str] = Field(default_factory=list)
    tables: list[Choice] = Field(default_factory=list)
    resamples: int = Field(default=1000, ge=2)
    seed: int = Field(default=0, ge=0)
    seeds: int = Field(default=1, ge=1)


class Config(Parameters):
    """The configuration of one run; create it with `load_config` or `parse_config`, which also check names and parameters.

    Attributes:
        name: Name of the run and of its folder.
        space: Search space.
        data: Source of the N inputs that every candidate sees.
        fitness: Scores, objective, constraints and weights.
        strategy: Search strategy.
        budget: Limits of the search; the first one that is reached ends it.
        fidelity: Cheaper form in which the search scores, and how many of the best are scored again in full.
        seed: Seed of the strategy and of the reference sample.
        device: Device of the forward passes: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        precision: Precision of the forward passes; ``bfloat16`` is for convolutions only.
        backend: How planned forwards are computed: by torch, by a compiled C kernel, or by what is available.
        workers: Number of workers; ``auto`` is one a core on a CPU, one for each accelerator, and what a Ray cluster offers.
        executor: Where the workers are: processes of this machine, or a Ray cluster.
        timeout: Seconds after which a candidate fails; no limit unless one is set.
        micro_batch: Most candidates that a worker takes at once.
        cache: File of measured statistics; ``auto`` is the user's own, ``off`` is none.
        table: Known accuracies, reported when the search is over and never searched on.
        sample: Architectures that ``tabulate`` and ``correlate`` take, if not the whole space.
        correlate: How ``correlate`` judges scores.
        scores: Table of scores (``scores.npz``) that is replayed instead of measuring.
        compare: Strategies and seeds that ``compare`` runs.
        chosen: Names of the parameters that a run chose because they were left out, by section; a run writes it into its folder.
        warm_start: Architectures that are evaluated first, in the space's notation or by index.
        runs: Folder that holds the folders of runs.
    """

    name: str
    space: Choice
    data: Choice
    fitness: FitnessConfig
    strategy: Choice
    budget: BudgetConfig
    fidelity: FidelityConfig | None = None
    seed: int = Field(default=0, ge=0)
    device: str = "auto"
    precision: Literal["float32", "float64", "bfloat16"] = "float32"
    backend: Literal["auto", "eager", "compiled"] = "auto"
    workers: int | Literal["auto"] = "auto"
    executor: Choice = Field(default_factory=lambda: read_choice("local", "executor", "name", EXECUTORS))
    timeout: float | None = Field(default=None, gt=0)
    micro_batch: int | Literal["auto"] = "auto"
    cache: str = Field(default="auto", min_length=1)
    table: Choice | None = None
    sample: SampleConfig | None = None
    correlate: CorrelateConfig = Field(default_factory=CorrelateConfig)
    scores: str | None = Field(default=None, min_length=1)
    compare: dict[str, Any] | None = None
    chosen: dict[str, list[str]] = Field(default_factory=dict)
    warm_start: list[str] = Field(default_factory=list)
    runs: str = Field(default="runs", min_length=1)

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, value: str) -> str:
        if not NAME.fullmatch(value):
            raise PydanticCustomError("name", f"should be a folder's name of {NAME_RULE}")
        return value

    @field_validator("cache", mode="before")
    @classmethod
    def _cache_file(cls, value: Any) -> Any:
        # In YAML 1.2, only true and false are truth values.
        if str(value).lower() in ("true", "false", "yes", "no", "on", "none", ""):
            raise PydanticCustomError("cache", "should be off (no cache), auto or a file's path")
        return value

    @field_validator("device")
    @classmethod
    def _is_a_device(cls, value: str) -> str:
        if not DEVICE.fullmatch(value):
            raise PydanticCustomError("device", "should be auto, cpu, cuda, cuda:<number> or mps")
        return value

    @field_validator("workers", "micro_batch", mode="before")
    @classmethod
    def _is_auto_or_a_number(cls, value: Any) -> Any:
        if value != "auto" and (type(value) is not int or value < 1):
            raise PydanticCustomError("number", "should be auto or a whole number of at least 1")
        return value

    @field_validator("warm_start", mode="before")
    @classmethod
    def _indices_are_text(cls, value: Any) -> Any:
        return [str(one) if type(one) is int else one for one in value] if isinstance(value, list) else value

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        return Path(self.runs).expanduser() / self.name

    def plan(self) -> ComparisonPlan:
        """Returns the comparison that the section ``compare`` describes.

        Raises:
            ConfigError: If the section is missing or wrong, or does not fit the other sections; see `compare_section.plan_of`.
            UnknownNameError: If a strategy or a table is not registered.
        """
        limits = self.budget.model_dump(exclude_none=True)
        fronts = self.fitness.objective.pareto is not None
        return plan_of(self.compare, limits=limits, fronts=fronts, seed=self.seed, table=self.table)


OPTIONAL = ("table", "sample", "correlate", "scores", "compare", "chosen", "fidelity")
# The sections that name a registered thing, and the key that holds the name.
CHOICES = {"space": "name", "data": "source", "strategy": "name", "executor": "name", "table": "source"}
REGISTRIES = {"space": SPACES, "data": sources, "strategy": STRATEGIES, "executor": EXECUTORS, "table": TABLES}


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Reads a YAML file and applies ``key.sub=value`` overrides, whose values are YAML, too.

    Raises:
        ConfigError: If the file or an override is missing, empty or malformed, or a key or a value is wrong.
        UnknownNameError: If a space, proxy, strategy, data source or table is not registered.
    """
    return parse_config(read_config(path, overrides))


def read_config(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Returns the mapping of the file with the overrides applied, not checked yet.

    Raises:
        ConfigError: If the file or an override is missing, empty or malformed.
    """
    values = read_file(Path(path))
    for text in overrides:
        override(values, text)
    return values


def parse_config(values: Mapping[str, Any]) -> Config:
    """Returns the configuration, with every name and parameter checked.

    Raises:
        ConfigError: If a key or a value is wrong; one line names the key, the value and what was expected.
        UnknownNameError: If a space, proxy, strategy, data source or table is not registered.
    """
    unknown = [key for key in values if key not in Config.model_fields]
    if unknown:
        raise ConfigError(f"unknown key {shown(str(unknown[0]))}{near_name(str(unknown[0]), Config.model_fields)}")
    values = {key: value for key, value in values.items() if not (key in OPTIONAL and value is None)}
    if isinstance(values.get("compare"), Mapping):
        # A search of such a configuration uses the first setting and the first strategy.
        values = {**first_sections(values["compare"]), **values}
        if "strategy" not in values:
            values["strategy"] = first_strategy(values["compare"])
    for section, key in CHOICES.items():
        if section in values:
            values[section] = read_choice(values[section], section, key, REGISTRIES[section])
    if isinstance(values.get("fitness"), Mapping):
        values["fitness"] = _fitness(values["fitness"])
    if isinstance(values.get("correlate"), Mapping):
        values["correlate"] = _correlate(values["correlate"])
    config = parse(Config, values, "")
    settings(config)
    return config


def load_scoring(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Reads a configuration for scoring only: like `load_config`, but strategy and budget may be left out."""
    values = read_config(path, overrides)
    return parse_config({"strategy": "random", "budget": {"evaluations": 1}, **values})


def settings(config: Config) -> dict[str, Any]:
    """Returns the configuration with all defaults filled in, as JSON data; checks what `Config` alone cannot check.

    Raises:
        ConfigError: If a parameter of the objective, a constraint or the comparison is unknown or wrong.
        UnknownNameError: If a name is not registered.
    """
    proxies = {
        name: {"version": PROXIES.get(name).version, **_plain(parameters)} for name, parameters in config.fitness.proxies.items()
    }
    objective = config.fitness.objective
    create_objective(objective, proxies)
    constraints = read_constraints(config.fitness.constraints)
    chosen = config.model_dump(mode="json")
    if config.fidelity is None:
        del chosen["fidelity"]
    else:
        sections = [name for name in ONE_FORM if getattr(config, name) is not None]
        check_fidelity(config.fidelity, config.space, config.data, config.strategy.name, sections)
    chosen["space"] = {"version": SPACES.get(config.space.name).version, **_named(config.space)}
    chosen["data"] = _named(config.data)
    chosen["strategy"] = _named(config.strategy)
    chosen["executor"] = _named(config.executor)
    chosen["table"] = None if config.table is None else _named(config.table)
    for name in config.correlate.presets:
        PRESETS.get(name)
    chosen["correlate"]["tables"] = [_named(table) for table in config.correlate.tables]
    chosen["compare"] = config.plan().as_values() if config.compare is not None else None
    chosen["fitness"] = {
        "proxies": proxies,
        # Settings that are not used stay out, so that runs of earlier versions can be resumed.
        "objective": {k: v for k, v in _plain(objective).items() if v is not None or k not in ("pareto", "reference_point")},
        "weights": _plain(config.fitness.weights),
    }
    if constraints.limits:
        chosen["fitness"]["constraints"] = {
            "limits": [asdict(limit) for limit in constraints.limits],
            "handling": constraints.handling,
            "rejections": constraints.rejections,
        }
    metrics = metrics_named(constraints.metrics, objective.minimised)
    if metrics:
        chosen["fitness"]["metrics"] = {
            name: {"version": metric_type(name).version, **_plain(parse(metric_type(name).Parameters, values, where))}
            for name, (values, where) in metrics.items()
        }
    return chosen


# The settings that change neither a score nor the order in which candidates are proposed.
# The journal of a run holds the hash of the table that its scores come from.
INCIDENTAL = set("name runs workers executor timeout micro_batch cache table sample correlate scores compare chosen".split())


def identity(config: Config) -> str:
    """Returns a hash, 32 hexadecimal digits, of the settings that determine the content of a run's journal."""
    chosen = {key: value for key, value in settings(config).items() if key not in INCIDENTAL}
    # The order of proxies is the order of scores in the journal.
    chosen["order"] = list(config.fitness.proxies)
    return hashlib.blake2b(json.dumps(chosen, sort_keys=True).encode(), digest_size=16).hexdigest()


def as_values(config: Config) -> dict[str, Any]:
    """Returns the given values, without defaults; `parse_config` reads them back as an equal configuration."""
    values = config.model_dump(mode="json", exclude_unset=True)
    for section, key in CHOICES.items():
        if values.get(section) is not None:
            choice: Choice = getattr(config, section)
            values[section] = {key: choice.name, **choice.values}
    if config.correlate.tables:
        values["correlate"]["tables"] = [{"source": table.name, **table.values} for table in config.correlate.tables]
    values["space"] = values["space"] if config.space.values else config.space.name
    return values


def _plain(parameters: Parameters) -> dict[str, Any]:
    return parameters.model_dump(mode="json")


def _named(choice: Choice) -> dict[str, Any]:
    return {"name": choice.name, **_plain(choice.parameters)}


def proxies_of(proxies: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the checked parameters of proxies; values that are not mappings are returned as they are, for the model to reject.

    Raises:
        ConfigError: If a parameter is unknown or wrong.
        UnknownNameError: If a proxy is not registered.
    """
    return {
        name: parse(PROXIES.get(str(name)).Parameters, given, f"fitness.proxies.{name}") if isinstance(given, Mapping) else given
        for name, given in proxies.items()
    }


def _fitness(section: Mapping[str, Any]) -> dict[str, Any]:
    """Expands the short forms: ``naswot:`` without parameters, a preset, and the objective of a single proxy."""
    section = dict(section)
    if isinstance(section.get("objective"), str):
        section |= _of_score(section)
    section |= _of_front(section)
    proxies = section.get("proxies")
    if isinstance(proxies, Mapping):
        section["proxies"] = {name: {} if given is None else given for name, given in proxies.items()}
    if section.get("preset") is not None:
        section |= _of_preset(section)
    elif isinstance(proxies, Mapping) and len(proxies) == 1 and "objective" not in section:
        section["objective"] = {"score": next(iter(proxies))}
    if isinstance(section.get("proxies"), Mapping):
        section["proxies"] = proxies_of(section["proxies"])
    return section


def _of_score(section: Mapping[str, Any]) -> dict[str, Any]:
    """Expands ``objective: rbflex``, which is the single score of that name; it is a proxy if none is given.

    Raises:
        ConfigError: If it is the name of a preset.
    """
    name = section["objective"]
    if name in PRESETS.names() and name not in PROXIES.names():
        raise ConfigError(f"'fitness.objective' is {name!r}, which is a preset; write preset: {name}")
    found: dict[str, Any] = {"objective": {"score": name}}
    return found if section.get("proxies") or section.get("preset") else {**found, "proxies": {name: {}}}


def _of_front(section: Mapping[str, Any]) -> dict[str, Any]:
    """Expands ``{preset: rbflex_robust}`` among several objectives to its rank aggregate, and adds its members to the proxies.

    Raises:
        UnknownNameError: If the preset is not registered.
        ConfigError: If the entry has other keys, or the preset is not a name.
    """
    objective = section.get("objective")
    if not isinstance(objective, Mapping) or section.get("preset") is not None:
        return {}
    entries = objective.get("pareto")
    if not isinstance(entries, list):
        return {}
    proxies, expanded = section.get("proxies"), []
    for entry in entries:
        if not isinstance(entry, Mapping) or "preset" not in entry:
            expanded.append(entry)
            continue
        if len(entry) > 1 or not isinstance(entry["preset"], str):
            raise ConfigError(
                f"'fitness.objective.pareto': should be {{preset: NAME}} and nothing else, but it is {shown(dict(entry))}"
            )
        preset = PRESETS.get(entry["preset"])
        expanded.append(preset.objective)
        if proxies is None or isinstance(proxies, Mapping):
            given = {name: {} if values is None else values for name, values in (proxies or {}).items()}
            proxies = _merged(preset.proxies, given)
    found = {} if proxies is None else {"proxies": proxies}
    return {**found, "objective": {**objective, "pareto": expanded}}


def _merged(proxies: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the proxies of a preset and the given ones, whose parameters take precedence."""
    written = {name: given.get(name, {}) for name in {**proxies, **given}}
    return {
        name: {**proxies.get(name, {}), **values} if isinstance(values, Mapping) else values for name, values in written.items()
    }


def _of_preset(section: Mapping[str, Any]) -> dict[str, Any]:
    """Expands a preset to its objective and its members; given proxies are added, and their parameters take precedence.

    Raises:
        UnknownNameError: If the preset is not registered.
        ConfigError: If the preset is not a name, or an objective is given, too.
    """
    if not isinstance(section["preset"], str):
        raise ConfigError(f"'fitness.preset': should be a preset's name, but it is {shown(section['preset'])}")
    preset = PRESETS.get(section["preset"])
    if section.get("objective") is not None:
        raise ConfigError(
            f"'fitness.objective' is set in addition to the preset {section['preset']!r}, which has its own; "
            "leave one out (--set fitness.objective=null)"
        )
    given = section.get("proxies") or {}
    if not isinstance(given, Mapping):
        return {"objective": preset.objective}
    return {"proxies": _merged(preset.proxies, given), "objective": preset.objective}


def _correlate(section: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(section.get("tables"), list):
        return section
    tables = [read_choice(table, f"correlate.tables.{i}", "source", TABLES) for i, table in enumerate(section["tables"])]
    return {**section, "tables": tables}


def override(values: dict[str, Any], text: str) -> None:
    """Sets one key of a mapping that is not checked yet.

    Args:
        values: The mapping, which is changed in place.
        text: The key and its new value, as ``key.sub=value``.

    Raises:
        ConfigError: If the text has another form, the value is malformed, or a key of the path does not hold a mapping.
    """
    path, equals, value = text.partition("=")
    parts = path.split(".")
    if not equals or not all(part.strip() for part in parts):
        raise ConfigError(f"--set takes key.sub=value, but it is {shown(text)}")
    inner = values
    for depth, part in enumerate(parts[:-1]):
        if isinstance(inner.get(part), str) and depth == 0 and part in CHOICES:
            inner[part] = {CHOICES[part]: inner[part]}
        if inner.get(part) is None:
            inner[part] = {}
        if not isinstance(inner[part], dict):
            key = ".".join(parts[: depth + 1])
            raise ConfigError(f"--set {shown(text)}: {shown(key)} has no keys, it is {shown(inner[part])}")
        inner = inner[part]
    # A run may be called 007.
    inner[parts[-1]] = value if path == "name" else read_value(value, f"--set {shown(text)}")
