"""The notation of AutoFormer networks, and the dictionaries of its published code.

192: h3r4 h4r3.5 h3r3.5                                                                         ours
{"layer_num": 3, "num_heads": [3, 4, 3], "mlp_ratio": [4, 3.5, 3.5], "embed_dim": [192, 192, 192]}
{"depth": 3, "num_heads": [3, 4, 3], "mlp_ratio": [4, 3.5, 3.5], "embed_dim": 192}
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from rbflex_evo.spaces.errors import GenotypeError, shown
from rbflex_evo.spaces.literals import literal, whole_number

from .layout import LayerChoice

LAYER = re.compile(r"h([0-9]{1,6})r([0-9]{1,6}(?:\.[0-9]{1,6})?)", re.ASCII)
FIELDS = {"num_heads", "mlp_ratio", "embed_dim"}
DEPTHS = {"layer_num", "depth"}


def write_network(width: int, layers: Sequence[LayerChoice]) -> str:
    """Returns the notation of a network."""
    return f"{width}: {' '.join(f'h{heads}r{ratio:.15g}' for heads, ratio in layers)}"


def read_network(text: str, space: str) -> tuple[int, tuple[LayerChoice, ...]]:
    """Returns the width and the layers of a network.

    Args:
        text: A notation or a dictionary.
        space: Name of the space, for error messages.

    Raises:
        GenotypeError: If the text is neither; the message states what was expected.
    """
    if text.strip().startswith("{"):
        return _read_dictionary(text)
    written, _, places = text.partition(":")
    width, layers = whole_number(written), [LAYER.fullmatch(place) for place in places.split()]
    if width is None or not layers or None in layers:
        raise GenotypeError(
            f"{shown(text)} is not a network of {space}; expected a width, and heads and MLP ratio of each layer, "
            "as in '192: h3r4 h4r3.5 ...'"
        )
    return width, tuple(LayerChoice(int(found[1]), float(found[2])) for found in layers if found)


def _read_dictionary(text: str) -> tuple[int, tuple[LayerChoice, ...]]:
    try:
        fields = literal(text)
    except ValueError as error:
        raise GenotypeError(f"{shown(text)} is not a dictionary of AutoFormer: {error}") from None
    if not isinstance(fields, dict) or not FIELDS <= set(fields) <= FIELDS | DEPTHS:
        expected = "'num_heads', 'mlp_ratio', 'embed_dim' and 'layer_num'"
        raise GenotypeError(f"{shown(text)} is not a dictionary of AutoFormer; expected the keys {expected}")
    heads, ratios = (_numbers(name, fields[name]) for name in ("num_heads", "mlp_ratio"))
    widths = fields["embed_dim"] if isinstance(fields["embed_dim"], list | tuple) else [fields["embed_dim"]] * len(heads)
    lengths = {len(heads), len(ratios), len(widths), *(fields[name] for name in DEPTHS if type(fields.get(name)) is int)}
    if len(lengths) != 1 or not heads:
        raise GenotypeError(f"'num_heads', 'mlp_ratio', 'embed_dim' and the depth of {shown(text)} differ in the number of layers")
    width = _numbers("embed_dim", widths)[0]
    if any(other != width for other in widths):
        raise GenotypeError(f"'embed_dim' is {shown(widths)}; expected one width for all layers")
    return width, tuple(LayerChoice(*pair) for pair in zip(heads, ratios, strict=True))


def _numbers(name: str, values: Any) -> list[Any]:
    if not isinstance(values, list | tuple) or not all(type(value) in (int, float) for value in values):
        raise GenotypeError(f"{name!r} is {shown(values)}; expected a list of numbers")
    return list(values)
