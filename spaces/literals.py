"""Values as other projects print them: whole numbers, JSON and Python literals, all read without running code.

6111 · (4, 0, 3) · {"ks": [3, 5], "wid": null} · {'ops': ['input', 'output']} · range(2, 6) · array([[0, 1], [0, 0]], dtype=int8)
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from typing import Any

# Longest text, far longer than the notations of published networks.
LONGEST = 20_000
WHOLE = re.compile(r"[0-9]{1,18}", re.ASCII)


def whole_number(text: str) -> int | None:
    """Returns the value of a text of decimal digits, or None for any other text."""
    return int(text) if WHOLE.fullmatch(text.strip()) else None


def literal(text: str) -> Any:
    """Returns the value of a JSON text or a Python literal; arrays become lists, ranges lists of their numbers.

    Raises:
        ValueError: If the text is neither, has more than `LONGEST` characters, or has a key twice.
    """
    if len(text) > LONGEST:
        raise ValueError(f"more than {LONGEST:,} characters")
    try:
        return json.loads(text, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("too many values inside each other") from None
    except json.JSONDecodeError:
        return python_value(expression(text))


def expression(text: str) -> ast.expr:
    """Returns the syntax tree of a Python expression.

    Raises:
        ValueError: If the text is none, or is longer or deeper than a notation.
    """
    if len(text) > LONGEST:
        raise ValueError(f"more than {LONGEST:,} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python warns of odd texts, which are refused here anyway
            return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, RecursionError, MemoryError):
        raise ValueError("not a Python expression") from None


def python_value(node: ast.expr) -> Any:
    """Returns the value of a syntax tree of literals, ranges and arrays.

    Raises:
        ValueError: If there is anything else in it.
    """
    try:
        return _value(node)
    except RecursionError:
        raise ValueError("too many values inside each other") from None


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant():
            return node.value
        case ast.Name(id="null"):
            return None
        case ast.Tuple(elts=parts):
            return tuple(map(_value, parts))
        case ast.List(elts=parts):
            return list(map(_value, parts))
        case ast.Dict(keys=keys, values=values) if None not in keys:
            pairs = zip((_key(_value(key)) for key in keys if key is not None), map(_value, values), strict=True)
            return _once(list(pairs))
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
        case ast.Call(func=ast.Name(id="range"), args=[_, *_] as bounds, keywords=[]) if len(bounds) <= 3:
            return _range([_value(bound) for bound in bounds])
        case ast.Call(func=ast.Name(id="array"), args=[ast.List() as values]):  # as numpy prints it, with its dtype
            return _value(values)
    raise ValueError("not a literal")


def _key(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a key that is no text")
    return value


def _range(bounds: list[Any]) -> list[int]:
    if not all(type(bound) is int and abs(bound) < 1000 for bound in bounds):
        raise ValueError("not a short range")
    return list(range(*bounds))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key appears twice")
    return values
