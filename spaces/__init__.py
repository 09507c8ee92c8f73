"""Search spaces: genes and their operators, the networks that they stand for, and what is known about those networks."""

from importlib import import_module
from typing import Any

from .drawing import Drawing, Panel
from .encoding import Encoding, Genotype, VectorEncoding, deap_random
from .errors import (
    ConfigError,
    DataError,
    DeviceError,
    GenotypeError,
    PluginError,
    RbflexEvoError,
    RunError,
    TableError,
    UnknownNameError,
    near_name,
)
from .parameters import Parameters, parse
from .registry import Registry
from .space import SPACES, Cell, Costs, SearchSpace, create_space

TABLES: Registry


def __getattr__(name: str) -> Any:
    # Modules that score and search import this package, so it imports no known accuracies.
    if name == "TABLES":
        return getattr(import_module("spaces.tables"), name)
    raise AttributeError(f"module 'spaces' has no attribute {name!r}")


__all__ = [
    "SPACES",
    "TABLES",
    "Cell",
    "ConfigError",
    "Costs",
    "DataError",
    "DeviceError",
    "Drawing",
    "Encoding",
    "Genotype",
    "GenotypeError",
    "Panel",
    "Parameters",
    "PluginError",
    "RbflexEvoError",
    "Registry",
    "RunError",
    "SearchSpace",
    "TableError",
    "UnknownNameError",
    "VectorEncoding",
    "create_space",
    "deap_random",
    "near_name",
    "parse",
]
