"""Random damage: of bytes, of lines, of plain values and of texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

PAGE = 4096


def damaged(rng: np.random.Generator, content: bytes) -> tuple[bytes, str]:
    """Returns damaged bytes and the name of the damage; the bytes always differ."""
    names = list(DAMAGES)
    for _ in range(20):
        name = names[rng.integers(len(names))]
        found = DAMAGES[name](rng, content)
        if found != content:
            return found, name
    return content + b"\x00", "appended"


def _flipped(rng: np.random.Generator, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 9)) if changed else 0):
        changed[rng.integers(len(changed))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _digit(rng: np.random.Generator, content: bytes) -> bytes:
    """Another digit in place of one: the damage that syntax does not show."""
    places = [i for i, byte in enumerate(content) if 48 <= byte <= 57]
    if not places:
        return content
    place = places[rng.integers(len(places))]
    return content[:place] + bytes([48 + int(rng.integers(10))]) + content[place + 1 :]


def _cut(rng: np.random.Generator, content: bytes) -> bytes:
    return content[: rng.integers(len(content) + 1)]


def _hole(rng: np.random.Generator, content: bytes) -> bytes:
    start, end = _part(rng, content)
    return content[:start] + content[end:]


def _doubled(rng: np.random.Generator, content: bytes) -> bytes:
    start, end = _part(rng, content)
    return content[:end] + content[start:end] + content[end:]


def _swapped(rng: np.random.Generator, content: bytes) -> bytes:
    a, b, c, d = sorted(int(i) for i in rng.integers(len(content) + 1, size=4))
    return content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


def _zeroed(rng: np.random.Generator, content: bytes) -> bytes:
    return _page(rng, content, b"\x00")


def _noise(rng: np.random.Generator, content: bytes) -> bytes:
    return _page(rng, content, rng.bytes(PAGE))


def _page(rng: np.random.Generator, content: bytes, filling: bytes) -> bytes:
    size = int(rng.choice([64, 512, PAGE]))
    start = size * int(rng.integers(len(content) // size + 1))
    length = len(content[start : start + size])
    return content[:start] + (filling * size)[:length] + content[start + length :]


def _lines(rng: np.random.Generator, content: bytes) -> bytes:
    """Whole lines dropped, doubled or swapped: every line of the result is right."""
    lines = content.splitlines(keepends=True)
    if len(lines) < 2:
        return content
    i, j = (int(k) for k in rng.integers(len(lines), size=2))
    how = rng.integers(3)
    if how == 0:
        del lines[i]
    elif how == 1:
        lines.insert(j, lines[i])
    else:
        lines[i], lines[j] = lines[j], lines[i]
    return b"".join(lines)


def _part(rng: np.random.Generator, content: bytes) -> tuple[int, int]:
    start = int(rng.integers(len(content) + 1))
    return start, min(len(content), start + int(rng.integers(1, 2 + int(rng.choice([8, 200, 5000])))))


DAMAGES: dict[str, Callable[[np.random.Generator, bytes], bytes]] = {
    "bytes flipped": _flipped,
    "a digit changed": _digit,
    "cut": _cut,
    "a part removed": _hole,
    "a part doubled": _doubled,
    "parts swapped": _swapped,
    "a page zeroed": _zeroed,
    "a page of noise": _noise,
    "lines changed": _lines,
}

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**70), 0.5, -0.0, 1e308, float("inf"), float("nan"), "", "off", "auto", "0",
    "-1", "1e5", "../x", "/", "a" * 3000, "\x00", "\u202e", "😀", "{}", "[]", [], [[]], {}, {"name": "toy"}, {"": None}, [None],
    [1, 2, 3], {"name": None}, {"name": ["toy"]}, [{"name": "toy"}], "toy", "nats_tss", "rbflex", "random", b"bytes", 10**400,
)  # fmt: skip


def odd_value(rng: np.random.Generator, values: Any) -> Any:
    """Returns plain data with one to three places replaced by a value of any type, removed, or moved."""
    for _ in range(int(rng.integers(1, 4))):
        places = list(_places(values, ()))
        if not places:
            return ODD[rng.integers(len(ODD))]
        place = places[rng.integers(len(places))]
        other = places[rng.integers(len(places))]
        replacement = _at(values, other) if rng.integers(4) == 0 else ODD[rng.integers(len(ODD))]
        values = _replaced(values, place, replacement, drop=rng.integers(6) == 0)
    return values


def _places(values: Any, path: tuple[Any, ...]) -> Any:
    if path:
        yield path
    items = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for name, value in items:
        yield from _places(value, (*path, name))


def _at(values: Any, path: tuple[Any, ...]) -> Any:
    for name in path:
        values = values[name]
    return values


def _replaced(values: Any, path: tuple[Any, ...], new: Any, drop: bool) -> Any:
    name, *rest = path
    changed: Any = dict(values) if isinstance(values, dict) else list(values)
    if rest:
        changed[name] = _replaced(values[name], tuple(rest), new, drop)
    elif drop:
        del changed[name]
    else:
        changed[name] = new
    return changed


def odd_text(rng: np.random.Generator, text: str) -> str:
    """Returns a text with a few characters changed, parts moved, or something odd in it."""
    for _ in range(int(rng.integers(1, 4))):
        how = rng.integers(5)
        start, end = sorted(int(i) for i in rng.integers(len(text) + 1, size=2))
        if how == 0:
            text = text[:start] + text[end:]
        elif how == 1:
            text = text[:end] + text[start:end] * int(rng.integers(1, 4)) + text[end:]
        elif how == 2:
            odd = (
                "",
                "|",
                "~",
                "+",
                ":",
                "(",
                ")",
                "[",
                "]",
                "-1",
                "9" * 30,
                "\n",
                "\x00",
                "é",
                "٣",
                "😀",
                "none",
                " ",
                ",",
                "'",
                "%s",
                "{}",
            )
            text = text[:start] + odd[rng.integers(len(odd))] + text[start:]
        elif how == 3 and text:
            place = int(rng.integers(len(text)))
            text = text[:place] + chr(int(rng.integers(32, 127))) + text[place + 1 :]
        else:
            text = text[end:] + text[start:end] + text[:start]
    return text[:100_000]
