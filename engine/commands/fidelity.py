"""``fidelity``: how well cheaper forms of a configuration keep the order of networks, and how much faster they are."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from rbflex_evo.engine.configuration.config import load_scoring

from .options import AsJson, ConfigPath, Overrides


def fidelity(
    config: ConfigPath,
    set_: Overrides = None,
    networks: Annotated[int, typer.Option("--networks", metavar="N", help="Number of random networks.")] = 200,
    at_least: Annotated[
        float, typer.Option("--at-least", metavar="TAU", help="Kendall with the full form from which a form is good enough.")
    ] = 0.98,
    as_json: AsJson = False,
) -> None:
    """Measure cheaper forms of a configuration.

    Scores random networks at smaller images, with fewer inputs and in narrower and shallower forms, and names the fastest form that
    keeps their order. A measurement that was stopped resumes.
    """
    settings = load_scoring(config, set_ or [])
    from rbflex_evo.engine.fidelity.measure import measure
    from rbflex_evo.engine.fidelity.page import section, text

    found = measure(settings, networks=networks, at_least=at_least)
    document = found.document
    if as_json:
        cheapest = None if document.cheapest is None else document.cheapest.name
        values = {**document.model_dump(mode="json"), "cheapest": cheapest, "yaml": section(document), "folder": str(found.folder)}
        print(json.dumps(values, ensure_ascii=False))
        return
    print(text(document))
    print(f"page       {found.folder / 'fidelity.html'}")
