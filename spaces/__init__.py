"""Search spaces: genes and their operators, the networks that they stand for, and what is known about those networks."""

from .encoding import Encoding, Genotype, VectorEncoding, deap_random
from .errors import (
    ConfigError,
    DataError,
    DeviceError,
    GenotypeError,
    RbflexEvoError,
    RunError,
    TableError,
    UnknownNameError,
    near_name,
)
from .parameters import Parameters, parse
from .registry import Registry
from .space import Costs, Drawing, SearchSpace

spaces = Registry("space")
spaces.register("nats_tss", "spaces.nats:TopologySpace")
spaces.register("nats_sss", "spaces.nats:SizeSpace")
spaces.register("toy", "spaces.toy:ToySpace")

tables = Registry("table")
tables.register("nats_bench", "spaces.tables:NatsBenchTable")
tables.register("analog_nasbench", "spaces.tables:AnalogNasBenchTable")
tables.register("npz", "spaces.tables:NpzTable")
tables.register("csv", "spaces.tables:CsvTable")


def create_space(name: str, **values: object) -> SearchSpace:
    """Returns the registered space `name` with those parameters.

    Raises:
        UnknownNameError: if no space has that name.
        ConfigError: if a parameter is unknown or of a wrong type.
    """
    space = spaces.get(name)
    return space(parse(space.Parameters, values, f"space.{name}"))


__all__ = [
    "ConfigError",
    "Costs",
    "DataError",
    "DeviceError",
    "Drawing",
    "Encoding",
    "Genotype",
    "GenotypeError",
    "Parameters",
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
    "spaces",
    "tables",
]
