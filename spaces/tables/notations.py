"""Notations of architectures in a table file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rbflex_evo.spaces.errors import GenotypeError, TableError
from rbflex_evo.spaces.space import SearchSpace


def checked_notations(where: str, space: SearchSpace, notations: Iterable[Any], repeated: bool = False) -> list[str]:
    """Returns notations as the space writes them.

    Args:
        where: Name of the file, for error messages.
        space: The space that the file belongs to.
        notations: Notations in the order of the rows.
        repeated: Whether several rows may have the same notation.

    Raises:
        TableError: If there is no row, a notation is invalid, or two rows have the same notation and must not.
    """
    rows: dict[str, int] = {}
    written: list[str] = []
    for row, text in enumerate(notations, start=1):
        try:
            notation = space.notation(space.parse(str(text)))
        except GenotypeError as error:
            raise TableError(f"{where!r} is a table of another space than {space.name!r}: row {row}: {error}") from None
        if notation in rows and not repeated:
            raise TableError(f"{where!r} has {notation!r} in rows {rows[notation]} and {row}; keep one of them")
        rows[notation] = row
        written.append(notation)
    if not rows:
        raise TableError(f"{where!r} has no rows; expected at least one architecture")
    return written
