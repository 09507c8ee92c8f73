"""The base class of the spaces of two cells: networks, costs and drawings."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from rbflex_evo.spaces.architecture.drawing import Drawing, Panel
from rbflex_evo.spaces.encodings.dag import carrying
from rbflex_evo.spaces.encodings.encoding import Genotype
from rbflex_evo.spaces.parameters import Parameters as AnyParameters
from rbflex_evo.spaces.space import Costs, SearchSpace

from .cells import CellEdges, CellPlan, TwoCellEncoding, canonical, every
from .costs import cell_network_costs
from .notation import read_cell
from .operations import NONE

if TYPE_CHECKING:
    from torch import nn

    from .network import CellNetwork

CLASSES = {"cifar": 10, "imagenet": 1000}


class FormParameters(AnyParameters):
    """Images and classifier of the spaces of two cells.

    Attributes:
        form: ``cifar`` (32 x 32 images) or ``imagenet`` (224 x 224 images, which the stem reduces to an eighth).
        classes: Outputs of the classifier; null is 10 for CIFAR and 1,000 for ImageNet.
    """

    form: Literal["cifar", "imagenet"] = "cifar"
    classes: int | None = Field(default=None, ge=2)

    @model_validator(mode="before")
    @classmethod
    def _of_form(cls, values: Any) -> Any:
        return with_defaults(values, {"classes": CLASSES})


def with_defaults(values: Any, defaults: Mapping[str, Mapping[str, int]]) -> Any:
    """Returns parameters with null or missing values set to the defaults of the form, so that identities are unique."""
    form = values.get("form", "cifar") if isinstance(values, dict) else None
    if not isinstance(form, str) or form not in CLASSES:
        return values
    return values | {name: of_form[form] for name, of_form in defaults.items() if values.get(name) is None}


class CellSpace(SearchSpace):
    """A space of two cells, whose nodes add two edges with one of `operations` each.

    The features are averages of maps that were normalised by the statistics of each image without a later activation, so they are
    mostly round-off errors. Scores that read features therefore only read activations on these spaces.
    """

    operations: ClassVar[tuple[str, ...]]
    nodes: ClassVar[int]
    features = "none"
    encoding: TwoCellEncoding
    parameters: FormParameters

    def __init__(self, parameters: AnyParameters | None = None) -> None:
        super().__init__(parameters)
        self.large = self.parameters.form == "imagenet"
        self.input_shape = (3, 224, 224) if self.large else (3, 32, 32)

    @property
    def classes(self) -> int:
        """Outputs of the classifier."""
        return self.parameters.classes or CLASSES[self.parameters.form]

    @abstractmethod
    def size(self, genotype: Genotype) -> tuple[int, int]:
        """Returns the channels of the first cells and the number of cells of the network."""

    @abstractmethod
    def widest(self) -> int:
        """Returns the largest number of channels of the first cells."""

    def output(self, cell: CellEdges) -> tuple[int, ...]:
        """Returns the states that the output of a cell concatenates."""
        return every(cell)

    def key(self, genotype: Genotype) -> str:
        """Returns the notation with both cells in canonical form: nodes renumbered and the edges of a node sorted."""
        zero = self.operations.index(NONE) if NONE in self.operations else None
        normal, reduce = (canonical(cell, zero) for cell in self.encoding.cells(genotype))
        return self.notation(self.encoding.genotype(normal, reduce, self.encoding.chosen(genotype)))

    def build(self, genotype: Genotype) -> CellNetwork:
        """Builds the raw network of a genotype."""
        from .network import CellNetwork

        normal, reduce = map(self._plan, self.encoding.cells(genotype))
        return CellNetwork(normal, reduce, *self.size(genotype), self.classes, self.large)

    def costs(self, genotype: Genotype, input_shape: Sequence[int] | None = None) -> Costs:
        """Counts parameters and multiply-accumulates of the raw network from its shapes."""
        normal, reduce = map(self._plan, self.encoding.cells(genotype))
        shape = input_shape or self.input_shape
        return cell_network_costs(normal, reduce, *self.size(genotype), self.classes, self.large, shape)

    def blocks(self, network: nn.Module) -> Sequence[nn.Module]:
        """Returns the parts of the stem, and the cells."""
        stem = [network.stem0, network.stem1] if self.large else [network.stem]
        return [*stem, *network.cells.values()]  # type: ignore[list-item,operator]

    def weight_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Returns the largest shape of each parameter whose shape differs between networks."""
        width = self.widest()
        half, features = width // 2, 4 * width * self.nodes
        stems = (
            {"stem0.0": (half, 3), "stem0.1": (half,), "stem0.3": (width, half), "stem0.4": (width,)}
            | {"stem1.1": (width, width), "stem1.2": (width,)}
            if self.large
            else {"stem.0": (3 * width, 3), "stem.1": (3 * width,)}
        )
        shapes: dict[str, tuple[int, ...]] = {}
        for name, shape in stems.items():
            shapes[f"{name}.weight"] = (*shape, 3, 3) if len(shape) == 2 else shape
            if len(shape) == 1:
                shapes[f"{name}.bias"] = shape
        return shapes | {"classifier.weight": (self.classes, features), "classifier.bias": (self.classes,)}

    def drawing(self, genotype: Genotype) -> Drawing:
        """Returns the architecture as a graph."""
        nodes: list[str] = []
        edges: list[tuple[int, int, str, bool]] = []
        panels = []
        for title, cell in zip(("normal cell", "reduction cell"), self.encoding.cells(genotype), strict=True):
            start, last = len(nodes), len(nodes) + len(cell) + 2
            nodes += ["cell k-2", "cell k-1", *(f"node {state}" for state in every(cell)), "concat"]
            panels.append(Panel(title, len(cell) + 3, inputs=2))
            drawn = [
                (start + state, target, self.operations[position])
                for target, pair in enumerate(cell, start=start + 2)
                for state, position in pair
            ]
            drawn += [(start + state, last, "") for state in self.output(cell)]
            connected = [(source, target) for source, target, operation in drawn if operation != NONE]
            live = dict(zip(connected, carrying(connected, {start, start + 1}, last), strict=True))
            edges += [
                (source, target, operation, operation != NONE and live[source, target]) for source, target, operation in drawn
            ]
        return Drawing(tuple(nodes), tuple(edges), self.notation(genotype), tuple(panels))

    def written(self, cell: CellEdges) -> list[tuple[str, int]]:
        """Returns the edges of a cell as (operation, state) pairs, as in the notations."""
        return [(self.operations[position], state) for edges in cell for state, position in edges]

    def read(self, fields: Mapping[str, Any], cell: str) -> CellEdges:
        """Reads one cell from the fields of a notation.

        Raises:
            GenotypeError: If an edge or a field is invalid.
        """
        return read_cell(fields, cell, self.nodes, self.operations, self.output)

    def _plan(self, cell: CellEdges) -> CellPlan:
        nodes = tuple(tuple((state, self.operations[position]) for state, position in edges) for edges in cell)
        return CellPlan(nodes, self.output(cell))
