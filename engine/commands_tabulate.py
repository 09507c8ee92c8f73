"""``tabulate``: score a whole space once."""

from __future__ import annotations

import json
import sys

import typer

from .config import load_config
from .options import AsJson, ConfigPath, Overrides


def tabulate(config: ConfigPath, set_: Overrides = None, as_json: AsJson = False) -> None:
    """Score every architecture of a space into one npz; a table that was stopped goes on where it was."""
    settings = load_config(config, set_ or [])
    import numpy as np

    from .tabulate import tabulate as make

    try:
        path = make(settings)
    except KeyboardInterrupt:
        # Pieces are written whole, so there is nothing to save.
        print("stopped; what is done is kept, the same command goes on", file=sys.stderr)
        raise typer.Exit(130) from None
    with np.load(path, allow_pickle=False) as table:
        found = {"path": str(path), "keys": len(table["key"])}
        found |= {name: int(np.isnan(table[name]).sum()) for name in settings.fitness.proxies}
    if as_json:
        print(json.dumps(found))
        return
    print(f"table      {found['keys']:,} architectures")
    for name in settings.fitness.proxies:
        print(f"{name:<10} {found[name]:,} failed")
    print(f"file       {path}")
