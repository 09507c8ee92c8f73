"""Parts that all pages share: their figures and their templates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from rbflex_evo.engine.terminal.wording import amount, number
from rbflex_evo.fitness.objective.constraints import written

from . import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Shown:
    """A figure on the page: inline SVG, the name of its PNG if it was saved, and the width in points that it was drawn for."""

    svg: str
    png: str
    points: float


@dataclass
class Gallery:
    """Keeps figures for the page and saves them as PNGs in a folder, or nowhere if that is None."""

    folder: Path | None
    shown: dict[str, Shown] = field(default_factory=dict)

    def add(self, name: str, figure: Figure, title: str) -> Shown:
        """Adds one figure under a name that is safe as a file's."""
        stem = re.sub(r"[^A-Za-z0-9_-]+", "_", name)
        while stem in self.shown:
            stem += "_"
        folder = self.folder
        svg = plots.svg(figure, stem, title) if folder is None else plots.save(figure, folder / f"{stem}.png", title)
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
    environment.filters.update(number=number, amount=amount, written=written, breakable=breakable)
    return environment.get_template(template).render(contents)


def breakable(notation: str) -> Markup:
    """Escapes a notation for the page and allows line breaks after its separators, not within names."""
    return Markup("<wbr>").join(re.split(r"(?<=.[|+:,;])(?=[^|+:,;])", notation))
