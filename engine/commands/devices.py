"""``list devices``: devices of which costs are known, by kinds of files, or in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rbflex_evo.spaces import create_space


def device_kinds(space: str | None) -> list[dict[str, Any]]:
    """Returns the kinds of device tables that a space may have, as JSON data.

    Args:
        space: Name of a space; None for all kinds.

    Raises:
        UnknownNameError: If no space has that name.
    """
    from rbflex_evo.spaces import SPACES
    from rbflex_evo.spaces.tables.device_table import DEVICE_TABLES

    if space is not None:
        space = SPACES.get(space).name
    kinds = [DEVICE_TABLES.get(name) for name in DEVICE_TABLES.names()]
    return [
        {
            "name": kind.name,
            "description": kind.description,
            "spaces": list(kind.spaces),
            "datasets": list(kind.datasets),
            "metrics": list(kind.published),
        }
        for kind in kinds
        if space is None or not kind.spaces or space in kind.spaces
    ]


def device_costs(space: str, path: Path) -> list[dict[str, Any]]:
    """Returns the costs that a file holds for a space, as JSON data.

    Args:
        space: Name of the space.
        path: Path of the file.

    Raises:
        TableError: If the file is missing, unreadable or of another space.
        UnknownNameError: If no space has that name.
    """
    import numpy as np

    from rbflex_evo.spaces.tables.device_table import open_device_table

    table = open_device_table(str(path), create_space(space))
    entries = []
    for cost in table.costs():
        values = table.values(cost)
        low, median, high = np.percentile(values, (0, 50, 100))
        entries.append(
            {
                "metric": cost.name,
                "table": table.name,
                "dataset": cost.dataset,
                "unit": cost.unit,
                "rows": len(values),
                "minimum": float(low),
                "median": float(median),
                "maximum": float(high),
            }
        )
    return entries


def print_kinds(kinds: list[dict[str, Any]]) -> None:
    """Prints kinds of device tables."""
    for kind in kinds:
        print(f"{kind['name']} [{', '.join(kind['spaces']) or 'any space'}]: {kind['description']}")
        if kind["metrics"]:
            print(f"    {', '.join(kind['metrics'])}")
        if kind["datasets"]:
            print(f"    dataset: {', '.join(kind['datasets'])}")
    print("Name a space and --path FILE to see what a file holds.")


def print_costs(entries: list[dict[str, Any]]) -> None:
    """Prints the costs of a file."""
    for entry in entries:
        dataset = f" [{entry['dataset']}]" if entry["dataset"] else ""
        print(
            f"{entry['metric']}{dataset}: {entry['minimum']:.4g} .. {entry['maximum']:.4g} {entry['unit']}, "
            f"median {entry['median']:.4g}, {entry['rows']:,} networks"
        )
