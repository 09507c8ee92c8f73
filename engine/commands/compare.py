"""``compare``: strategies x seeds at one budget."""

from __future__ import annotations

import json

import typer

from rbflex_evo.engine.configuration.config import load_config
from rbflex_evo.engine.terminal.messages import say

from .options import AsJson, ConfigPath, Overrides


def compare(config: ConfigPath, set_: Overrides = None, as_json: AsJson = False) -> None:
    """Compare strategies over several seeds by paired tests.

    Runs every strategy of the configuration's section `compare` with every seed.
    """
    settings = load_config(config, set_ or [])
    from rbflex_evo.engine.comparison.compare import run_all

    runs = run_all(settings)
    from rbflex_evo.engine.comparison.facts import document_of
    from rbflex_evo.engine.comparison.report import write_all
    from rbflex_evo.engine.comparison.tables import markdown

    document = document_of(settings, runs)
    page = write_all(runs.folder, document, (runs.folder / "config.yaml").read_text(encoding="utf-8"))
    if as_json:
        print(json.dumps({**document.model_dump(mode="json"), "folder": str(runs.folder)}, ensure_ascii=False, allow_nan=False))
    else:
        print(markdown(document))
        print(f"report     {page or 'not written'}")
    for (label, seed), reason in runs.failures.items():
        say(f"failed: {label}, seed {seed}: {reason}")
    if runs.failures:
        raise typer.Exit(1)
