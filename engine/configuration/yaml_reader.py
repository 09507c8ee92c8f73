"""A YAML reader with the words and numbers of YAML 1.2: ``off`` is text, ``1e6`` is a number. Duplicate keys are errors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from rbflex_evo.spaces import ConfigError


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the booleans and numbers of YAML 1.2."""


# PyYAML implements YAML 1.1, where on/off/yes/no are booleans and 1e6 is text.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _REPLACED]
    for _REPLACED in [{"tag:yaml.org,2002:bool", "tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp"}]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$"),
    list("-+0123456789."),
)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen = set()
    for key, _ in node.value:
        if key.value in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} is duplicated", key.start_mark)
        seen.add(key.value)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def read_file(path: Path) -> dict[str, Any]:
    """Returns the mapping in a YAML file.

    Raises:
        ConfigError: If the file is missing, unreadable, empty or malformed, or holds something other than a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"there is no configuration file {str(path)!r}; write one with: rbflex-evo example quickstart > my.yaml"
        ) from None
    except IsADirectoryError:
        raise ConfigError(f"{str(path)!r} is a folder; expected a YAML file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{str(path)!r} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    values = read_value(text, str(path))
    if values is None:
        raise ConfigError(f"{path} is empty; print an example with: rbflex-evo example quickstart")
    if not isinstance(values, dict):
        raise ConfigError(f"{path} should hold keys with values, but it holds {_short(values)}")
    return values


def read_value(text: str, where: str) -> Any:
    """Returns the value of a YAML text.

    Args:
        text: The YAML text.
        where: The origin of the text, for messages.

    Raises:
        ConfigError: If the text is malformed; the message names the line of the first mistake.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be read"
        raise ConfigError(f"{where}{line}: malformed YAML, {problem}") from None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
