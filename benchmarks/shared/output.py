"""Output of the benchmarks: a Markdown table, and a JSON file with versions and machine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rbflex_evo.engine.run.environment import environment


def markdown(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Returns a Markdown table; floats have four significant digits."""
    cells = [[f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(columns), *cells]) for i in range(len(columns))]
    lines = [list(columns), ["-" * width for width in widths], *cells]
    return "\n".join("| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in lines)


def write(folder: Path, name: str, title: str, table: str, content: Mapping[str, Any]) -> None:
    """Prints the table, and writes the table and `content` as `name`.md and `name`.json into `folder`."""
    save(folder, name, title, table, content)
    print(f"{title}\n\n{table}\n\nwritten to {folder / name}.md and .json")


def save(folder: Path, name: str, title: str, table: str, content: Mapping[str, Any]) -> None:
    """Writes the table and `content` as `name`.md and `name`.json into `folder`; a kill leaves the files of the call before."""
    facts = environment()
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        ".md": f"# {title}\n\n{table}\n\n{json.dumps(facts)}\n",
        ".json": json.dumps({**content, "environment": facts}, indent=2) + "\n",
    }
    for ending, text in texts.items():
        unfinished = folder / f"{name}{ending}.unfinished"
        unfinished.write_text(text)
        unfinished.replace(folder / f"{name}{ending}")
