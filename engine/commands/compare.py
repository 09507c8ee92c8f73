"""``compare``: strategies x seeds at one budget, or over several settings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer

from rbflex_evo.engine.configuration.compare_settings import settings_of
from rbflex_evo.engine.configuration.config import load_config
from rbflex_evo.engine.terminal.messages import say
from rbflex_evo.engine.terminal.progress import Progress

from .options import AsJson, ConfigPath, Overrides

if TYPE_CHECKING:
    from pathlib import Path

    from rbflex_evo.engine.configuration.config import Config


def compare(config: ConfigPath, set_: Overrides = None, as_json: AsJson = False) -> None:
    """Compare strategies over several seeds by paired tests.

    Runs every strategy of the configuration's section `compare` with every seed, in each of its spaces, objectives and budgets.
    """
    whole = load_config(config, set_ or [])
    settings = settings_of(whole)
    failures = _over_settings(whole, as_json) if len(settings) > 1 else _in_one(settings[0].config, as_json)
    for failure in failures:
        say(f"failed: {failure}")
    if failures:
        raise typer.Exit(1)


def _in_one(config: Config, as_json: bool) -> list[str]:
    """Compares in one setting and returns a line for each run that failed."""
    from rbflex_evo.engine.comparison.compare import run_all

    runs = run_all(config)
    from rbflex_evo.engine.comparison.facts import document_of
    from rbflex_evo.engine.comparison.report import write_all
    from rbflex_evo.engine.comparison.tables import markdown

    document = document_of(config, runs)
    page = write_all(runs.folder, document, (runs.folder / "config.yaml").read_text(encoding="utf-8"))
    _print(document, runs.folder, page, markdown, as_json)
    return [f"{label}, seed {seed}: {reason}" for (label, seed), reason in runs.failures.items()]


def _over_settings(config: Config, as_json: bool) -> list[str]:
    """Compares over several settings and returns a line for each run that failed."""
    from rbflex_evo.engine.study.run import run_settings

    runs = run_settings(config)
    from rbflex_evo.engine.comparison.report import write_all
    from rbflex_evo.engine.study.facts import documents_of, study_of
    from rbflex_evo.engine.study.report import write_study_files
    from rbflex_evo.engine.study.tables import markdown

    judgements = []
    with Progress("pages", len(runs.settings), unit="setting") as progress:
        for folder, judged, reference in documents_of(runs):
            write_all(folder, judged, (folder / "config.yaml").read_text(encoding="utf-8"))
            judgements.append((judged, reference))
            progress.advance()
    document = study_of(config, runs.settings, judgements)
    page = write_study_files(runs.folder, document, (runs.folder / "config.yaml").read_text(encoding="utf-8"))
    _print(document, runs.folder, page, markdown, as_json)
    return [f"{row.setting}, {row.label}, seed {row.seed}: {row.reason}" for row in document.failures]


def _print(document: Any, folder: Path, page: Path | None, markdown: Any, as_json: bool) -> None:
    if as_json:
        print(json.dumps({**document.model_dump(mode="json"), "folder": str(folder)}, ensure_ascii=False, allow_nan=False))
    else:
        print(markdown(document))
        print(f"report     {page or 'not written'}")
