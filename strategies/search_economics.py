"""Search economics: regions of the space get evaluations by their visits, mean and best value (Tsai, IEEE SMC 2015).

Wu, Lin & Tsai use it for training-free search (IEEE Transactions on Evolutionary Computation, 2023).

    resource arrangement:
        anchors  <- `regions` genotypes far apart; a genotype belongs to the region of the nearest anchor
        goods_j  <- `goods` unseen genotypes of each region j
        searcher <- the best good of a region, each searcher from the next region in turn
    repeat:
        vision search:
            e_j <- (waited_j / invested_j) * mean_j * (best_j / sum of all regions' best)     for every region j
            each searcher: j         <- the highest e_j of `tournament` regions drawn with replacement
                           candidate <- crossover of the searcher and each good of j, one gene mutated, the first of
                                        four that is unseen and in j; else an unseen mutant of the good
        marketing research, once all candidates are evaluated:
            goods_j  <- the `goods` best of goods_j and the candidates that lie in j
            searcher <- its best candidate, if better
            a region with candidates: mean_j <- their mean value, invested_j <- invested_j + 1, waited_j <- 1
            any other region:         waited_j <- waited_j + 1, invested_j <- 1

A value is a percentile among goods and the regions' last candidates, by current utility. Products and shares need positive
values on one scale, which raw scores do not have. Regions are Voronoi cells by the encoding's distance, which exist for every
encoding; the paper's regions fix the first genes of a bit string. The paper crosses every searcher with the goods of every
region in every round. Here, to save evaluations, only the chosen regions get candidates, and mean_j is that of the last
round with candidates in region j.

    parameter    here
    searchers       4
    regions         4
    goods           2   (members kept of each region)
    tournament      3

These values are our own, because those of the papers for architecture search were not available. One ask is a round of
searchers x goods candidates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import Encoding, Genotype, Parameters

from .population import Member, Population
from .recent import percentiles
from .situation import Situation
from .strategy import Strategy, View
from .unseen import Unseen, until_none

ANCHOR_DRAWS = 25
DRAWS_IN_REGION = 20
CROSSOVERS = 2


class SearchEconomicsParameters(Parameters):
    """Parameters of search economics.

    Attributes:
        searchers: Number of searchers.
        regions: Number of regions; fewer in a space with fewer genotypes.
        goods: Number of members kept of each region.
        tournament: Number of regions drawn, with replacement, to choose the region of a searcher.
    """

    searchers: int = Field(4, ge=1)
    regions: int = Field(4, ge=2)
    goods: int = Field(2, ge=1)
    tournament: int = Field(3, ge=1)


class SearchEconomics(Strategy):
    """Search economics over any encoding (Tsai, IEEE SMC 2015; Wu, Lin & Tsai, IEEE TEVC 2023).

    The space is divided into regions around genotypes that are far apart. Searchers are crossed with the best members of the
    regions of highest expected value. `SearchEconomicsParameters` describes the parameters.
    """

    name = "search_economics"
    description = "regions of the space, invested in by visits, mean and best value"
    default_rule = "searchers are 0.15 times the root of the budget (1 to 4), with 2 regions of one good each"
    Parameters: ClassVar[type[Parameters]] = SearchEconomicsParameters
    parameters: SearchEconomicsParameters

    @classmethod
    def defaults_for(cls, situation: Situation, given: Mapping[str, Any]) -> dict[str, Any]:
        """Returns searchers by the root of the budget, two regions and one good of each."""
        return {"searchers": situation.root(0.15, 1, 4), "regions": 2, "goods": 1}

    def __init__(self, encoding: Encoding, seed: int, parameters: SearchEconomicsParameters | None = None) -> None:
        super().__init__(encoding, seed, parameters)
        self.anchors = _far_apart(encoding, self.parameters.regions, self.rng)
        self.goods = [Population() for _ in self.anchors]
        self.searchers = Population()
        self.invested = [1] * len(self.anchors)
        self.waited = [1] * len(self.anchors)
        self._candidates: list[list[str]] = [[] for _ in self.anchors]
        self._to_arrange: list[int] | None = None
        self._asked_by: list[int] = []
        self._unseen = Unseen(encoding)

    def region(self, genotype: Genotype) -> int:
        """Returns the index of the anchor nearest to a genotype, the first of equally near ones."""
        return int(np.argmin([self.encoding.distance(genotype, anchor) for anchor in self.anchors]))

    def expected_values(self, view: View) -> np.ndarray:
        """Returns the expected value of each region, float64 [regions]; -inf if no member of the region is known."""
        keys = [[good.key for good in goods] for goods in self.goods]
        known = [*dict.fromkeys(key for group in (*keys, *self._candidates) for key in group)]
        utilities = view.utility(known)
        value = dict(zip(known, percentiles(utilities, utilities), strict=True))
        tops = np.array([max((value[key] for key in group), default=0.0) for group in keys])
        means = np.array([np.mean([value[key] for key in group]) if group else 0.0 for group in self._candidates])
        expected = np.array(self.waited) / np.array(self.invested) * means * tops / tops.sum()
        return np.where([bool(group) for group in keys], expected, -np.inf)

    def ask(self, n: int, view: View) -> list[Genotype]:
        """Returns genotypes that fill the regions, then candidates of the searchers."""
        if self._to_arrange is None:
            lacking = [max(self.parameters.goods - len(goods), 0) for goods in self.goods]
            self._to_arrange = [region for region, count in enumerate(lacking) for _ in range(count)]
        genotypes = self._arranged(n, view) if self._to_arrange else self._vision(n, view)
        self.generation += 1 if genotypes else 0
        return genotypes

    def tell(self, evaluations: Sequence[Evaluation], view: View) -> None:
        """Updates the goods of each region, the searchers and the investments."""
        told = Population.of(evaluations)
        keys = sorted({member.key for members in (*self.goods, self.searchers, told) for member in members})
        utility = dict(zip(keys, view.utility(keys).tolist(), strict=True))
        regions = [self.region(member.genotype) for member in told]
        for region in dict.fromkeys(regions):
            inside = [member for member, where in zip(told, regions, strict=True) if where == region]
            goods = sorted([*self.goods[region], *inside], key=lambda member: -utility[member.key])
            self.goods[region] = Population(goods[: self.parameters.goods])
            self._candidates[region] = [member.key for member in inside]
        if self._asked_by:
            self._count(regions)
            for i, member in zip(self._asked_by, told, strict=True):
                if utility[member.key] > utility[self.searchers[i].key]:
                    self.searchers[i] = member
            self._asked_by = []

    def get_state(self) -> dict[str, Any]:
        """Returns the state as plain data."""
        return {
            "anchors": [list(anchor) for anchor in self.anchors],
            "goods": [goods.to_json() for goods in self.goods],
            "searchers": self.searchers.to_json(),
            "invested": list(self.invested),
            "waited": list(self.waited),
            "candidates": [list(keys) for keys in self._candidates],
            "to_arrange": None if self._to_arrange is None else list(self._to_arrange),
            "asked_by": list(self._asked_by),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores a state of `get_state`."""
        self.anchors = [tuple(anchor) for anchor in state["anchors"]]
        self.goods = [Population.of_json(goods) for goods in state["goods"]]
        self.searchers = Population.of_json(state["searchers"])
        self.invested, self.waited = list(state["invested"]), list(state["waited"])
        self._candidates = [list(keys) for keys in state["candidates"]]
        self._to_arrange = None if state["to_arrange"] is None else list(state["to_arrange"])
        self._asked_by = list(state["asked_by"])

    def _arranged(self, n: int, view: View) -> list[Genotype]:
        """Returns unseen genotypes of the regions that lack goods; of any region if none is found inside."""
        now, self._to_arrange = (self._to_arrange or [])[:n], (self._to_arrange or [])[n:]
        taken: set[str] = set()

        def drawn(region: int) -> Genotype | None:
            draws = (self.encoding.sample(self.rng) for _ in range(DRAWS_IN_REGION))
            return self._first_inside(draws, region, view, taken) or self._unseen.draw(self.rng, view, taken)

        return until_none(map(drawn, now))

    def _vision(self, n: int, view: View) -> list[Genotype]:
        """Returns the candidates of each searcher in the region that it chooses."""
        if not self.searchers:
            tops = [goods[0] for goods in self.goods if goods]
            self.searchers = Population(tops[i % len(tops)] for i in range(self.parameters.searchers))
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

    def _crossed(self, searcher: Member, good: Member, region: int, view: View, taken: set[str]) -> Genotype | None:
        pairs = (self.encoding.crossover(searcher.genotype, good.genotype, self.rng) for _ in range(CROSSOVERS))
        mutants = (self.encoding.mutate(child, self.rng) for pair in pairs for child in pair)
        found = self._first_inside(mutants, region, view, taken)
        return found or self._unseen.near(good.genotype, self.rng, view, taken)

    def _first_inside(self, genotypes: Iterable[Genotype], region: int, view: View, taken: set[str]) -> Genotype | None:
        return next(self._unseen.among(genotypes, view, taken, lambda genotype: self.region(genotype) == region), None)

    def _count(self, regions: Sequence[int]) -> None:
        for region in range(len(self.anchors)):
            had = region in regions
            self.invested[region] = self.invested[region] + 1 if had else 1
            self.waited[region] = 1 if had else self.waited[region] + 1


def _far_apart(encoding: Encoding, count: int, rng: np.random.Generator) -> list[Genotype]:
    """Returns up to `count` genotypes of a random pool, each the farthest from the ones before it; fewer in a tiny space."""
    pool = [encoding.sample(rng) for _ in range(ANCHOR_DRAWS * count)]
    chosen = pool[:1]
    nearest = np.array([encoding.distance(genotype, chosen[0]) for genotype in pool])
    while len(chosen) < count and nearest.max() > 0:
        chosen.append(pool[int(np.argmax(nearest))])
        nearest = np.minimum(nearest, [encoding.distance(genotype, chosen[-1]) for genotype in pool])
    return chosen
