"""Orders of the layers of a residual block, of which He et al. (2016, arXiv 1603.05027) compared five."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from rbflex_evo.spaces import Drawing, Genotype, GenotypeError, Parameters, SearchSpace, near_name

from .encoding import PermutationEncoding

if TYPE_CHECKING:
    from torch import nn

LAYERS = ("conv3.1", "conv3.2", "conv1.1", "norm.1", "norm.2", "relu.1", "relu.2")


class LayerOrderParameters(Parameters):
    width: int = Field(16, ge=1)
    stages: int = Field(3, ge=1)
    classes: int = Field(10, ge=2)


class LayerOrders(SearchSpace):
    """Small residual networks whose blocks apply seven layers in the order of the genotype."""

    name = "layer_orders"
    description = "orders of the seven layers of a residual block"
    Parameters = LayerOrderParameters
    encoding = PermutationEncoding(len(LAYERS))

    def build(self, genotype: Genotype) -> nn.Module:
        from .network import residual_network

        return residual_network(self.key(genotype).split("-"), **self.parameters.model_dump())

    def notation(self, genotype: Genotype) -> str:
        return "-".join(LAYERS[gene] for gene in genotype)

    def parse(self, text: str) -> Genotype:
        names = text.split("-")
        for name in names:
            if name not in LAYERS:
                raise GenotypeError(f"unknown layer {name!r}{near_name(name, LAYERS)}")
        return self.encoding.repair([LAYERS.index(name) for name in names])

    def key(self, genotype: Genotype) -> str:  # which of two equal layers comes first makes no difference
        return "-".join(LAYERS[gene].partition(".")[0] for gene in genotype)

    def representative(self, key: str) -> Genotype:
        kinds = key.split("-")
        return self.parse("-".join(f"{kind}.{kinds[: i + 1].count(kind)}" for i, kind in enumerate(kinds)))

    def drawing(self, genotype: Genotype) -> Drawing:
        nodes = ("input", *self.key(genotype).split("-"), "output")
        chain = [(place, place + 1, "", True) for place in range(8)]
        return Drawing(nodes, (*chain, (0, 8, "identity", True)), self.notation(genotype))
