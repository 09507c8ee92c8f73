"""YAML with the words and numbers of YAML 1.2, read and written: ``off`` and ``1:30`` are text, ``010`` is 10, ``1e6`` is a number.

PyYAML implements YAML 1.1, where ``010`` is 8, ``1:30`` is 90, ``1_000`` is 1000, ``off`` is false and ``1e6`` is text. The core
schema of YAML 1.2.2 (chapter 10.3) replaces all of that. Duplicate keys are errors. A text is data from anywhere, so its size, its
depth and what its aliases expand to are limited, and its tags are those of the core schema.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from rbflex_evo.spaces import ConfigError
from rbflex_evo.spaces.errors import shown

# Limits of one text; the largest configuration, with thousands of architectures to begin with, is far below them.
LONGEST_TEXT = 4_000_000
MOST_VALUES = 100_000
DEEPEST = 50

CORE = "tag:yaml.org,2002:"
# Kind of a plain scalar, its spelling, and its possible first characters; everything else is text.
SCALARS = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+0123456789."),
    ),
    ("merge", r"<<", ["<"]),
)


class _Loader(yaml.SafeLoader):
    """PyYAML's parser with the core schema of YAML 1.2 and limits."""

    def get_single_node(self) -> Any:
        node = super().get_single_node()
        if node is not None:
            _values(node, {}, 0)
        return node


class _Dumper(yaml.SafeDumper):
    """PyYAML's writer, which also quotes text that only YAML 1.2 reads as a number, such as ``1e6`` and ``0o17``."""


# Nothing of YAML 1.1 is inherited.
_Loader.yaml_implicit_resolvers = {}
_Loader.yaml_constructors = {}
for _kind, _pattern, _first in SCALARS:
    _Loader.add_implicit_resolver(CORE + _kind, re.compile(f"^(?:{_pattern})$"), _first)
    if _kind in ("int", "float"):
        _Dumper.add_implicit_resolver(CORE + _kind, re.compile(f"^(?:{_pattern})$"), _first)


def _values(node: yaml.Node, known: dict[int, int | None], depth: int) -> int:
    """Returns the number of values of a node with its aliases expanded."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    count = known.get(id(node), 0)
    if count is None:
        raise _wrong(node, "an alias names the value that it is part of")
    if count:
        return count
    if depth >= DEEPEST:
        raise _wrong(node, f"more than {DEEPEST} values inside each other")
    known[id(node)] = None
    inner = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
    total = 1 + sum(_values(part, known, depth + 1) for part in inner)
    if total > MOST_VALUES:
        raise _wrong(node, f"more than {MOST_VALUES:,} values, with aliases expanded")
    known[id(node)] = total
    return total


def _wrong(node: yaml.Node, problem: str) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def _mapping(loader: _Loader, node: yaml.Node) -> dict[Any, Any]:
    if not isinstance(node, yaml.MappingNode):
        raise _wrong(node, "expected keys with values")
    seen: set[Any] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _wrong(key, "a key must be a word or a number")
        name: Any = loader.construct_object(key) if key.tag != f"{CORE}merge" else key.tag
        if name in seen:
            raise _wrong(key, f"the key {shown(key.value)} is duplicated")
        seen.add(name)
    loader.flatten_mapping(node)
    return {_key(loader, key): loader.construct_object(value, deep=True) for key, value in node.value}


def _key(loader: _Loader, key: yaml.Node) -> Hashable:
    name = loader.construct_object(key)
    if not isinstance(name, Hashable):
        raise _wrong(key, "a key must be a word or a number")
    return name


def _sequence(loader: _Loader, node: yaml.Node) -> list[Any]:
    if not isinstance(node, yaml.SequenceNode):
        raise _wrong(node, "expected a list")
    return [loader.construct_object(part, deep=True) for part in node.value]


def _whole(text: str) -> int:
    return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))


def _real(text: str) -> float:
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


_READ: dict[str, Any] = {
    "null": lambda text: None,
    "bool": lambda text: text.lower() == "true",
    "int": _whole,
    "float": _real,
    "str": str,
}
_PATTERNS = {kind: re.compile(pattern) for kind, pattern, _ in SCALARS} | {"str": re.compile(r"(?s:.*)")}


def _scalar(loader: _Loader, node: yaml.Node) -> Any:
    kind = node.tag.removeprefix(CORE)
    # An explicit tag, as in `!!int abc`, may stand before anything.
    if not isinstance(node, yaml.ScalarNode) or not _PATTERNS[kind].fullmatch(node.value):
        raise _wrong(node, f"this is no {kind}")
    try:
        return _READ[kind](node.value)
    except ValueError:  # Python reads no integer of more than 4,300 digits
        raise _wrong(node, f"{shown(node.value)} is too long for a number") from None


def _unknown(loader: _Loader, node: yaml.Node) -> Any:
    tag = node.tag.replace(CORE, "!!")
    raise _wrong(node, f"the tag {shown(tag)} is not known; only plain values, lists and mappings are read")


for _kind in _READ:
    _Loader.add_constructor(CORE + _kind, _scalar)
_Loader.add_constructor(f"{CORE}map", _mapping)
_Loader.add_constructor(f"{CORE}seq", _sequence)
_Loader.add_constructor(None, _unknown)


def read_file(path: Path) -> dict[str, Any]:
    """Returns the mapping in a YAML file.

    Raises:
        ConfigError: If the file is missing, unreadable, empty, too large or malformed, or holds something other than a mapping.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(LONGEST_TEXT + 1)
    except FileNotFoundError:
        raise ConfigError(
            f"there is no configuration file {str(path)!r}; write one with: rbflex-evo example quickstart > my.yaml"
        ) from None
    except IsADirectoryError:
        raise ConfigError(f"{str(path)!r} is a folder; expected a YAML file") from None
    except (OSError, ValueError) as error:  # ValueError: no UTF-8 text, or a path with a null byte
        raise ConfigError(f"{str(path)!r} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    values = read_value(text, str(path))
    if values is None:
        raise ConfigError(f"{path} is empty; print an example with: rbflex-evo example quickstart")
    if not isinstance(values, dict):
        raise ConfigError(f"{path} should hold keys with values, but it holds {shown(values, 60)}")
    return values


def read_value(text: str, where: str) -> Any:
    """Returns the value of a YAML text.

    Args:
        text: The YAML text.
        where: The origin of the text, for messages.

    Raises:
        ConfigError: If the text is malformed or beyond the limits; the message names the line of the first mistake.
    """
    if len(text) > LONGEST_TEXT:
        raise ConfigError(f"{where} has more than {LONGEST_TEXT:,} characters; expected a configuration")
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be read"
        raise ConfigError(f"{where}{line}: malformed YAML, {str(problem)[:200]}") from None
    except RecursionError:  # of the parser, before the depth can be counted
        raise ConfigError(f"{where}: malformed YAML, more than {DEEPEST} values inside each other") from None


def write_value(value: Any) -> str:
    """Returns a value as YAML text, which `read_value` reads back as an equal value."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
