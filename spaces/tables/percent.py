"""The unit of accuracies: every table of accuracies in percent passes through `check_percent`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from rbflex_evo.spaces.errors import TableError


def check_percent(values: np.ndarray | Mapping[str, float] | Iterable[float], where: str, what: str = "an accuracy") -> None:
    """Checks that numbers are in percent.

    Args:
        values: One number, or the numbers of several runs, of each row of a file.
        where: The file and what is read of it, for error messages.
        what: Name of one number, for error messages.

    Raises:
        TableError: If a number is below 0, above 100 or not a number, or if no number is above 1 as in fractions.
    """
    listed = values.values() if isinstance(values, Mapping) else values
    numbers = listed if isinstance(listed, np.ndarray) else np.array(list(listed), dtype=np.float64)
    if not numbers.size:
        return
    rows = numbers.reshape(len(numbers), -1)
    wrong = ~((rows >= 0) & (rows <= 100))
    if wrong.any():
        row = int(np.flatnonzero(wrong.any(axis=1))[0])
        raise TableError(
            f"{where}, row {row + 1}: expected {what} in percent (0..100), but it is {float(rows[row][wrong[row]][0]):g}"
        )
    if 0 < rows.max() <= 1:
        raise TableError(
            f"{where}: these look like fractions, the largest is {float(rows.max()):g}; "
            f"expected {what} in percent (0..100), so multiply them by 100"
        )
