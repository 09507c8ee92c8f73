"""What every score is judged beside: all counts of the registry that a space has, and random scores."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np

from rbflex_evo.engine.configuration.assembly import Assembly
from rbflex_evo.engine.configuration.config import Config, proxies_of
from rbflex_evo.engine.configuration.selection import read_choice
from rbflex_evo.engine.tabulation.score_table import ScoreTable
from rbflex_evo.engine.terminal.interrupt import Interrupt
from rbflex_evo.engine.terminal.progress import Progress
from rbflex_evo.fitness import PROXIES
from rbflex_evo.fitness.data.batch import sources
from rbflex_evo.fitness.evaluation import keyed
from rbflex_evo.fitness.proxies.proxy import Proxy, create_proxy
from rbflex_evo.spaces import ConfigError, Parameters, PluginError, SearchSpace

from .columns import Column

RANDOM = "random"


def counts_of(space: SearchSpace) -> tuple[str, ...]:
    """Returns the names of the registered counts that are defined on a space, in the order of their registry."""
    found = []
    for name in PROXIES.names():
        # A package that cannot be loaded has no count; naming its score in a configuration reports it.
        with contextlib.suppress(ConfigError, PluginError):
            kind: type[Proxy] = PROXIES.get(name)
            if kind.is_count:
                create_proxy(name).for_space(space).check(space)
                found.append(name)
    # Parameters and FLOPs first: they decide equal values of the best count.
    return tuple(sorted(found, key=lambda name: (name not in ("params", "flops"), name == "flops", name)))


def scoring(config: Config, proxies: dict[str, Parameters]) -> Config:
    """Returns the configuration with other scores."""
    return config.model_copy(update={"fitness": config.fitness.model_copy(update={"proxies": proxies})})


def baselines(
    config: Config, table: ScoreTable, space: SearchSpace, counts: Sequence[str], interrupt: Interrupt, quiet: bool
) -> list[Column]:
    """Returns the columns of the counts, counted here if the table lacks them, and of random scores."""
    scores = dict(table.scores)
    missing = [name for name in counts if name not in scores]
    if missing:
        counting = scoring(config, proxies_of({name: {} for name in missing}))
        scores |= _counted(counting, table.architectures, space, interrupt, quiet)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(config.correlate.seed, spawn_key=(1,))))
    random = Column(RANDOM, "baseline", rng.random(len(table.architectures)))
    return [*(Column(name, "count", scores[name]) for name in counts), random]


def _counted(
    config: Config, architectures: Sequence[str], space: SearchSpace, interrupt: Interrupt, quiet: bool
) -> dict[str, np.ndarray]:
    """Returns scores that read no image, of a table that lacks them."""
    from rbflex_evo.fitness.data.inputs import default_data

    data = read_choice({**default_data(space), "n": 2, "seed": 0}, "data", "source", sources)
    parts = Assembly(config.model_copy(update={"workers": 1, "data": data}))
    genotypes = [space.parse(notation) for notation in architectures]
    evaluations = []
    with (
        parts.evaluator() as evaluator,
        Progress("baselines", len(genotypes), unit="network", shown=not quiet) as progress,
    ):
        for evaluation in evaluator.evaluate(keyed(evaluator, genotypes)):
            evaluations.append(evaluation)
            progress.advance()
            interrupt.check()
    return {name: np.array([one.scores.get(name, np.nan) for one in evaluations]) for name in config.fitness.proxies}
