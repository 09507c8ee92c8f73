"""The notation of choices: ``depth=3,width=64,act=relu``, inactive choices left out.

Values are written as in JSON, texts without quotes where that is clear: 3, 0.5, true, null, relu, "3", [32,64].
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from rbflex_evo.spaces.errors import GenotypeError, near_name, shown
from rbflex_evo.spaces.literals import literal

_PLAIN = re.compile(r"[^\W\d][\w.+-]*")
_WORDS = ("true", "false", "null", "none", "nan", "inf", "infinity")
# A quoted text, a bracket, or anything else.
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|[\[\](){},]|[^\[\](){},"\']+|.')


def written(value: Any) -> str:
    """Returns the text of a value."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def split(text: str) -> dict[str, str]:
    """Returns the texts of values by name.

    Raises:
        GenotypeError: If a part has no ``=``, or a name comes twice.
    """
    parts, depth = [""], 0
    for token in _TOKENS.findall(text):
        depth += (token in tuple("[({")) - (token in tuple("])}"))
        if token == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += token
    found: dict[str, str] = {}
    for part in parts:
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not name or not value:
            raise GenotypeError(
                f"{shown(text)} is no list of choices; expected name=value,name=value, but it has {shown(part.strip())}"
            )
        if name in found:
            raise GenotypeError(f"{shown(text)} has {shown(name)} twice")
        found[name] = value
    return found


def position(text: str, values: Sequence[Any], name: str) -> int:
    """Returns the position of the value that a text stands for.

    Args:
        text: The text of a value.
        values: All values of the choice.
        name: Name of the choice, for messages.

    Raises:
        GenotypeError: If it is no value of the choice.
    """
    texts = [written(value) for value in values]
    if text in texts:
        return texts.index(text)
    with contextlib.suppress(ValueError):
        # As Python prints values: True, 8.0, (1, 2).
        value = _comparable(literal(text))
        for i, known in enumerate(values):
            if _comparable(known) == value:
                return i
    raise GenotypeError(f"{name} is {shown(text)}, but it must be one of {', '.join(texts)}{_near(text, texts)}")


def _comparable(value: Any) -> Any:
    """Returns what is equal for equal values: 8 and 8.0, (1, 2) and [1, 2], but not 1 and true."""
    if isinstance(value, list | tuple):
        return [_comparable(each) for each in value]
    return ("truth", value) if isinstance(value, bool) else value


def _near(text: str, texts: Sequence[str]) -> str:
    near = near_name(text, texts)
    return near if "mean" in near else ""


def known_names(found: Mapping[str, str], names: Sequence[str]) -> None:
    """Checks that only choices are named.

    Raises:
        GenotypeError: If another name is.
    """
    for name in found:
        if name not in names:
            raise GenotypeError(f"unknown choice {shown(name)}{near_name(name, names)}")
