"""Search spaces: encodings of genotypes, the networks that genotypes describe, and tables of known accuracies."""

from importlib import import_module
from typing import Any

from rbflex_evo.spaces.architecture.drawing import Drawing, Panel
from rbflex_evo.spaces.encodings.encoding import Encoding, Genotype, Variable
from rbflex_evo.spaces.encodings.vector import VectorEncoding, deap_random
from rbflex_evo.spaces.errors import (
    CandidateFailed,
    ConfigError,
    DataError,
    DeviceError,
    FailedError,
    FileError,
    GenotypeError,
    PluginError,
    RbflexEvoError,
    RunError,
    TableError,
    UnknownNameError,
    file_error,
    near_name,
)
from rbflex_evo.spaces.parameters import Parameters, parse, refuse_without_effect
from rbflex_evo.spaces.registry import Registry
from rbflex_evo.spaces.space import SPACES, Cell, Costs, SearchSpace, create_space

TABLES: Registry


def __getattr__(name: str) -> Any:
    # Loaded lazily: modules that score and search import this package and must not reach known accuracies.
    if name == "TABLES":
        return getattr(import_module("rbflex_evo.spaces.tables.table"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "SPACES",
    "TABLES",
    "CandidateFailed",
    "Cell",
    "ConfigError",
    "Costs",
    "DataError",
    "DeviceError",
    "Drawing",
    "Encoding",
    "FailedError",
    "FileError",
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
    "Variable",
    "VectorEncoding",
    "create_space",
    "deap_random",
    "file_error",
    "near_name",
    "parse",
    "refuse_without_effect",
]
