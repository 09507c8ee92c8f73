"""A proved optimum as plain data, as sentences and as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rbflex_evo.engine.configuration.assembly import Assembly
from rbflex_evo.engine.figures import plots
from rbflex_evo.engine.run.result_document import Part
from rbflex_evo.engine.terminal.wording import counted, sized
from rbflex_evo.fitness.objective.constraints import Constraint, written
from rbflex_evo.fitness.optimum.prove import Proof
from rbflex_evo.fitness.optimum.sums import NotAdditive, OutOfTime
from rbflex_evo.spaces import Genotype, SearchSpace

from .question import NotProvable, question_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Proved(Part):
    """An architecture of a proved front: its genotype, notation, canonical key and quantities by name."""

    genotype: Genotype
    notation: str
    key: str
    values: dict[str, float]


class OptimumFacts(Part):
    """A proof.

    Attributes:
        goals: "maximised" or "minimised" by quantity.
        limits: Limits as text.
        method: How it was proved.
        architectures: Number of genotypes that it is about; None if it is not known.
        checked: Networks whose quantities were compared with sums.
        exact: Whether all numbers are whole.
        seconds: Duration.
        front: The optimum, or the front, best in the first goal first; empty if nothing is within the limits.
    """

    goals: dict[str, str]
    limits: list[str]
    method: str
    architectures: int | None
    checked: int
    exact: bool
    seconds: float
    front: list[Proved]

    @property
    def optimum(self) -> float | None:
        """Best value of the only goal; None if there are several goals or nothing is within the limits."""
        if len(self.goals) != 1 or not self.front:
            return None
        return self.front[0].values[next(iter(self.goals))]

    def method_sentence(self) -> str:
        """Returns how it was proved, as half a sentence."""
        of = "" if self.architectures is None else f" over {sized(self.architectures)} genotypes"
        checks = f", sums checked on {counted(self.checked, 'network')}" if self.checked else ""
        rounding = "" if self.exact else ", to 9 digits"
        return f"proved by {self.method}{of} in {self.seconds:.2g} s{checks}{rounding if self.checked else ''}"


def facts_of(proof: Proof, space: SearchSpace) -> OptimumFacts:
    """Returns a proof as plain data."""
    bounds = [Constraint(one.quantity.name, one.minimum, one.maximum) for one in proof.limits]
    return OptimumFacts(
        goals={goal.quantity.name: "maximised" if goal.maximised else "minimised" for goal in proof.goals},
        limits=list(map(str, bounds)),
        method=proof.method,
        architectures=proof.architectures,
        checked=proof.checked,
        exact=proof.exact,
        seconds=round(proof.seconds, 3),
        front=[
            Proved(genotype=one.genotype, notation=space.notation(one.genotype), key=one.key, values=one.values)
            for one in proof.front
        ],
    )


def proof_within(parts: Assembly, seconds: float) -> tuple[Proof | None, str]:
    """Returns the proof of a configuration's objective, and why there is none if it could be proved but was not.

    Args:
        parts: Parts of the configuration.
        seconds: Seconds that the proof may take.
    """
    try:
        return question_of(parts).prove(seconds), ""
    except NotProvable:
        return None, ""
    except (NotAdditive, OutOfTime) as refused:
        return None, str(refused)


def draw_proved(proof: Proof, found: np.ndarray) -> Figure:
    """Draws the first two goals of a proved front and of what a search found.

    Args:
        proof: Proof of at least two goals.
        found: Goals of what the search found, negated where they are minimised, float64 [n, goals].
    """
    from matplotlib.ticker import EngFormatter

    up, across = (goal.quantity.name for goal in proof.goals[:2])
    signs = np.array([1.0 if goal.maximised else -1.0 for goal in proof.goals])
    true, mine = proof.oriented() * signs, found * signs
    figure, axes = plots.panel(f"{up} and {across}")
    order = np.argsort(true[:, 1], kind="stable")
    axes.plot(true[order, 1], true[order, 0], ".-", color=plots.INK, markersize=2.5, linewidth=1.0, label="proved front")
    axes.plot(mine[:, 1], mine[:, 0], "o", color=plots.BLUE, markersize=4.5, label="front of this run")
    axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
    axes.locator_params(axis="x", nbins=5)
    plots.legend(axes, "lower right")
    arrows = ["→" if sign > 0 else "←" for sign in signs[:2]]
    return plots.label_axes(figure, axes, f"{across} ({arrows[1]} better)", f"{up} ({arrows[0]} better)")


def value_lines(facts: OptimumFacts, rows: int) -> Sequence[tuple[str, str]]:
    """Returns a proof as (label, text) for the terminal, with so many rows of a front spread over it."""
    what = ", ".join(f"{name} {way}" for name, way in facts.goals.items())
    lines = [("goals", what), ("limits", " and ".join(facts.limits) or "none")]
    if not facts.front:
        return [*lines, ("optimum", "nothing is within the limits"), ("proof", facts.method_sentence())]
    if len(facts.goals) == 1:
        lines += [("optimum", _values(facts.front[0].values)), ("network", facts.front[0].notation)]
    else:
        lines.append(("front", counted(len(facts.front), "network")))
        places = np.unique(np.linspace(0, len(facts.front) - 1, min(rows, len(facts.front))).astype(int)).tolist()
        for place in places:
            one = facts.front[place]
            lines += [(str(place + 1), _values(one.values)), ("", one.notation)]
    return [*lines, ("proof", facts.method_sentence())]


def _values(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {written(value)}" for name, value in values.items())
