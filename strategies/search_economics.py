"""Search economics: the space in regions, invested in by visits, mean and best value (Tsai, IEEE SMC 2015).

Used for training-free search by Wu, Lin & Tsai, IEEE Transactions on Evolutionary Computation, 2023.

    resource arrangement:
        anchors  <- `regions` genotypes far apart; a genotype's region is that of the nearest anchor
        goods_j  <- `goods` unseen genotypes of each region j
        searcher <- each at the best good of one region, in turn
    repeat:
        vision search:
            e_j <- (waited_j / invested_j) * mean_j * (best_j / sum of all regions' best)     for every region j
            each searcher: j         <- the highest e_j of `tournament` regions drawn with replacement
                           candidate <- crossover of the searcher and each good of j, one gene mutated, the first of
                                        four that is unseen and in j; else an unseen mutant of the good
        marketing research, once all candidates are evaluated:
            goods_j  <- the `goods` best of goods_j and the candidates that lie in j
            searcher <- its best candidate, if better
            a region that had candidates: mean_j <- their mean value, invested_j <- invested_j + 1, waited_j <- 1
            any other:                    waited_j <- waited_j + 1, invested_j <- 1

A value is a percentile among goods and the regions' last candidates, by utility as it is now, since products and shares
need positive values on one scale and a raw score has neither. Regions of Voronoi cells, by the encoding's distance, suit
every encoding; the paper's fix the first genes of a bit string. The paper crosses every searcher with every region's
goods in every round. Where an evaluation is what is paid for, the investment goes to the chosen regions alone, and mean_j is of
the last round that had candidates there.

    parameter    here
    searchers       4
    regions         4
    goods           2   (samples kept of a region)
    tournament      3

These are ours; neither paper's values for architecture search were at hand. One ask is a round of searchers x goods candidates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import Encoding, Genotype, Parameters

from .candidates import Candidate, Unseen
from .recent import percentiles
from .strategy import Strategy, View

ANCHOR_DRAWS = 25
DRAWS_IN_REGION = 20
CROSSOVERS = 2


class SearchEconomicsParameters(Parameters):
    """Parameters of search economics.

    Attributes:
        searchers: Number of searchers.
        regions: Number of regions.
        goods: Best genotypes that are kept of each region.
        tournament: Regions that are compared for each searcher.
    """

    searchers: int = Field(4, ge=1)
    regions: int = Field(4, ge=2)
    goods: int = Field(2, ge=1)
    tournament: int = Field(3, ge=1)


class SearchEconomics(Strategy):
    """Search economics over any encoding, regions being the surroundings of genotypes far apart."""

    name = "search_economics"
    description = "regions of the space, invested in by visits, mean and best value"
    Parameters: ClassVar[type[Parameters]] = SearchEconomicsParameters
    parameters: SearchEconomicsParameters

    def __init__(self, encoding: Encoding, seed: int, parameters: SearchEconomicsParameters | None = None) -> None:
        super().__init__(encoding, seed, parameters)
        self.anchors = _far_apart(encoding, self.parameters.regions, self.rng)
        self.goods: list[list[Candidate]] = [[] for _ in self.anchors]
        self.searchers: list[Candidate] = []
        self.invested = [1] * len(self.anchors)
        self.waited = [1] * len(self.anchors)
        self._candidates: list[list[str]] = [[] for _ in self.anchors]
        self._to_arrange: list[int] | None = None
        self._asked_by: list[int] = []
        self._unseen = Unseen(encoding)

    def region(self, genotype: Genotype) -> int:
        """Returns the region that a genotype lies in: the nearest anchor's, the first of equals."""
        return int(np.argmin([self.encoding.distance(genotype, anchor) for anchor in self.anchors]))

    def expected_values(self, view: View) -> np.ndarray:
        """Returns float64 [regions], what the next investment in each region promises; -inf where nothing is known."""
        keys = [[good.key for good in goods] for goods in self.goods]
        known = [*dict.fromkeys(key for group in (*keys, *self._candidates) for key in group)]
        utilities = view.utility(known)
        value = dict(zip(known, percentiles(utilities, utilities), strict=True))
        tops = np.array([max((value[key] for key in group), default=0.0) for group in keys])
        means = np.array([np.mean([value[key] for key in group]) if group else 0.0 for group in self._candidates])
        expected = np.array(self.waited) / np.array(self.invested) * means * tops / tops.sum()
        return np.where([bool(group) for group in keys], expected, -np.inf)

    def ask(self, n: int, view: View) -> list[Genotype]:
        if self._to_arrange is None:
            lacking = [max(self.parameters.goods - len(goods), 0) for goods in self.goods]
            self._to_arrange = [region for region, count in enumerate(lacking) for _ in range(count)]
        genotypes = self._arranged(n, view) if self._to_arrange else self._vision(n, view)
        self.generation += 1 if genotypes else 0
        return genotypes

    def tell(self, evaluations: Sequence[Evaluation], view: View) -> None:
        told = [Candidate.of(evaluation) for evaluation in evaluations]
        everyone = {candidate.key for candidates in (*self.goods, self.searchers, told) for candidate in candidates}
        keys = sorted(everyone)
        utility = dict(zip(keys, view.utility(keys).tolist(), strict=True))
        regions = [self.region(candidate.genotype) for candidate in told]
        for region in dict.fromkeys(regions):
            inside = [candidate for candidate, where in zip(told, regions, strict=True) if where == region]
            goods = sorted([*self.goods[region], *inside], key=lambda candidate: -utility[candidate.key])
            self.goods[region] = goods[: self.parameters.goods]
            self._candidates[region] = [candidate.key for candidate in inside]
        if self._asked_by:
            self._count(regions)
            for i, candidate in zip(self._asked_by, told, strict=True):
                if utility[candidate.key] > utility[self.searchers[i].key]:
                    self.searchers[i] = candidate
            self._asked_by = []

    def get_state(self) -> dict[str, Any]:
        return {
            "anchors": [list(anchor) for anchor in self.anchors],
            "goods": [_to_json(goods) for goods in self.goods],
            "searchers": _to_json(self.searchers),
            "invested": list(self.invested),
            "waited": list(self.waited),
            "candidates": [list(keys) for keys in self._candidates],
            "to_arrange": None if self._to_arrange is None else list(self._to_arrange),
            "asked_by": list(self._asked_by),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        self.anchors = [tuple(anchor) for anchor in state["anchors"]]
        self.goods = [[Candidate.from_json(data) for data in goods] for goods in state["goods"]]
        self.searchers = [Candidate.from_json(data) for data in state["searchers"]]
        self.invested, self.waited = list(state["invested"]), list(state["waited"])
        self._candidates = [list(keys) for keys in state["candidates"]]
        self._to_arrange = None if state["to_arrange"] is None else list(state["to_arrange"])
        self._asked_by = list(state["asked_by"])

    def _arranged(self, n: int, view: View) -> list[Genotype]:
        """Returns goods to begin with: unseen genotypes of the regions that lack some, others where that is not found."""
        now, self._to_arrange = (self._to_arrange or [])[:n], (self._to_arrange or [])[n:]
        taken: set[str] = set()
        genotypes: list[Genotype] = []
        for region in now:
            drawn = (self.encoding.sample(self.rng) for _ in range(DRAWS_IN_REGION))
            genotype = self._first_inside(drawn, region, view, taken) or self._unseen.draw(self.rng, view, taken)
            if genotype is None:
                break
            genotypes.append(genotype)
        return genotypes

    def _vision(self, n: int, view: View) -> list[Genotype]:
        """Returns each searcher's candidates in the region that it chooses."""
        if not self.searchers:
            tops = [goods[0] for goods in self.goods if goods]
            self.searchers = [tops[i % len(tops)] for i in range(self.parameters.searchers)]
        expected = self.expected_values(view)
        known = np.flatnonzero(expected > -np.inf)
        taken: set[str] = set()
        genotypes: list[Genotype] = []
        self._asked_by = []
        for i in range(self.parameters.searchers):
            drawn = self.rng.choice(known, size=self.parameters.tournament)
            region = int(drawn[np.argmax(expected[drawn])])
            for good in self.goods[region]:
                genotype = self._crossed(self.searchers[i], good, region, view, taken) if len(genotypes) < n else None
                if genotype is not None:
                    genotypes.append(genotype)
                    self._asked_by.append(i)
        return genotypes

    def _crossed(self, searcher: Candidate, good: Candidate, region: int, view: View, taken: set[str]) -> Genotype | None:
        pairs = (self.encoding.crossover(searcher.genotype, good.genotype, self.rng) for _ in range(CROSSOVERS))
        mutants = (self.encoding.mutate(child, self.rng) for pair in pairs for child in pair)
        found = self._first_inside(mutants, region, view, taken)
        return found or self._unseen.near(good.genotype, self.rng, view, taken)

    def _first_inside(self, genotypes: Iterable[Genotype], region: int, view: View, taken: set[str]) -> Genotype | None:
        def inside(genotype: Genotype) -> bool:
            return self.region(genotype) == region

        return next((genotype for genotype in genotypes if self._unseen.take(genotype, view, taken, inside)), None)

    def _count(self, regions: Sequence[int]) -> None:
        for region in range(len(self.anchors)):
            had = region in regions
            self.invested[region] = self.invested[region] + 1 if had else 1
            self.waited[region] = 1 if had else self.waited[region] + 1


def _far_apart(encoding: Encoding, count: int, rng: np.random.Generator) -> list[Genotype]:
    """Returns up to `count` genotypes, each as far from those before it as one of a random pool is; fewer in a tiny space."""
    pool = [encoding.sample(rng) for _ in range(ANCHOR_DRAWS * count)]
    chosen = pool[:1]
    nearest = np.array([encoding.distance(genotype, chosen[0]) for genotype in pool])
    while len(chosen) < count and nearest.max() > 0:
        chosen.append(pool[int(np.argmax(nearest))])
        nearest = np.minimum(nearest, [encoding.distance(genotype, chosen[-1]) for genotype in pool])
    return chosen


def _to_json(candidates: Iterable[Candidate]) -> list[dict[str, Any]]:
    return [candidate.to_json() for candidate in candidates]
