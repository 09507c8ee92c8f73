"""How numbers, facts and columns are written for reading, in the terminal and on pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rbflex_evo.fitness.objective.constraints import written

UNKNOWN = "–"
# Smallest width of the labels in the output of a command.
NARROWEST = 10


def counted(number: int, noun: str) -> str:
    """Returns a number with its noun, in the plural unless it is one: ``1 run``, ``2,000 runs``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def number(value: Any) -> str:
    """Writes a value: floats to 6 significant digits, large numbers in full, truth as yes or no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and abs(value) >= 1e6:
        return written(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def significant(value: float | None, digits: int = 6) -> str:
    """Writes a number to so many significant digits."""
    return UNKNOWN if value is None else f"{value:.{digits}g}"


def fixed(value: float | None, places: int = 2) -> str:
    """Writes a number to so many decimal places."""
    return UNKNOWN if value is None else f"{value:.{places}f}"


def percent(value: float | None) -> str:
    """Writes a percentage to two decimal places, with its sign."""
    return UNKNOWN if value is None else f"{value:.2f} %"


def amount(value: float) -> str:
    """Writes a large number with its unit: 1.07 M."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g} {unit}"
    return f"{value:.4g}"


def sized(count: int) -> str:
    """Writes a count in full, or rounded if it has more than 12 digits."""
    return f"{count:,}" if count < 10**12 else f"{count:.2e}"


def duration(seconds: float) -> str:
    """Writes a time: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def named(values: Mapping[str, float]) -> str:
    """Writes numbers with their names: ``naswot 790.25, flops 1,000``."""
    return ", ".join(f"{name} {written(value)}" for name, value in values.items())


def flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Yields the leaves of nested mappings as (path, text)."""
    for key, value in values.items():
        path = f"{above} · {key}" if above else str(key)
        if isinstance(value, Mapping) and value:
            yield from flat(value, path)
        elif isinstance(value, (list, tuple)):
            yield path, ", ".join(map(number, value)) or "none"
        else:
            yield path, "none" if value is None or value == {} else number(value)


def columns(rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yields a line for each row (label, text), with the texts aligned behind the longest label."""
    width = max([NARROWEST, *(len(label) for label, _ in rows)])
    yield from (f"{label:<{width}} {text}" for label, text in rows)
