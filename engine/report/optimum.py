"""What a report says about the proved optimum of the objective, beside what the run found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from rbflex_evo.engine.configuration.assembly import Assembly
from rbflex_evo.engine.optimum.facts import draw_proved, facts_of, proof_within
from rbflex_evo.engine.run.folder import find_run
from rbflex_evo.engine.run.record import RunRecord
from rbflex_evo.engine.terminal.wording import counted
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.objective.constraints import written
from rbflex_evo.fitness.optimum.prove import Proof
from rbflex_evo.spaces import SearchSpace

from .limits import AddFigure

if TYPE_CHECKING:
    from rbflex_evo.engine.optimum.facts import OptimumFacts

# Seconds that the proof may take.
SECONDS = 10.0
# What the template asks for; a proof fills a part of it.
NOTHING = dict.fromkeys(("refused", "members", "value", "found"))


def optimum(run: RunRecord, space: SearchSpace, add: AddFigure) -> dict[str, Any] | None:
    """Returns what the page says about the proved optimum, None if the objective is none that can be proved.

    Args:
        run: The run.
        space: Search space of the run.
        add: Adds a figure to the page.
    """
    proof, refused = proof_within(Assembly(find_run(run.folder), space), SECONDS)
    if proof is None:
        return {**NOTHING, "refused": refused} if refused else None
    facts = facts_of(proof, space)
    view = run.view()
    if len(proof.goals) > 1:
        return _front(proof, facts, [_numbers(one) for one in view.front()], add)
    incumbent = view.incumbent()
    name = proof.goals[0].quantity.name
    found = None if incumbent is None else _numbers(incumbent)[name]
    return {
        **NOTHING,
        "name": name,
        "method": facts.method_sentence(),
        "value": None if facts.optimum is None else written(facts.optimum),
        "notation": facts.front[0].notation if facts.front else "",
        "found": None if found is None else written(found),
        "gap": _gap(facts.optimum, found),
    }


def _gap(optimum: float | None, found: float | None) -> str:
    """Returns how far the found value is from the optimum, as half a sentence."""
    if optimum is None or found is None:
        return ""
    if found == optimum:
        return "the optimum"
    share = f", {100 * abs(optimum - found) / abs(optimum):.3g} %" if optimum else ""
    return f"{written(float(f'{abs(optimum - found):.6g}'))} from it{share}"


def _front(proof: Proof, facts: OptimumFacts, found: list[Mapping[str, float]], add: AddFigure) -> dict[str, Any]:
    names = [goal.quantity.name for goal in proof.goals]
    signs = [1.0 if goal.maximised else -1.0 for goal in proof.goals]
    rows = np.array([[sign * one[name] for name, sign in zip(names, signs, strict=True)] for one in found]).reshape(-1, len(names))
    on_it = {tuple(row) for row in proof.oriented().tolist()}
    shown = bool(len(rows) and len(proof.front))
    return {
        **NOTHING,
        "name": " and ".join(names),
        "method": facts.method_sentence(),
        "members": counted(len(proof.front), "network"),
        "on_it": f"{sum(tuple(row) in on_it for row in rows.tolist())} of {len(rows)}",
        "ratio": f"{100 * proof.ratio(rows):.2f} %" if shown else None,
        "figure": add("proved_front", draw_proved(proof, rows), "Proved front") if shown else None,
    }


def _numbers(evaluation: Evaluation) -> dict[str, float]:
    return {**evaluation.costs, **evaluation.scores}
