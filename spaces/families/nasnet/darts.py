"""The space of DARTS (Liu, Simonyan & Yang 2019, arXiv 1806.09055): two cells of four nodes with seven operations.

Each node reads two different states, which gives (7^8 * 1 * 3 * 6 * 10)^2 = 1.08e18 pairs of cells, a few of them equal up to the
order of nodes. Networks have the size that is trained from scratch: 36 channels and 20 cells on CIFAR, 48 and 14 on ImageNet.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from rbflex_evo.spaces.encodings.encoding import Genotype
from rbflex_evo.spaces.parameters import Parameters as AnyParameters

from .cells import TwoCellEncoding
from .notation import genotype_fields
from .space import CLASSES, CellSpace, FormParameters, with_defaults

OPERATIONS = (
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
CHANNELS = {"cifar": 36, "imagenet": 48}
LAYERS = {"cifar": 20, "imagenet": 14}


class DartsParameters(FormParameters):
    """Form and size of the networks; null is the published value of the form.

    Attributes:
        channels: Channels of the nodes of the first cells.
        layers: Number of cells.
    """

    channels: int | None = Field(default=None, ge=2)
    layers: int | None = Field(default=None, ge=3)

    @model_validator(mode="before")
    @classmethod
    def _of_form(cls, values: Any) -> Any:
        return with_defaults(values, {"classes": CLASSES, "channels": CHANNELS, "layers": LAYERS})


class DartsSpace(CellSpace):
    """DARTS cells in the CIFAR or ImageNet network, without auxiliary head."""

    name = "darts"
    description = "DARTS: normal and reduction cell of 4 nodes, two of 7 operations each, 1.1e18 networks for CIFAR or ImageNet"
    Parameters = DartsParameters
    parameters: DartsParameters
    operations = OPERATIONS
    nodes = 4

    def __init__(self, parameters: AnyParameters | None = None) -> None:
        super().__init__(parameters)
        self.encoding = TwoCellEncoding(self.nodes, len(self.operations), distinct=True)

    def size(self, genotype: Genotype) -> tuple[int, int]:
        """Returns the channels of the first cells and the number of cells."""
        form = self.parameters.form
        return self.parameters.channels or CHANNELS[form], self.parameters.layers or LAYERS[form]

    def widest(self) -> int:
        """Returns the largest number of channels of the first cells."""
        return self.parameters.channels or CHANNELS[self.parameters.form]

    def notation(self, genotype: Genotype) -> str:
        """Writes a genotype as DARTS's ``Genotype(...)`` expression."""
        normal, reduce = map(self.written, self.encoding.cells(genotype))
        concat = f"range(2, {self.nodes + 2})"
        return f"Genotype(normal={normal}, normal_concat={concat}, reduce={reduce}, reduce_concat={concat})"

    def parse(self, text: str) -> Genotype:
        """Reads a published ``Genotype(...)`` expression; the edges of a node may be in any order."""
        fields = genotype_fields(text)
        return self.encoding.genotype(self.read(fields, "normal"), self.read(fields, "reduce"))
