"""The page and the text of measured forms: Kendall with the full form against the speed-up."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rbflex_evo.engine.configuration.fidelity_section import FidelityConfig
from rbflex_evo.engine.figures import plots
from rbflex_evo.engine.figures.page import Gallery, render_page
from rbflex_evo.engine.run.folder import own_text, replace_text
from rbflex_evo.engine.terminal.wording import fixed, flat

from .document import Fidelity, FidelityDocument, FormFacts

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_page(found: Fidelity) -> Path:
    """Writes fidelity.html and its figure into the folder and returns the page's path."""
    page, document = found.folder / "fidelity.html", found.document
    gallery = Gallery(found.folder)
    contents = {
        "document": document,
        "names": names_of(document),
        "rows": list(rows(document)),
        "figure": gallery.add("fidelity", draw(document), "Kendall with the full form against the speed-up"),
        "verdict": verdict(document),
        "section": section(document),
        "facts": [("Machine and versions", list(flat(document.environment)))],
        "config_text": own_text(found.folder / "config.yaml"),
    }
    replace_text(page, render_page("fidelity.html.j2", contents))
    return page


def draw(document: FidelityDocument) -> Figure:
    """Draws Kendall with its interval against the speed-up of every form; the cheapest one that is good enough has a diamond."""
    figure, axes = plots.panel("Kendall with the full form")
    for form in document.forms:
        tau = document.kendall(form)
        if tau is None:
            continue
        name = min(document.decides, key=lambda one: form.agreement[one].kendall or 0.0)
        low, high = form.agreement[name].low, form.agreement[name].high
        colour = plots.BLUE if tau >= document.at_least else plots.MUTED
        if low is not None and high is not None:
            axes.vlines([form.speed_up], [low], [high], color=colour, linewidth=1.8, alpha=0.5)
        axes.scatter([form.speed_up], [tau], s=18, color=colour, zorder=3)
    axes.axhline(document.at_least, color=plots.GREEN, linewidth=1.2, linestyle="--")
    if document.cheapest is not None:
        plots.mark_found(axes, document.cheapest.speed_up, document.kendall(document.cheapest) or math.nan)
    axes.set_xscale("log")
    return plots.label_axes(figure, axes, "speed-up", "Kendall τ")


def names_of(document: FidelityDocument) -> list[str]:
    """Returns the names of all agreements, those that decide first."""
    return list(dict.fromkeys([*document.decides, *(name for form in document.forms for name in form.agreement)]))


def rows(document: FidelityDocument) -> Iterator[dict[str, Any]]:
    """Yields the full form, then every form from the slowest to the fastest one."""
    names = names_of(document)
    yield _row(document, document.full, names)
    for form in sorted(document.forms, key=lambda form: form.speed_up):
        yield _row(document, form, names)


def _row(document: FidelityDocument, form: FormFacts, names: list[str]) -> dict[str, Any]:
    taus = [form.agreement.get(name) for name in names]
    return {
        "name": form.name,
        "milliseconds": f"{form.milliseconds:.1f}",
        "speed_up": f"{form.speed_up:.1f}",
        "failed": form.failed,
        "good": form is not document.full and (document.kendall(form) or 0.0) >= document.at_least,
        "cheapest": form is document.cheapest,
        "taus": [
            (fixed(one.kendall, 3), "" if one.low is None else f"{fixed(one.low, 3)}, {fixed(one.high, 3)}") if one else ("", "")
            for one in taus
        ],
    }


def section(document: FidelityDocument) -> str | None:
    """Returns the lines of YAML that make a search use the cheapest form that is good enough; None without one."""
    if document.cheapest is None:
        return None
    values = {**document.cheapest.values, "rescore": FidelityConfig.model_fields["rescore"].default}
    return f"fidelity: {_yaml(values)}"


def _yaml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_yaml(inner)}" for name, inner in value.items()) + "}"
    return str(value)


def verdict(document: FidelityDocument) -> str:
    """Returns which form to take, as a sentence."""
    which = " and ".join(document.decides)
    best = document.cheapest
    if best is None:
        return f"No faster form has a Kendall of {document.at_least:g} or more with the full one in {which}."
    tau = document.kendall(best)
    return (
        f"Cheapest form with a Kendall of {document.at_least:g} or more in {which}: {best.name}, {fixed(tau, 3)}, "
        f"{best.speed_up:.1f} times as fast as the full form."
    )


def text(document: FidelityDocument) -> str:
    """Returns the table, the verdict and the YAML to use, for the terminal."""
    names = names_of(document)
    head = ["form", "ms", "speed-up", *names, "failed"]
    body = []
    for row in rows(document):
        taus = [f"{value} [{interval}]" if interval else value for value, interval in row["taus"]]
        mark = " *" if row["cheapest"] else ""
        body.append([row["name"] + mark, row["milliseconds"], row["speed_up"], *taus, str(row["failed"])])
    widths = [max(len(line[i]) for line in (head, *body)) for i in range(len(head))]
    lines = [head, ["-" * width for width in widths], *body]
    table = "\n".join("| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in lines)
    left_out = [f"left out   {name}: {why}" for name, why in document.left_out.items()]
    return "\n".join([table, "", *left_out, verdict(document), *filter(None, [section(document)])])
