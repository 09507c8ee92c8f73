"""One self-contained page about a run, written from its folder: ``report.html`` and its figures as PNG files.

The page loads nothing from a network: styles, script and figures are in it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from rbflex_evo.engine.configuration.unset import STRATEGY
from rbflex_evo.engine.explanation.report import explanation_of
from rbflex_evo.engine.figures import plots
from rbflex_evo.engine.figures.page import Gallery, Shown, render_page
from rbflex_evo.engine.graph_drawing.diagram import draw_architecture
from rbflex_evo.engine.run.folder import replace_text
from rbflex_evo.engine.run.record import RunRecord, read_run
from rbflex_evo.engine.run.result_document import Candidate, TableFacts, notation_of
from rbflex_evo.engine.terminal.messages import say
from rbflex_evo.engine.terminal.wording import fixed, flat, percent
from rbflex_evo.spaces import RbflexEvoError, RunError, SearchSpace, create_space
from rbflex_evo.spaces.errors import reason

from . import limits
from .elite_map import elite_map
from .optimum import optimum
from .rescored import rescored
from .true_front import true_fronts

if TYPE_CHECKING:
    from rbflex_evo.spaces.tables.table import Table

REASONS_SHOWN = 30
T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class KnownAccuracies:
    """Accuracies of all evaluations, float64 [n], NaN where unknown, and the table that they come from."""

    accuracies: np.ndarray
    dataset: str
    table: Table


@dataclass
class Parts:
    """Makes the parts of a page; what fails is left out, and `missing` says why, a line for each."""

    missing: list[str] = field(default_factory=list)

    def of(self, what: str, make: Callable[[], T], otherwise: U) -> T | U:
        """Returns what `make` returns, or `otherwise` if it fails.

        Raises:
            RunError: If a file of the run is damaged.
        """
        try:
            return make()
        except RunError:
            raise
        except Exception as error:
            self.missing.append(f"{what}: {reason(error)}")
            return otherwise


def write_report(folder: Path, *, space: SearchSpace | None = None) -> Path:
    """Writes ``report.html`` and its figures into the folder of a run, finished or not, and returns the page's path.

    What fails on the way, such as a drawing or the costs of a network of one's own, is left out, and the page says so.

    Args:
        folder: Folder of the run.
        space: Space of the run, if it was made already; by default it is made from the run's configuration.

    Raises:
        RunError: if the folder is no run's, is damaged or cannot be written.
        UnknownNameError: if the run's space is not installed.
    """
    run = read_run(Path(folder))
    page = run.folder / "report.html"
    contents = report_contents(run, Gallery(run.folder), space=space)
    replace_text(page, render_page("report.html.j2", contents))
    for line in contents["missing"]:
        say(f"{page} is without {line}")
    return page


def _space(named: Any) -> SearchSpace:
    values = {"name": named} if isinstance(named, str) else dict(named)
    return create_space(values.pop("name"), **values)


def report_contents(run: RunRecord, gallery: Gallery, *, space: SearchSpace | None = None) -> dict[str, Any]:
    """Returns all that the template ``report.html.j2`` names.

    Args:
        run: The run.
        gallery: Takes the figures.
        space: Space of the run, if it was made already.

    Raises:
        RunError: if the run is damaged.
        UnknownNameError: if the run's space is not installed.
    """
    parts, space = Parts(), space or _space(run.config["space"])
    known, notice = parts.of("known accuracies", lambda: _known(run, space), (None, None))
    best = run.outcome.best if run.outcome else None
    speed = plots.rates(run.arrivals)
    failed = [e.failed for e in run.evaluations]
    contents = {
        "run": run,
        "outcome": run.outcome,
        "count": len(run.evaluations),
        "failed": sum(failed),
        "space": space.name,
        "strategy": _name(run.config.get("strategy", "")),
        "members": run.members,
        "proxies": run.proxies,
        "metrics": run.metrics,
        "limits": limits.limits(run, best),
        "front": parts.of(
            "the front",
            lambda: limits.front(
                run,
                lambda e: _row(notation_of(space, e.genotype), e.scores, e.costs, known),
                lambda e: draw_architecture(space.drawing(e.genotype)),
                gallery.add,
                # All costs of a table take seconds, which a page that renews itself does not have.
                lambda members: (
                    parts.of("the true front", lambda: true_fronts(run, space, known.table, members), [])
                    if known and run.outcome
                    else []
                ),
            ),
            None,
        ),
        # A page that renews itself has no time for a proof.
        "optimum": parts.of("the proved optimum", lambda: optimum(run, space, gallery.add), None) if run.outcome else None,
        "map": parts.of("the map", lambda: elite_map(run, space, gallery.add), None),
        "found": _found(run, space, gallery, best, parts) if best else None,
        "explanation": parts.of("the explanation", lambda: explanation_of(run, gallery), None) if best else None,
        "leaders": _leaders(run, space, known),
        "rescored": rescored(run, lambda e: notation_of(space, e.genotype)),
        "top": [_row(c.notation, c.scores, c.costs, known) for c in run.outcome.top] if run.outcome else [],
        "known": known,
        "notice": notice,
        "anytime": parts.of("the curves of the search", lambda: list(_anytime(run, known, gallery, best)), []),
        "clouds": parts.of("scores against accuracies", lambda: list(_clouds(run, known, gallery, best)), []) if known else [],
        "rates": parts.of("the figure of rates", lambda: _rates_figure(speed, gallery), None),
        "failures_figure": parts.of("the figure of failures", lambda: _failures_figure(failed, gallery), None),
        "reasons": _reasons(run),
        "speed": speed,
        "facts": list(_facts(run)),
    }
    return {**contents, "missing": parts.missing}


def _known(run: RunRecord, space: SearchSpace) -> tuple[KnownAccuracies | None, str | None]:
    """Looks up every evaluation; where the table cannot be opened the page says so instead of showing accuracies."""
    values = dict(run.config.get("table") or {})
    if not values:
        return None, None
    from rbflex_evo.spaces.tables.table import create_table

    try:
        table = create_table(values.pop("source"), space, **values)
        found = [table.accuracy(notation_of(space, e.genotype)) for e in run.evaluations]
    except RbflexEvoError as error:
        return None, f"The table of known accuracies could not be read: {error}"
    return KnownAccuracies(np.array([math.nan if a is None else a for a in found]), table.dataset, table), None


def _found(run: RunRecord, space: SearchSpace, gallery: Gallery, best: Candidate, parts: Parts) -> dict[str, Any]:
    genotype = tuple(best.genotype)
    position = run.position(best)
    facts = run.outcome.table if run.outcome else None
    return {
        "notation": best.notation,
        "genotype": list(genotype),
        "evaluation": None if position is None else position + 1,
        "scores": [(name, best.scores[name], _place(run, name, best)) for name in run.proxies if name in best.scores],
        "of": sum(not e.failed for e in run.judged),
        "costs": parts.of("parameters and FLOPs", lambda: space.costs(genotype), None),
        "table": facts,
        "accuracy_name": plots.accuracy_name(facts.dataset) if facts else "",
        "tiles": list(_tiles(facts)) if facts else [],
        "drawing": parts.of(
            "the drawing of the architecture",
            lambda: gallery.add("architecture", draw_architecture(space.drawing(genotype)), f"Drawing of {best.notation}"),
            None,
        ),
    }


def _tiles(facts: TableFacts) -> Iterator[tuple[str, str]]:
    if facts.best is not None:
        yield "best in the table", percent(facts.best)
    if facts.mean is not None:
        yield "mean of the table", percent(facts.mean)
    if facts.best is not None and facts.accuracy is not None:
        yield "below the best, points", fixed(facts.best - facts.accuracy)


def _place(run: RunRecord, name: str, candidate: Candidate) -> int:
    """Returns 1 + how many of the candidates that the found one was chosen among have a higher raw score."""
    return 1 + int(np.sum(run.scores(name, judged=True) > candidate.scores[name]))


def _row(notation: str, scores: Mapping[str, float], costs: Mapping[str, float], known: KnownAccuracies | None) -> dict[str, Any]:
    accuracy = known.table.accuracy(notation) if known else None
    return {"notation": notation, "scores": scores, "costs": costs, "accuracy": accuracy}


def _leaders(run: RunRecord, space: SearchSpace, known: KnownAccuracies | None) -> list[tuple[str, dict[str, Any]]]:
    """Returns for each score the candidate that is highest in it; what there is to show of a run without a result."""
    leaders = []
    for name in run.proxies:
        scores = run.scores(name)
        if np.isfinite(scores).any():
            leader = run.evaluations[int(np.nanargmax(scores))]
            leaders.append((name, _row(notation_of(space, leader.genotype), leader.scores, leader.costs, known)))
    return leaders


def _anytime(run: RunRecord, known: KnownAccuracies | None, gallery: Gallery, best: Candidate | None) -> Iterator[Shown]:
    position = run.position(best) if best else None
    for name in run.proxies:
        scores = run.scores(name)
        if not np.isfinite(scores).any():
            continue
        found = None if position is None else (position + 1.0, float(scores[position]))
        figure = plots.draw_best(plots.best_so_far(scores), name, found)
        yield gallery.add(f"anytime_{name}", figure, f"Best {name} so far")
    if known is None or not run.members:
        return
    scores = run.scores(run.members[0])
    valid = np.where(np.isfinite(scores), known.accuracies, math.nan)
    if np.isfinite(valid).any():
        leader = plots.follow_leader(scores, known.accuracies)
        figure = plots.draw_accuracies(leader, plots.best_so_far(valid), run.members[0], known.dataset)
        yield gallery.add("anytime_accuracy", figure, "Accuracy so far")


def _clouds(run: RunRecord, known: KnownAccuracies, gallery: Gallery, best: Candidate | None) -> Iterator[Shown]:
    position = run.position(best) if best else None
    for name in run.proxies:
        scores = run.scores(name)
        points = plots.cloud(scores, known.accuracies)
        if not len(points.scores):
            continue
        found = None
        if position is not None and math.isfinite(known.accuracies[position]):
            found = (float(scores[position]), float(known.accuracies[position]))
        figure = plots.draw_cloud(points, name, known.dataset, found)
        yield gallery.add(f"accuracy_{name}", figure, f"{name} against {plots.accuracy_name(known.dataset)}")


def _rates_figure(speed: plots.Rates | None, gallery: Gallery) -> Shown | None:
    return gallery.add("rates", plots.draw_rates(speed), "Evaluations per second") if speed else None


def _failures_figure(failed: list[bool], gallery: Gallery) -> Shown | None:
    if not any(failed):
        return None
    return gallery.add("failures", plots.draw_failures(plots.failures_so_far(failed)), "Failed candidates so far")


def _reasons(run: RunRecord) -> dict[str, Any]:
    """Groups the failures by score and reason, the most frequent first."""
    counts = Counter((name, why) for e in run.evaluations for name, why in e.failures.items())
    shown = [(name, why, times) for (name, why), times in counts.most_common(REASONS_SHOWN)]
    return {"shown": shown, "left_out": len(counts) - len(shown)}


def _facts(run: RunRecord) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yields groups of facts, each a title and its (label, value) pairs."""
    config, outcome = run.config, run.outcome
    asked: dict[str, Any] = {key: config[key] for key in ("space", "strategy", "budget", "seed", "device") if key in config}
    asked |= {key: config["fitness"][key] for key in ("objective", "weights") if key in config["fitness"]}
    asked |= {key: config[key] for key in ("data", "scores", "table") if config.get(key)}
    chosen = config.get("chosen", {}).get(STRATEGY, [])
    asked |= {"chosen by the run, of the strategy": ", ".join(chosen)} if chosen else {}
    yield "Asked for", list(flat(asked))
    if outcome:
        counts: dict[str, Any] = {"stopped because": outcome.stop_reason, "seconds": outcome.time_seconds}
        if outcome.time_seconds > 0:
            counts["evaluations / s over all"] = len(run.evaluations) / outcome.time_seconds
        yield "What happened", list(flat(counts | {f"{key} candidates": n for key, n in outcome.counts.items()}))
        yield "Evaluator", list(flat(outcome.evaluator))
        yield "Machine and versions", list(flat(outcome.environment))


def _name(named: Any) -> str:
    return str(named.get("name", "")) if isinstance(named, Mapping) else str(named)
