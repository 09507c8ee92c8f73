"""Scores of whole spaces that cost nothing to read, so that thousands of searches can be compared.

    table       a table of scores that `rbflex-evo tabulate` wrote, SPACE/scores.npz or SPACE-table/scores.npz in a folder
    published   scores of nats_tss as others published them (`nb201_proxies.npz`)
    counted     parameters and multiply-accumulates, from the shapes of a network's layers
    nk          an NK landscape (Kauffman & Weinberger, Journal of Theoretical Biology 141, 1989) over 30 genes of 4 values, 1.2e18
                genotypes: the mean over genes of a number drawn from the gene and K others, which are drawn once for each gene.
                With a larger K the landscape is more rugged.

Every score is higher is better; NaN where it failed. With two objectives, the second one is a cost: multiply-accumulates,
or the smoothest NK landscape. What was found is then the hypervolume of the front, with both objectives scaled to the range of a
sample.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.measuring.tabulated import read_tabulated
from rbflex_evo.spaces import ConfigError, DataError, Encoding, Genotype, SearchSpace, create_space
from rbflex_evo.spaces.families.nas_bench_101.costs import CONVOLUTIONS, cell_shapes
from rbflex_evo.spaces.families.nas_bench_101.space import NasBench101Space

SYNTHETIC = "synthetic"
GENES, VALUES = 30, 4
RUGGED = {"nk_2": 2, "nk_5": 5, "nk_9": 9}
PUBLISHED = {"naswot, published": "cifar10_naswot", "logsynflow, published": "cifar10_logsynflow"}
COUNTED = ("params", "flops")
TABULATED = ("naswot", "layered", "rbflex")
# Three scores a space, the ones that exist of these, in this order.
WANTED: dict[str, tuple[str, ...]] = {
    "nats_tss": ("naswot, published", "logsynflow, published", *TABULATED),
    "nats_sss": (*TABULATED, *COUNTED),
    "nasbench101": (*TABULATED, "log_channels", *COUNTED),
    "nasbench_macro": (*TABULATED, *COUNTED),
    "transnas_macro": (*TABULATED, *COUNTED),
    SYNTHETIC: tuple(RUGGED),
}
SCORES_A_SPACE = 3
# Names of the objectives in evaluations.
SCORE, COST = "score", "cost"
# Random genotypes that give the scale of a landscape.
SAMPLE = 500


@dataclass(frozen=True)
class Landscape:
    """One score of one space, alone or beside a cost.

    Attributes:
        space: Name of the space.
        score: Name of the score.
        encoding: Encoding of the genotypes.
        key: Returns the canonical key of a genotype.
        value: Returns the score of the network of a key; NaN if it failed.
        best: The highest score of the whole space; None if it is not known.
        cost: Returns the cost of the network of a key; None for a single objective.
    """

    space: str
    score: str
    encoding: Encoding
    key: Callable[[Genotype], str]
    value: Callable[[str], float]
    best: float | None
    cost: Callable[[str], float] | None = None

    @property
    def name(self) -> str:
        """Space, score and whether a cost is minimised."""
        return f"{self.space} / {self.score}" + ("" if self.cost is None else " and cost")

    def evaluation(self, genotype: Genotype, key: str) -> Evaluation:
        """Returns the evaluation of a genotype."""
        score = self.value(key)
        costs = {} if self.cost is None else {COST: self.cost(key)}
        if math.isnan(score):
            return Evaluation(genotype, key, {}, {SCORE: "it has no score"}, costs=costs)
        return Evaluation(genotype, key, {SCORE: score}, costs=costs)

    @cached_property
    def sample(self) -> np.ndarray:
        """Score and cost of random genotypes that did not fail, float64 [genotypes, objectives], each higher is better."""
        rng = np.random.default_rng(0)
        keys = [self.key(self.encoding.sample(rng)) for _ in range(SAMPLE)]
        rows = np.array([[self.value(key), *([] if self.cost is None else [-self.cost(key)])] for key in keys])
        return np.asarray(rows[~np.isnan(rows[:, 0])])

    def worth(self, evaluations: Sequence[Evaluation]) -> float:
        """Returns the highest score of evaluations, or the hypervolume of their front; NaN if there are none."""
        if not evaluations:
            return float("nan")
        if self.cost is None:
            return max(one.scores[SCORE] for one in evaluations)
        import moocore

        low, high = self.sample.min(axis=0), self.sample.max(axis=0)
        rows = np.array([[one.scores[SCORE], -one.costs[COST]] for one in evaluations])
        return float(moocore.hypervolume((rows - low) / (high - low), ref=[0.0, 0.0], maximise=True))

    @property
    def typical(self) -> float:
        """What a random network is worth: the median score of the sample; 0 with two objectives."""
        return float(np.median(self.sample[:, 0])) if self.cost is None else 0.0


class Source:
    """The scores that exist of one space.

    Args:
        space: Name of the space.
        benchdata: Folder of published scores; None if there is none.
        tables: Folder of the tables; None if there is none.
    """

    def __init__(self, space: str, benchdata: Path | None, tables: Path | None) -> None:
        self.space, self.benchdata = space, benchdata
        # A run of tabulate that is named after its space writes the second one.
        paths = [] if tables is None else [tables / name / "scores.npz" for name in (space, f"{space}-table")]
        self.table = next((path for path in paths if path.is_file()), None)

    @cached_property
    def searched(self) -> SearchSpace:
        """The space."""
        if self.space == SYNTHETIC:
            return create_space("toy", genes=GENES, choices=VALUES)
        return create_space(self.space)

    @property
    def names(self) -> list[str]:
        """Names of the scores that are compared, up to `SCORES_A_SPACE`."""
        return [name for name in WANTED[self.space] if self._exists(name)][:SCORES_A_SPACE]

    def landscape(self, score: str) -> Landscape:
        """Returns the landscape of a score.

        Raises:
            ConfigError, DataError: If its table or its file is missing or of another space.
        """
        value, best = self._values(score)
        return Landscape(self.space, score, self.searched.encoding, self._key, value, best)

    def front(self) -> Landscape:
        """Returns the landscape of the first score and a cost.

        Raises:
            ConfigError, DataError: As `landscape`.
        """
        names = self.names
        alone = self.landscape(names[1] if self.space == SYNTHETIC else names[0])
        cost, _ = self._values(names[0] if self.space == SYNTHETIC else "flops")
        return replace(alone, best=None, cost=cost)

    @cached_property
    def _key(self) -> Callable[[Genotype], str]:
        # Networks without a canonical form need none: the two edges of a stage of the toy space are told apart.
        return lru_cache(None)(_written if self.space == SYNTHETIC else self.searched.key)

    def _exists(self, score: str) -> bool:
        if score in PUBLISHED:
            return self.benchdata is not None
        if score in TABULATED:
            return self.table is not None and score in _columns(self.table)
        return True

    def _values(self, score: str) -> tuple[Callable[[str], float], float | None]:
        if score in RUGGED:
            return lru_cache(None)(nk(RUGGED[score])), None
        if score in PUBLISHED:
            return _tabulated(self._published(PUBLISHED[score]))
        if score in TABULATED:
            if self.table is None:
                raise ConfigError(f"there is no table of {self.space}; make one with: rbflex-evo tabulate CONFIG")
            table = read_tabulated(self.table, [score])
            return _tabulated({key: float(table.scores[score][row]) for key, row in table.rows.items()})
        return lru_cache(None)(self._counted(score)), None

    def _published(self, array: str) -> dict[str, float]:
        file = Path(self.benchdata or "") / "nb201_proxies.npz"
        if not file.is_file():
            raise DataError(f"no file {str(file)!r}; --benchdata names the folder of published scores")
        space = self.searched
        with np.load(file, allow_pickle=False) as arrays:
            scores = arrays[array].astype(np.float64)
        keys = {space.key(space.at(index)) for index in range(len(scores))}
        # A key is scored as its representative; -inf is how the file marks a score that failed.
        found = {key: float(scores[space.index(space.representative(key))]) for key in keys}
        return {key: score if np.isfinite(score) else float("nan") for key, score in found.items()}

    def _counted(self, score: str) -> Callable[[str], float]:
        space = self.searched
        if score == "log_channels":
            return lambda key: _log_channels(space, key)
        return lambda key: float(getattr(space.costs(space.representative(key)), score))


def nk(k: int, seed: int = 0) -> Callable[[str], float]:
    """Returns an NK landscape over `GENES` genes of `VALUES` values, as a function of keys of one digit a gene.

    Args:
        k: Number of other genes that the contribution of a gene depends on.
        seed: Seed of the landscape.
    """
    rng = np.random.default_rng([seed, k])
    reads = [[gene, *rng.choice(np.delete(np.arange(GENES), gene), k, replace=False).tolist()] for gene in range(GENES)]

    def value(key: str) -> float:
        total = 0.0
        for gene, others in enumerate(reads):
            text = f"{seed} {k} {gene} {''.join(key[other] for other in others)}"
            total += int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big") / 2**32
        return total / GENES

    return value


def sources(benchdata: Path | None, tables: Path | None) -> dict[str, Source]:
    """Returns what exists of every space, by its name."""
    return {space: Source(space, benchdata, tables) for space in WANTED}


def _written(genotype: Genotype) -> str:
    return "".join(map(str, genotype))


def _columns(table: Path) -> list[str]:
    with np.load(table, allow_pickle=False) as arrays:
        return list(arrays.files)


def _tabulated(scores: Mapping[str, float]) -> tuple[Callable[[str], float], float]:
    return scores.__getitem__, float(np.nanmax(list(scores.values())))


def _log_channels(space: SearchSpace, key: str) -> float:
    """Returns the sum of the logarithms of the channels of the convolutions of a cell of nasbench101, projections included."""
    assert isinstance(space, NasBench101Space)
    dag = space.cell(space.representative(key))
    shapes = cell_shapes(dag, space.parameters.channels)
    convolutions = [channels for node, channels in shapes.channels.items() if dag.operations[node - 1] in CONVOLUTIONS]
    return float(np.log([*convolutions, *shapes.projections.values()]).sum())
