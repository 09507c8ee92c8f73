"""How numbers and columns are put into what is printed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

# The width of the labels of the commands' own lines.
NARROWEST = 10


def counted(number: int, noun: str) -> str:
    """Returns a number with its noun, in the plural unless it is one: ``1 run``, ``2,000 runs``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def columns(rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yields a line a row, (label, text), the texts below each other however long a label is."""
    width = max([NARROWEST, *(len(label) for label, _ in rows)])
    yield from (f"{label:<{width}} {text}" for label, text in rows)
