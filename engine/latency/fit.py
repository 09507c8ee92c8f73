"""Fitting a predictor to costs, and checking it against new ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from rbflex_evo.engine.run.environment import environment
from rbflex_evo.fitness.costs.predictors.errors import Errors, cross_validated, errors_of, fewest
from rbflex_evo.fitness.costs.predictors.predictor import PREDICTORS, Predictor
from rbflex_evo.fitness.costs.predictors.saved import Provenance, save_predictor
from rbflex_evo.fitness.costs.predictors.transfer import KnownDevices
from rbflex_evo.spaces import ConfigError, Genotype, SearchSpace

from .costs import CostSource

# Kinds that cut networks into kernels, which depend on the runtime.
CUTTING = ("lookup", "kernels")
TRANSFER = "transfer"
# The kind that is fitted to times of operations.
LAYERS = "layers"


@dataclass(frozen=True)
class Fitted:
    """A predictor and its errors.

    Attributes:
        predictor: The predictor.
        provenance: Where it comes from.
        cross_validated: Errors within the architectures that it was fitted to.
        held_out: Errors on architectures that it has not seen; None if there are none.
        spread: Median width of the 95 % intervals of the measurements, as a share; NaN for a table.
    """

    predictor: Predictor
    provenance: Provenance
    cross_validated: Errors
    held_out: Errors | None
    spread: float


def fit(
    space: SearchSpace,
    source: CostSource,
    kind: str,
    count: int,
    held_out: int,
    out: Path,
    *,
    known: KnownDevices | None = None,
    seed: int = 0,
    progress: Callable[[], None] = lambda: None,
) -> Fitted:
    """Fits a predictor to costs of random architectures and writes it.

    Args:
        space: Search space.
        source: Where the costs come from.
        kind: Registered name of the predictor.
        count: Number of architectures that it is fitted to.
        held_out: Number of further architectures on which its error is measured.
        out: Path of the predictor's file; the journal of measurements is beside it.
        known: Known devices of the kind "transfer".
        seed: Seed of the architectures and the predictor.
        progress: Called after each architecture.

    Raises:
        ConfigError: If the count or the space is too small, or known devices are missing or not used.
        UnknownNameError: If no predictor has the name.
    """
    times: dict[Genotype, tuple[float, ...]] = {}
    make = maker(space, source, kind, known, seed, times)
    needed = fewest(PREDICTORS.get(kind).least)
    if count < needed:
        raise ConfigError(f"{kind!r} is fitted and judged in five folds, which takes {needed} networks, but --count is {count}")
    genotypes = source.sample(count + held_out, seed)
    if len(genotypes) < count + held_out:
        raise ConfigError(
            f"{space.name} has {len(genotypes)} architectures with a cost, fewer than {count} + {held_out}; "
            "lower --count or --held-out"
        )
    values, timings = source.costs(genotypes, journal_of(out), progress)
    times.update((genotype, timing.operations) for genotype, timing in zip(genotypes, timings, strict=False))
    # Not the last ones, since a machine may change its speed while it measures.
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(genotypes))
    learnt, unseen = order[:count], order[count:]
    fitted_to = [genotypes[i] for i in learnt]
    inner = cross_validated(make, fitted_to, values[learnt], seed=seed)
    predictor = make()
    predictor.fit(fitted_to, values[learnt])
    outer = errors_of(values[unseen], predictor.predict([genotypes[i] for i in unseen]), seed) if len(unseen) else None
    errors: dict[str, Any] = {"cross_validated": inner.as_values()}
    if outer is not None:
        errors["held_out"] = outer.as_values()
    provenance = Provenance(
        source.device, source.quantity, source.unit, count, date.today().isoformat(), dict(source.facts), environment(), errors
    )
    save_predictor(out, predictor, provenance)
    widths = [(timing.high - timing.low) / timing.median for timing in timings]
    return Fitted(predictor, provenance, inner, outer, float(np.median(widths)) if widths else float("nan"))


def maker(
    space: SearchSpace,
    source: CostSource,
    kind: str,
    known: KnownDevices | None,
    seed: int,
    times: Mapping[Genotype, Sequence[float]],
) -> Callable[[], Predictor]:
    """Returns a function that makes a new predictor of a kind; all of them share what they know of networks.

    Args:
        space: Search space.
        source: Where the costs come from.
        kind: Registered name of the predictor.
        known: Known devices of the kind "transfer".
        seed: Seed of the predictor.
        times: Milliseconds of the operations of architectures, of the kind "layers", which may be measured later.

    Raises:
        ConfigError: If known devices are missing or not used.
        UnknownNameError: If no predictor has the name.
    """
    from rbflex_evo.fitness.costs.predictors.cutting import Cutter, Runtime

    found: Any = PREDICTORS.get(kind)
    if (known is not None) != (kind == TRANSFER):
        way_out = "name a table with --known" if kind == TRANSFER else "leave out --known"
        raise ConfigError(f"known devices are for the predictor 'transfer', and this is {kind!r}; {way_out}")
    if kind == TRANSFER:
        return lambda: found(space, seed, known)
    if kind == LAYERS:
        return lambda: found(space, seed, times)
    if kind in CUTTING:
        runtime: Runtime = "onnx" if source.runtime == "onnx" else "eager"
        cutter = Cutter(space, runtime)
        return lambda: found(space, seed, runtime, cutter)
    return lambda: found(space, seed)


def check(
    predictor: Predictor, source: CostSource, count: int, journal: Path, seed: int, progress: Callable[[], None] = lambda: None
) -> Errors:
    """Returns the errors of a predictor on costs of new random architectures.

    Args:
        predictor: A fitted predictor.
        source: Where the costs come from.
        count: Number of architectures.
        journal: Path of the journal of measurements.
        seed: Seed of the architectures.
        progress: Called after each architecture.
    """
    genotypes = source.sample(count, seed)
    values, _ = source.costs(genotypes, journal, progress)
    return errors_of(values, predictor.predict(genotypes), seed)


def journal_of(out: Path) -> Path:
    """Returns the path of the journal of measurements of a predictor's file."""
    return out.with_suffix(".measured.jsonl")
