"""The operation indices of NASLib (``naslib/search_spaces/nasbench201/conversions.py``), the keys of its zero-cost scores.

    naslib:(4, 0, 3, 1, 4, 3)       one number for each of the edges 0>1, 0>2, 0>3, 1>2, 1>3, 2>3

The genes of this package have another order of edges and of operations, so the same six numbers mean another cell. A tuple in round
brackets is NASLib's, as its files print it, with a warning unless ``naslib:`` stands before it. A list in square brackets, as this
package prints genes, is refused without ``naslib:`` or ``genes:``.
"""

from __future__ import annotations

import warnings

from rbflex_evo.spaces.encodings.encoding import Genotype
from rbflex_evo.spaces.errors import GenotypeError, NotationWarning, shown
from rbflex_evo.spaces.literals import literal

from .cell import EDGES, OPERATIONS

NASLIB = "naslib:"
NASLIB_OPERATIONS = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
NASLIB_EDGES = tuple(sorted(EDGES))


def read_naslib(text: str) -> Genotype:
    """Returns the genotype of the operation indices of a cell in NASLib, with or without ``naslib:``.

    Raises:
        GenotypeError: If the text is no such cell, or may as well be genes of this package.
    """
    bare = text.removeprefix(NASLIB)
    try:
        numbers = literal(bare)
    except ValueError:
        numbers = None
    wanted = range(len(NASLIB_OPERATIONS))
    if (
        not isinstance(numbers, list | tuple)
        or len(numbers) != len(EDGES)
        or not all(type(number) is int and number in wanted for number in numbers)
    ):
        raise GenotypeError(
            f"{shown(text)} is not a NASLib cell; expected {len(EDGES)} operations of 0..{wanted[-1]}, "
            "as in 'naslib:(4, 0, 3, 1, 4, 3)'"
        )
    found = dict(zip(NASLIB_EDGES, (OPERATIONS.index(NASLIB_OPERATIONS[number]) for number in numbers), strict=True))
    genotype = tuple(found[edge] for edge in EDGES)
    if text == bare and genotype != tuple(numbers):
        if isinstance(numbers, list):
            raise GenotypeError(
                f"{text} may be the operations of NASLib or the genes of this package; write 'naslib:{text}' or 'genes:{text}'"
            )
        warnings.warn(
            "a tuple is read as the operation indices of NASLib, not as genes of this package; "
            "write 'naslib:(...)' or 'genes:(...)' to say which",
            NotationWarning,
            stacklevel=2,
        )
    return genotype
