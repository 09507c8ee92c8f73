"""``tabulate``: score a whole space, a sample of it or a list of architectures once."""

from __future__ import annotations

import json

from rbflex_evo.engine.configuration.config import load_scoring
from rbflex_evo.engine.terminal.wording import columns, counted

from .options import AsJson, ConfigPath, Overrides


def tabulate(config: ConfigPath, set_: Overrides = None, as_json: AsJson = False) -> None:
    """Score a space, a sample or a list into a table of scores.

    The table is one npz file; a tabulation that was stopped resumes.
    """
    settings = load_scoring(config, set_ or [])
    import numpy as np

    from rbflex_evo.engine.tabulation.tabulate import tabulate as make
    from rbflex_evo.fitness.measuring.tabulated import score_names

    path = make(settings)
    with np.load(path, allow_pickle=False) as table:
        failed = {name: int(np.isnan(table[name]).sum()) for name in score_names(dict(table))}
        sizes = {"architectures": len(table["architecture"]), "keys": len(table["key"])}
    if as_json:
        print(json.dumps({"path": str(path), **sizes, "failed": failed}))
        return
    size = f"{counted(sizes['architectures'], 'architecture')}, {counted(sizes['keys'], 'distinct network')}"
    scores = [(name, f"{count:,} failed") for name, count in failed.items()]
    print("\n".join(columns([("table", size), *scores, ("file", str(path))])))
