"""The dictionaries of once-for-all (Cai et al., ICLR 2020): kernel and expansion of every block, depth of every stage.

    {"wid": null, "ks": [3, 7, ...], "e": [6, 3, ...], "d": [2, 3, 4, 2, 3, 1]}

A stage has four places for blocks, of which the first ``d`` are used. Its ProxylessNAS supernet with MobileNetV2's widths has five
such stages and a last one of one block: 21 kernels, 21 expansions and 6 depths. That is this space at multipliers of 1.0. The
MobileNetV3 supernet has the first five stages only, with other blocks; its dictionary is read with a warning.
"""

from __future__ import annotations

import warnings
from typing import Any

from rbflex_evo.spaces.errors import GenotypeError, NotationWarning, shown
from rbflex_evo.spaces.literals import literal

PLACES = (4, 4, 4, 4, 4, 1)
FIRST_STAGE = (3, 1)
LAST_STAGE = (3, 6)
FIELDS = ("ks", "e", "d")

Block = tuple[int, int]


def once_for_all(text: str) -> list[list[Block]]:
    """Returns the blocks (kernel, expansion) of the seven stages.

    Raises:
        GenotypeError: If the text is no such dictionary, or does not fit the stages; the message says what is wrong.
    """
    try:
        fields = literal(text)
    except ValueError as error:
        raise GenotypeError(f"{shown(text)} is not a dictionary of once-for-all: {error}") from None
    if not isinstance(fields, dict) or not set(FIELDS) <= set(fields) <= {*FIELDS, "wid", "r"}:
        raise GenotypeError(f"{shown(text)} is not a dictionary of once-for-all; expected the keys 'ks', 'e' and 'd'")
    if fields.get("wid") is not None:
        raise GenotypeError(
            f"'wid' is {shown(fields['wid'])}, a position in a list of multipliers that is not known here; expected null"
        )
    kernels, expansions, depths = (_numbers(name, fields[name]) for name in FIELDS)
    whole = len(kernels) == sum(PLACES)
    expected = (sum(PLACES), len(PLACES)) if whole else (sum(PLACES[:-1]), len(PLACES) - 1)
    if (len(kernels), len(expansions), len(depths)) != (expected[0], *expected):
        raise GenotypeError(
            f"'ks', 'e' and 'd' have {len(kernels)}, {len(expansions)} and {len(depths)} entries; expected 21, 21 and 6 "
            "(five stages of up to 4 blocks and a last one of 1), or 20, 20 and 5 without the last stage"
        )
    stages = [[FIRST_STAGE]]
    start = 0
    for stage, (places, depth) in enumerate(zip(PLACES, depths, strict=False), start=1):
        if not 1 <= depth <= places:
            raise GenotypeError(f"'d' gives stage {stage} the depth {depth}; expected 1..{places}")
        blocks = list(zip(kernels, expansions, strict=True))[start : start + depth]
        stages.append(blocks)
        start += places
    if not whole:
        stages.append([LAST_STAGE])
        warnings.warn(
            "a dictionary of once-for-all with 5 stages, as of its MobileNetV3, is read as the stages of MobileNetV2: "
            "other widths, ReLU6, no squeeze-and-excitation, and k3e6 as the last stage",
            NotationWarning,
            stacklevel=2,
        )
    return stages


def _numbers(name: str, values: Any) -> list[int]:
    if not isinstance(values, list | tuple) or not all(type(value) is int for value in values):
        raise GenotypeError(f"{name!r} is {shown(values)}; expected a list of whole numbers")
    return list(values)
