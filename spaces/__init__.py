"""Search spaces: genes and their operators, the networks that they stand for, and what is known about those networks."""

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
from .space import Cell, Costs, SearchSpace

SPACES = Registry("space")
SPACES.register("nats_tss", "spaces.nats:TopologySpace")
SPACES.register("nats_sss", "spaces.nats:SizeSpace")
SPACES.register("darts", "spaces.darts:DartsSpace")
SPACES.register("nds_amoeba", "spaces.nds:NdsAmoeba")
SPACES.register("nds_darts", "spaces.nds:NdsDarts")
SPACES.register("nds_enas", "spaces.nds:NdsEnas")
SPACES.register("nds_nasnet", "spaces.nds:NdsNasnet")
SPACES.register("nds_pnas", "spaces.nds:NdsPnas")
SPACES.register("nds_resnet", "spaces.nds_resnet:NdsResnet")
SPACES.register("nasbench101", "spaces.nasbench101:NasBench101Space")
SPACES.register("nasbench_macro", "spaces.nasbench_macro:MacroSpace")
SPACES.register("mobilenet", "spaces.mobilenet:MobileNetSpace")
SPACES.register("nafbee_bert", "spaces.nafbee_bert:BertSpace")
SPACES.register("nafbee_vgg11", "spaces.nafbee_vgg:Vgg11Space")
SPACES.register("nafbee_vgg19", "spaces.nafbee_vgg:Vgg19Space")
SPACES.register("transnas_macro", "spaces.transnas:MacroSpace")
SPACES.register("transnas_micro", "spaces.transnas:MicroSpace")
SPACES.register("toy", "spaces.toy:ToySpace")

TABLES = Registry("table")
TABLES.register("nats_bench", "spaces.nats_table:NatsBenchTable")
TABLES.register("analog_nasbench", "spaces.analog_table:AnalogNasBenchTable")
TABLES.register("npz", "spaces.tables:NpzTable")
TABLES.register("csv", "spaces.tables:CsvTable")
TABLES.register("nasbench101", "spaces.nasbench101_table:NasBench101Table")
TABLES.register("nds", "spaces.nds_table:NdsTable")
TABLES.register("nafbee", "spaces.nafbee_table:NafbeeTable")
TABLES.register("transnas101", "spaces.transnas_table:TransNasTable")



def create_space(name: str, **values: object) -> SearchSpace:
    """Returns the registered space `name` with those parameters.

    Raises:
        UnknownNameError: if no space has that name.
        ConfigError: if a parameter is unknown or of a wrong type.
    """
    space = SPACES.get(name)
    return space(parse(space.Parameters, values, f"space.{name}"))


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
