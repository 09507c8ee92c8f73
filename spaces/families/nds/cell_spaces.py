"""The cell-based spaces of Radosavovic et al. (2019, "On network design spaces for visual recognition", arXiv 1905.13214).

They share one construction with different cells. The two edges of a node are independent, so both may read the same state.

    space    operations  nodes  output        cells of one kind
    nasnet   13          5      unused nodes  71,465,842 billion
    amoeba    8          5      unused nodes     556,628 billion
    pnas      8          5      all nodes        556,628 billion
    enas      5          5      unused nodes       5,063 billion
    darts     8          4      all nodes            242 billion

Cells are counted as in the paper, (operations * states)^2 over the nodes. In addition, every network has a depth (number of cells)
and a width (channels of the first cells).
"""

from __future__ import annotations

import json
from typing import Annotated, ClassVar

from pydantic import Field

from rbflex_evo.spaces.encodings.encoding import Genotype
from rbflex_evo.spaces.errors import GenotypeError, shown
from rbflex_evo.spaces.families.nasnet.cells import CellEdges, TwoCellEncoding, every, unused
from rbflex_evo.spaces.families.nasnet.notation import choice, record_fields
from rbflex_evo.spaces.families.nasnet.space import CellSpace, FormParameters
from rbflex_evo.spaces.parameters import Parameters as AnyParameters

DEPTHS = [4, 8, 12, 16, 20]
WIDTHS = [16, 24, 32]
RECORD = '{"net": {"depth": 8, "width": 16, "genotype": {"normal": [["skip_connect", 0], ...], "normal_concat": [2, ...], ...}}}'


class NdsCellParameters(FormParameters):
    """Form and classes, and the values of depth and width.

    Attributes:
        depths: Numbers of cells to choose from.
        widths: Channels of the nodes of the first cells to choose from.
    """

    depths: list[Annotated[int, Field(ge=3)]] = Field(default=DEPTHS, min_length=1)
    widths: list[Annotated[int, Field(ge=2)]] = Field(default=WIDTHS, min_length=1)


class NdsCellSpace(CellSpace):
    """A space of two cells, a depth and a width; subclasses set the operations and the output of cells."""

    Parameters = NdsCellParameters
    parameters: NdsCellParameters
    nodes = 5
    loose: ClassVar[bool] = True

    def __init__(self, parameters: AnyParameters | None = None) -> None:
        super().__init__(parameters)
        choices = {"depth": len(self.parameters.depths), "width": len(self.parameters.widths)}
        self.encoding = TwoCellEncoding(self.nodes, len(self.operations), distinct=False, choices=choices)

    def output(self, cell: CellEdges) -> tuple[int, ...]:
        """Returns the states that the output of a cell concatenates."""
        return unused(cell) if self.loose else every(cell)

    def size(self, genotype: Genotype) -> tuple[int, int]:
        """Returns the channels of the first cells and the number of cells."""
        depth, width = self.encoding.chosen(genotype)
        return self.parameters.widths[width], self.parameters.depths[depth]

    def widest(self) -> int:
        """Returns the largest number of channels of the first cells."""
        return max(self.parameters.widths)

    def notation(self, genotype: Genotype) -> str:
        """Writes a genotype as a record of the NDS files."""
        normal, reduce = self.encoding.cells(genotype)
        width, depth = self.size(genotype)
        fields = {
            "normal": self.written(normal),
            "normal_concat": self.output(normal),
            "reduce": self.written(reduce),
            "reduce_concat": self.output(reduce),
        }
        return json.dumps({"net": {"depth": depth, "width": width, "aux": False, "genotype": fields}})

    def parse(self, text: str) -> Genotype:
        """Reads a record of the NDS files or its ``net``; fields that do not describe the network are ignored."""
        net = record_fields(text, RECORD)
        cells = net.get("genotype")
        if not isinstance(cells, dict):
            raise GenotypeError(f"{shown(text, 60)} has no genotype; expected JSON like {RECORD}")
        chosen = [
            choice(net, "depth", self.parameters.depths, "depths"),
            choice(net, "width", self.parameters.widths, "widths"),
        ]
        return self.encoding.genotype(self.read(cells, "normal"), self.read(cells, "reduce"), chosen)


class NdsDarts(NdsCellSpace):
    """Cells with the operations of DARTS, including ``none``."""

    name = "nds_darts"
    description = "NDS DARTS: two cells of 4 nodes, 8 operations, all nodes out, with depth and width"
    operations = (
        "none",
        "max_pool_3x3",
        "avg_pool_3x3",
        "skip_connect",
        "sep_conv_3x3",
        "sep_conv_5x5",
        "dil_conv_3x3",
        "dil_conv_5x5",
    )
    nodes = 4
    loose = False


class NdsEnas(NdsCellSpace):
    """Cells with the operations of ENAS."""

    name = "nds_enas"
    description = "NDS ENAS: two cells of 5 nodes, 5 operations, unused nodes out, with depth and width"
    operations = ("skip_connect", "sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3")


class NdsAmoeba(NdsCellSpace):
    """Cells with the operations of AmoebaNet."""

    name = "nds_amoeba"
    description = "NDS AmoebaNet: two cells of 5 nodes, 8 operations, unused nodes out, with depth and width"
    operations = (
        "skip_connect",
        "sep_conv_3x3",
        "sep_conv_5x5",
        "sep_conv_7x7",
        "avg_pool_3x3",
        "max_pool_3x3",
        "dil_sep_conv_3x3",
        "conv_7x1_1x7",
    )


class NdsNasnet(NdsCellSpace):
    """Cells with the operations of NASNet."""

    name = "nds_nasnet"
    description = "NDS NASNet: two cells of 5 nodes, 13 operations, unused nodes out, with depth and width"
    operations = (
        "skip_connect",
        "conv_3x1_1x3",
        "conv_7x1_1x7",
        "dil_conv_3x3",
        "avg_pool_3x3",
        "max_pool_3x3",
        "max_pool_5x5",
        "max_pool_7x7",
        "conv_1x1",
        "conv_3x3",
        "sep_conv_3x3",
        "sep_conv_5x5",
        "sep_conv_7x7",
    )


class NdsPnas(NdsCellSpace):
    """Cells with the operations of PNAS."""

    name = "nds_pnas"
    description = "NDS PNAS: two cells of 5 nodes, 8 operations, all nodes out, with depth and width"
    operations = (
        "sep_conv_3x3",
        "sep_conv_5x5",
        "sep_conv_7x7",
        "conv_7x1_1x7",
        "skip_connect",
        "avg_pool_3x3",
        "max_pool_3x3",
        "dil_conv_3x3",
    )
    loose = False
