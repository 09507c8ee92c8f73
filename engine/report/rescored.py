"""What a report says about the candidates of a search in a cheaper form that were scored again in full."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rbflex_evo.engine.run.record import RunRecord
from rbflex_evo.engine.terminal.wording import fixed, flat
from rbflex_evo.fitness.evaluation import Evaluation

SHOWN = 20


def rescored(run: RunRecord, notation: Callable[[Evaluation], str]) -> dict[str, Any] | None:
    """Returns what the page says about both forms; None of a run that scores in full.

    Args:
        run: The run.
        notation: Returns the notation of a candidate.
    """
    if run.form is None:
        return None
    done = run.content.rescored
    cheap = {evaluation.key: evaluation for evaluation in run.evaluations}
    before = {evaluation.key: place for place, evaluation in enumerate(done, 1)}
    order = run.view().best_first() if run.outcome else [e for e in done if not e.failed]
    facts = run.outcome.rescoring if run.outcome else None
    return {
        "form": ", ".join(f"{name} {text}" for name, text in flat(run.form)),
        "count": len(done),
        "wanted": run.config["fidelity"].get("rescore"),
        "names": list(dict.fromkeys(name for evaluation in done for name in evaluation.scores)),
        "rows": [(i, before[e.key], notation(e), cheap[e.key].scores, e.scores) for i, e in enumerate(order[:SHOWN], 1)],
        "left_out": max(0, len(order) - SHOWN),
        "failures": [(notation(e), e.reason) for e in done if e.failed],
        "agreement": [
            (name, fixed(one.kendall, 3), f"{fixed(one.low, 3)} … {fixed(one.high, 3)}" if one.low is not None else "")
            for name, one in (facts.agreement.items() if facts else ())
            if one.kendall is not None
        ],
        "seconds": facts.time_seconds if facts else None,
    }
