"""``correlate``: scores against known accuracies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from rbflex_evo.engine.configuration.config import load_scoring

from .options import AsJson, ConfigPath, Overrides


def correlate(
    config: ConfigPath,
    set_: Overrides = None,
    scores: Annotated[
        Path | None, typer.Option("--scores", metavar="NPZ", help="Judge the scores of a table made by tabulate; measure nothing.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge scores, presets and baselines by known accuracies.

    A correlation that was stopped resumes.
    """
    settings = load_scoring(config, set_ or [])
    from rbflex_evo.engine.correlation.correlate import correlate as judge
    from rbflex_evo.engine.correlation.page import markdown

    found = judge(settings, scores)
    if as_json:
        print(json.dumps({**found.document.model_dump(mode="json"), "folder": str(found.folder)}, ensure_ascii=False))
        return
    print(markdown(found.document))
    level, resamples = found.document.level, found.document.resamples
    print(f"\nintervals  {100 * level:g} %, {resamples:,} bootstrap resamples of the architectures")
    print(f"page       {found.folder / 'correlate.html'}")
