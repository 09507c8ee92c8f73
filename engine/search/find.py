"""`find`: from limits to an exported network, without a configuration file.

    config <- the preset for the inputs of the space, a search within the limits, a budget by the size of the space
    search, or resume, or take the result
    export the found network, unless that was done before

The call is a configuration, as that of `search` is: its run folder, named after the space and the limits, holds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rbflex_evo.engine.configuration.config import Config
from rbflex_evo.engine.configuration.unset import settled
from rbflex_evo.engine.export.export import Exported, export_run
from rbflex_evo.engine.export.exported import FILE, Architecture, read_architecture
from rbflex_evo.engine.run.folder import begun, find_run
from rbflex_evo.fitness.costs.metric import metric_type
from rbflex_evo.spaces import ConfigError, RunError, SearchSpace
from rbflex_evo.spaces.errors import shown

from .one_call import configured
from .result import Result

# Evaluations in a space of at most so many genotypes, and in a larger one.
SMALL, IN_SMALL, IN_LARGE = 50_000, 500, 1_000
# Metrics whose file is a predictor; every other one that reads a file reads a table of devices.
PREDICTED = "predicted"


def read_limits(texts: list[str], option: str = "--limit") -> dict[str, float]:
    """Returns the largest allowed cost by metric, from texts such as ``latency:pixel3=8``.

    Args:
        texts: Values of the option.
        option: The option; values of ``--least`` are the smallest allowed ones.

    Raises:
        ConfigError: If a text has another form, or names a metric that another one names.
    """
    limits: dict[str, float] = {}
    for text in texts:
        name, equals, value = text.rpartition("=")
        try:
            most = float(value) if equals and "_" not in value else float("nan")
        except ValueError:
            most = float("nan")
        if not abs(most) < float("inf"):
            most_or_least = "largest" if option == "--limit" else "smallest"
            raise ConfigError(
                f"{option} takes METRIC=NUMBER, the {most_or_least} allowed cost, such as params=1e6, but it is {shown(text)}"
            )
        if name in limits:
            raise ConfigError(f"{option} names {name!r} twice; give its {'smaller' if option == '--limit' else 'larger'} value")
        limits[name] = most
    return limits


def find_config(
    space: str,
    limits: Mapping[str, float],
    *,
    evaluations: int | None = None,
    name: str | None = None,
    runs: str | None = None,
    table: Path | None = None,
    predictor: Path | None = None,
) -> tuple[Config, SearchSpace]:
    """Returns the configuration of the search, with the strategy and the parameters that it chooses, and its space.

    Args:
        space: Registered name of a space that needs no parameters.
        limits: Largest allowed cost by metric.
        evaluations: Number of distinct architectures to evaluate; None for a number by the size of the space.
        name: Name of the run; None for the space and the limits.
        runs: Folder of runs; None for the default.
        table: File of the costs on devices, for metrics such as ``latency:pixel3``.
        predictor: File of a predictor, for metrics such as ``predicted:board``.

    Raises:
        ConfigError: If a metric needs a file that is not given, or a file is given that no limit reads.
        UnknownNameError: If the space or a metric is not registered.
    """
    files = {"--table": table, "--predictor": predictor}
    bounds: dict[str, dict[str, Any]] = {}
    for metric, most in limits.items():
        bounds[metric] = {"max": most}
        if "path" in metric_type(metric).Parameters.model_fields:
            option = "--predictor" if metric.partition(":")[0] == PREDICTED else "--table"
            file = files[option]
            if file is None:
                raise ConfigError(f"{metric!r} is read from a file; name it with {option} FILE")
            bounds[metric]["path"] = str(file)
    read = {bound.get("path") for bound in bounds.values()}
    for option, file in files.items():
        if file is not None and str(file) not in read:
            raise ConfigError(
                f"{option} is given, but no limit reads it; add a limit such as --limit latency:pixel3=8, or leave it out"
            )
    settings = {"name": name or default_name(space, limits), **({} if runs is None else {"runs": runs})}
    budget = {"evaluations": evaluations}
    config, built = configured(space, budget, {"limits": bounds} if bounds else {}, settings)
    if evaluations is None:
        config, built = configured(built, {"evaluations": evaluations_of(built)}, {"limits": bounds} if bounds else {}, settings)
    return settled(config, built, begun(config.folder)), built


def evaluations_of(space: SearchSpace) -> int:
    """Returns the default budget of a space."""
    size = space.encoding.size
    return IN_LARGE if size is None or size > SMALL else min(IN_SMALL, size)


def default_name(space: str, limits: Mapping[str, float]) -> str:
    """Returns the name of a run: ``nats_tss-latency.pixel3-8-params-1e06``."""
    named = [f"{metric.replace(':', '.')}-{most:.6g}".replace("+", "") for metric, most in sorted(limits.items())]
    return "-".join([space, *named])


def export_found(result: Result, into: Path | None = None) -> Exported:
    """Returns the exported network of a result, which is written unless it was before.

    Args:
        result: The result.
        into: Folder to write; by default ``export`` in the folder of the run.

    Raises:
        RunError: If the search found nothing, or the folder holds something else.
    """
    if result.best is None:
        raise RunError(f"nothing was found: {result.stop_reason}\nraise a limit, or start again with more --evaluations")
    target = result.folder / "export" if into is None else into
    known = _known(target / "1")
    run = find_run(result.folder).name
    if known is not None and (known.run.name, known.key) == (run, result.best.key):
        return Exported(target / "1", known)
    if known is not None and known.run.name != run:
        raise RunError(f"{target} holds a network of the run {known.run.name!r}; name another folder with --export")
    return export_run(result.folder, into=into, replace=known is not None, space=result.space)[0]


def _known(folder: Path) -> Architecture | None:
    return read_architecture(folder) if (folder / FILE).is_file() else None
