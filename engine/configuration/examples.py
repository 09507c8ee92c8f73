"""The example configurations that are part of the package."""

from __future__ import annotations

from importlib.resources import files

from rbflex_evo.spaces import UnknownNameError, near_name
from rbflex_evo.spaces.errors import shown

PACKAGE = "rbflex_evo.configs"
SUFFIX = ".yaml"


def example_names() -> list[str]:
    """Returns the names of the example configurations, sorted."""
    return sorted(entry.name.removesuffix(SUFFIX) for entry in files(PACKAGE).iterdir() if entry.name.endswith(SUFFIX))


def read_example(name: str) -> str:
    """Returns the YAML text of an example configuration.

    Raises:
        UnknownNameError: If no example has that name.
    """
    names = example_names()
    if name not in names:
        raise UnknownNameError(f"unknown example {shown(name)}{near_name(name, names)}")
    return files(PACKAGE).joinpath(f"{name}{SUFFIX}").read_text(encoding="utf-8")
