"""The notation of PiT networks, and the dictionaries of ViT-Bench-101.

24r4: d2h2 d6h4 d4h8                                                            width of a head, MLP ratio; depth and heads by stage
{"base_dim": 24, "mlp_ratio": 4, "depth": [2, 6, 4], "num_heads": [2, 4, 8]}
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from rbflex_evo.spaces.errors import GenotypeError, shown
from rbflex_evo.spaces.literals import literal

from .layout import StageChoice

HEAD = re.compile(r"\s*([0-9]{1,6})r([0-9]{1,6})\s*", re.ASCII)
STAGE = re.compile(r"d([0-9]{1,6})h([0-9]{1,6})", re.ASCII)
FIELDS = {"base_dim", "mlp_ratio", "depth", "num_heads"}


def write_network(base: int, ratio: int, stages: Sequence[StageChoice]) -> str:
    """Returns the notation of a network."""
    return f"{base}r{ratio}: {' '.join(f'd{depth}h{heads}' for depth, heads in stages)}"


def read_network(text: str, space: str) -> tuple[int, int, tuple[StageChoice, ...]]:
    """Returns the width of a head, the MLP ratio and the stages of a network.

    Args:
        text: A notation or a dictionary.
        space: Name of the space, for error messages.

    Raises:
        GenotypeError: If the text is neither; the message states what was expected.
    """
    if text.strip().startswith("{"):
        return _read_dictionary(text)
    first, _, rest = text.partition(":")
    head, stages = HEAD.fullmatch(first), [STAGE.fullmatch(stage) for stage in rest.split()]
    if head is None or not stages or None in stages:
        raise GenotypeError(
            f"{shown(text)} is not a network of {space}; expected the width of a head, the MLP ratio, and depth and heads of each "
            "stage, as in '24r4: d2h2 d6h4 d4h8'"
        )
    return int(head[1]), int(head[2]), tuple(StageChoice(int(found[1]), int(found[2])) for found in stages if found)


def _read_dictionary(text: str) -> tuple[int, int, tuple[StageChoice, ...]]:
    try:
        fields = literal(text)
    except ValueError as error:
        raise GenotypeError(f"{shown(text)} is not a dictionary of PiT: {error}") from None
    if not isinstance(fields, dict) or set(fields) != FIELDS:
        expected = "'base_dim', 'mlp_ratio', 'depth' and 'num_heads'"
        raise GenotypeError(f"{shown(text)} is not a dictionary of PiT; expected the keys {expected}")
    depths, heads = (_numbers(name, fields[name]) for name in ("depth", "num_heads"))
    (base,), (ratio,) = (_numbers(name, [fields[name]]) for name in ("base_dim", "mlp_ratio"))
    if len(depths) != len(heads):
        raise GenotypeError(f"'depth' and 'num_heads' of {shown(text)} differ in the number of stages")
    return base, ratio, tuple(StageChoice(*pair) for pair in zip(depths, heads, strict=True))


def _numbers(name: str, values: Any) -> list[int]:
    numbers = isinstance(values, list | tuple) and all(type(value) in (int, float) for value in values)
    if not numbers or not all(float(value).is_integer() for value in values):
        raise GenotypeError(f"{name!r} holds {shown(values)}; expected whole numbers")
    return [int(value) for value in values]
