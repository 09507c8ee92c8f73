"""The notation of FlexiBERT networks, with the layers of NAS-Bench-BERT.

256: SA-WMA-4-1024-3;LT-DCT-2-512-3;DSC-9-4-512-1   hidden size; operation, heads, inner width and stacks by layer
256: SA-WMA-4-1024-3;128: LT-DCT-2-512-3            a hidden size holds until the next one
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rbflex_evo.spaces.errors import GenotypeError, shown

from .layout import LayerChoice

LAYER = re.compile(r"(?:([0-9]{1,6})\s*:)?\s*([A-Z]{1,3}-[A-Z0-9]{1,3})-([0-9]{1,6})-([0-9]{1,6})-([0-9]{1,6})", re.ASCII)


def write_network(layers: Sequence[LayerChoice]) -> str:
    """Returns the notation of a network."""
    hidden = [None, *(layer.hidden for layer in layers[:-1])]
    return ";".join(
        f"{f'{layer.hidden}: ' if layer.hidden != before else ''}{layer.operation}-{layer.heads}-{layer.inner}-{layer.stacks}"
        for before, layer in zip(hidden, layers, strict=True)
    )


def read_network(text: str, space: str) -> tuple[LayerChoice, ...]:
    """Returns the layers of a network.

    Args:
        text: A notation.
        space: Name of the space, for error messages.

    Raises:
        GenotypeError: If the text is none; the message states what was expected.
    """
    found = [LAYER.fullmatch(part.strip()) for part in text.split(";")]
    if None in found or found[0] is None or found[0][1] is None:
        raise GenotypeError(
            f"{shown(text)} is not a network of {space}; expected a hidden size, and operation, heads, inner width and stacks "
            "of each layer, as in '256: SA-WMA-4-1024-3;LT-DCT-2-512-1'"
        )
    layers: list[LayerChoice] = []
    for match in found:
        if match is not None:
            hidden = int(match[1]) if match[1] else layers[-1].hidden
            layers.append(LayerChoice(match[2], int(match[3]), int(match[4]), int(match[5]), hidden))
    return tuple(layers)
