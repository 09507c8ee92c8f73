"""The section of the report that shows explain.json."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rbflex_evo.engine.figures.page import Gallery, Shown
from rbflex_evo.engine.run.record import RunRecord

from .document import Explanation, ScoreLayers, account_of, read_explanation
from .explain import scores_of_others
from .figures import block_shares, draw_blocks, draw_spread

LAYERS_SHOWN = 10


def explanation_of(run: RunRecord, gallery: Gallery) -> dict[str, Any] | None:
    """Returns the values for the template of the report, or None if the run has no explanation.

    Raises:
        RunError: If explain.json is damaged.
    """
    explanation = read_explanation(run.folder)
    if explanation is None:
        return None
    return {
        "of": explanation,
        "rows": [(name, score, explanation.ranks[name], explanation.spread[name]) for name, score in explanation.scores.items()],
        "spreads": list(_spreads(run, explanation, gallery)),
        "layers": [_layers(found, gallery) for found in explanation.layers],
    }


def _spreads(run: RunRecord, explanation: Explanation, gallery: Gallery) -> Iterator[Shown]:
    for name, own in explanation.scores.items():
        spread = explanation.spread[name]
        # A score that does not depend on the weights has no spread to draw.
        if spread.deviation:
            figure = draw_spread(scores_of_others(run, name, explanation.key), own, spread, name)
            yield gallery.add(f"spread_{name}", figure, f"Spread of {name} over weight seeds")


def _layers(found: ScoreLayers, gallery: Gallery) -> dict[str, Any]:
    total = sum(layer.distance for layer in found.layers)
    largest = sorted(found.layers, key=lambda layer: -layer.distance)[:LAYERS_SHOWN]
    y = found.features
    figure = draw_blocks(block_shares(found.layers), found.score)
    return {
        "score": found.score,
        "figure": gallery.add(f"layers_{found.score}", figure, f"Shares of {found.score}'s distances by block"),
        "largest": [(layer, 100 * layer.distance / total, layer.distance / found.pairs / layer.units) for layer in largest],
        "count": len(found.layers),
        "units": sum(layer.units for layer in found.layers),
        "mean": total / found.pairs / sum(layer.units for layer in found.layers),
        "calls": account_of(found.calls) if found.calls else None,
        "features": y,
        "features_mean": y.distance / found.pairs / y.units,
    }
