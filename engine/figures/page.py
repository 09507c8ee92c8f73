"""What every page is made with: figures that are kept for it, its template, and how values are written for reading."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from rbflex_evo.fitness.objective.constraints import written

from . import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Shown:
    """A figure on the page: inline SVG, the name of its PNG, and the width in points that it was drawn for."""

    svg: str
    png: str
    points: float


@dataclass
class Gallery:
    """Saves figures as PNGs in the run's folder and keeps them for the page."""

    folder: Path
    shown: dict[str, Shown] = field(default_factory=dict)

    def add(self, name: str, figure: Figure, title: str) -> Shown:
        """Saves one figure under a name that is safe as a file's."""
        stem = re.sub(r"[^A-Za-z0-9_-]+", "_", name)
        while stem in self.shown:
            stem += "_"
        svg = plots.save(figure, self.folder / f"{stem}.png", title)
        self.shown[stem] = Shown(svg, f"{stem}.png", 72 * float(figure.get_size_inches()[0]))
        return self.shown[stem]


def render_page(template: str, contents: Mapping[str, Any]) -> str:
    """Returns the page of a template in ``templates``."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    environment.filters["amount"] = amount
    environment.filters["written"] = written
    environment.filters["breakable"] = breakable
    return environment.get_template(template).render(contents)


def flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Yields the leaves of nested mappings as (path, text)."""
    for key, value in values.items():
        path = f"{above} · {key}" if above else str(key)
        if isinstance(value, Mapping) and value:
            yield from flat(value, path)
        elif isinstance(value, (list, tuple)):
            yield path, ", ".join(number(item) for item in value) or "none"
        else:
            yield path, "none" if value is None or value == {} else number(value)


def number(value: Any) -> str:
    """Writes a value for reading: floats to 6 significant digits, large counts in full, truth as yes or no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and abs(value) >= 1e6:
        return written(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def breakable(notation: str) -> Markup:
    """Escapes a notation for the page and lets lines break behind its separators, not within names."""
    return Markup("<wbr>").join(re.split(r"(?<=.[|+:,;])(?=[^|+:,;])", notation))


def percent(value: float) -> str:
    """Writes a percentage to two digits behind the point."""
    return f"{value:.2f} %"


def amount(value: float) -> str:
    """Writes a large number with its unit: 1.07 M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g} {unit}"
    return f"{value:.4g}"
