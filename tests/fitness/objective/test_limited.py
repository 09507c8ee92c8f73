"""A view whose constraints reject: what strategies see, what is counted and noted, and when it ends."""

from __future__ import annotations

import numpy as np
import pytest

from rbflex_evo.fitness.costs.book import CostBook
from rbflex_evo.fitness.costs.metric import CostSubject, Metric
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.fitness.objective.constraints import Constraint, Constraints
from rbflex_evo.fitness.objective.limited import REJECTIONS, WALKED, LimitedView, Look, SearchEnded, cap_of
from rbflex_evo.fitness.objective.objective import Objective
from rbflex_evo.fitness.passes.observer import CandidateFailed
from rbflex_evo.spaces import Parameters, SearchSpace, create_space

SPACE: SearchSpace = create_space("toy", genes=4)


class Gene(Metric):
    """The first gene; keeps what it was asked."""

    name = "gene"
    walkable = True

    def __init__(self) -> None:
        super().__init__(Parameters(), SPACE)
        self.asked: list[int] = []

    def cost(self, architecture: CostSubject) -> float:
        self.asked.append(architecture.genotype[0])
        if architecture.genotype[0] == 9:
            raise CandidateFailed("no row of it")
        return float(architecture.genotype[0])


class Measured(Gene):
    """The same, but as of a clock: never twice what it was."""

    name = "measured"
    repeatable = False
    walkable = False

    def cost(self, architecture: CostSubject) -> float:
        return super().cost(architecture) + len(self.asked) / 100


def view_of(*limits: Constraint, cap: int | None = None) -> tuple[LimitedView, dict[str, Gene], list[Look]]:
    """Keys are one number, which is the genotype's only gene."""
    metrics = {metric.name: metric for metric in (Measured(), Gene())}
    book = CostBook([metrics[limit.metric] for limit in limits], SPACE, lambda key: (int(key),))
    noted: list[Look] = []
    archive = ArchiveView(Objective(("near",)), lambda genotype: str(genotype[0]))
    return LimitedView(archive, Constraints(limits), book, cap, noted.append), metrics, noted


def test_a_rejected_key_looks_like_a_known_candidate_that_failed():
    view, _, _ = view_of(Constraint("gene", maximum=4.0))
    view.archive.add(Evaluation((3,), "3", {"near": 7.0}))
    assert [view.seen(key) for key in "3567"] == [True, True, True, True]
    assert not view.seen("4")
    assert view.utility(["5", "3", "6"]).tolist() == [-np.inf, 7.0, -np.inf]
    assert view.violations(["5", "3"]).tolist() == [np.inf, 0.0]
    np.testing.assert_array_equal(view.objectives(["5", "3"]), [[np.nan], [7.0]])
    assert view.utility(["3"]).tolist() == [7.0]
    assert view.utility(["5"]).tolist() == [-np.inf]
    with pytest.raises(LookupError, match="'4' was not evaluated"):
        view.utility(["5", "4"])
    told = view.rejection("5", (5,))
    assert told.failed
    assert told.reason == "gene: 5 breaks gene <= 4"
    assert told.costs == {"gene": 5.0}


def test_each_rejected_key_is_counted_and_noted_once():
    view, metrics, noted = view_of(Constraint("gene", maximum=4.0))
    for key in "57757":
        assert view.seen(key)
    assert metrics["gene"].asked == [5, 7]
    assert view.rejected == view.noted == 2
    assert noted == [Look("5", {"gene": 5.0}, {}, False), Look("7", {"gene": 7.0}, {}, False)]


def test_what_is_quickly_counted_comes_first_and_may_save_measuring():
    view, metrics, noted = view_of(Constraint("measured", maximum=8.0), Constraint("gene", maximum=4.0))
    assert view.seen("5")
    assert metrics["measured"].asked == []
    assert not view.seen("3")
    assert metrics["measured"].asked == [3]
    # A measured cost is noted whatever came of it: it would not be the same again.
    assert noted == [Look("5", {"gene": 5.0}, {}, False), Look("3", {"gene": 3.0, "measured": 3.01}, {}, True)]
    assert not view.seen("3")
    assert len(noted) == 2


def test_a_cost_that_cannot_be_known_rejects():
    view, _, noted = view_of(Constraint("gene", maximum=40.0))
    assert view.seen("9")
    assert noted == [Look("9", {}, {"gene": "no row of it"}, False)]
    assert view.rejection("9", (9,)).reason == "gene: no row of it"


def test_a_view_that_is_taken_up_counts_nothing_twice_and_goes_on_as_the_other():
    limits = (Constraint("measured", maximum=4.0), Constraint("gene", maximum=7.0))
    first, _, noted = view_of(*limits)
    answers = [first.seen(key) for key in "518203"]
    for split in range(len(noted) + 1):
        again, metrics, fresh = view_of(*limits)
        told = {look.key for look in noted[:split]}
        again.resume(noted, split, 0)
        assert [again.seen(key) for key in "518203" if key not in told] == [
            answer for key, answer in zip("518203", answers, strict=True) if key not in told
        ]
        assert fresh == []
        assert metrics["measured"].asked == []
        assert metrics["gene"].asked == []
        assert (again.noted, again.rejected) == (first.noted, first.rejected)


def test_many_rejections_in_a_row_end_a_search_and_an_admitted_one_begins_the_count_anew():
    view, _, _ = view_of(Constraint("gene", maximum=4.0), cap=3)
    for key in ("5", "6", "4", "7", "8"):
        view.seen(key)
    assert view.in_a_row == 2
    assert view.seen("5")
    with pytest.raises(SearchEnded) as ended:
        view.seen("10")
    assert str(ended.value) == "no architecture satisfies gene <= 4: 3 proposals in a row were rejected; the nearest had gene 5"


def test_the_reasons_tell_whether_anything_was_found():
    view, _, _ = view_of(Constraint("gene", maximum=4.0))
    assert view.exhausted() is None
    assert view.seen("7")
    assert view.seen("6")
    assert view.exhausted() == (
        "no architecture satisfies gene <= 4: all 2 that the strategy could find were rejected; the nearest had gene 6"
    )
    view.archive.add(Evaluation((3,), "3", {"near": 7.0}))
    assert "nothing left to try" in str(view.exhausted())
    assert "2 of them, rejected by gene <= 4" in str(view.exhausted())
    unknown, _, _ = view_of(Constraint("gene", maximum=4.0))
    unknown.seen("9")
    assert str(unknown.exhausted()).endswith("the costs of none of them are known")


def test_constraints_of_debs_rules_reject_nothing_and_count_nothing():
    gene = Gene()
    book = CostBook([gene], SPACE, lambda key: (int(key),))
    constraints = Constraints((Constraint("gene", maximum=4.0),), "deb")
    view = LimitedView(ArchiveView(Objective(("near",)), str), constraints, book)
    assert not view.seen("7")
    assert gene.asked == []


@pytest.mark.parametrize(
    ("size", "metric", "given", "expected"),
    [
        (WALKED, "gene", None, None),
        (WALKED + 1, "gene", None, REJECTIONS),
        (None, "gene", None, REJECTIONS),
        (WALKED, "measured", None, REJECTIONS),
        (WALKED, "gene", 17, 17),
    ],
)
def test_a_small_space_whose_costs_are_quickly_counted_is_walked_to_its_end(size, metric, given, expected):
    constraints = Constraints((Constraint(metric, maximum=4.0),), "reject", given)
    book = CostBook([Gene(), Measured()], SPACE, SPACE.representative)
    assert cap_of(constraints, book, size) == expected
