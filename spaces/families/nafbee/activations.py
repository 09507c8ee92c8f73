"""The eleven activation functions of NAFBee (Yamasaki et al. 2025, arXiv 2503.22733, section IV-H) as genes and in words.

    one for all layers    ReLU                       the benchmark's own names: 11 genotypes
    one a layer           ReLU-GELU-...-Mish         a name for each layer, from the input on; one name alone stands for all layers

CELU with its default alpha of 1 is ELU, so the two share a key: 10 distinct networks, or 10 to the power of the layers.
"""

from __future__ import annotations

from dataclasses import dataclass

from rbflex_evo.spaces.encodings.encoding import Genotype
from rbflex_evo.spaces.encodings.vector import VectorEncoding
from rbflex_evo.spaces.errors import GenotypeError, near_name
from rbflex_evo.spaces.space import SearchSpace

# In the benchmark's order, which counts them from 1; each is torch's module of that name with its defaults.
ACTIVATIONS = (
    "ReLU", "GELU", "SiLU", "LeakyReLU", "ReLU6", "Mish", "Hardswish", "CELU", "ELU", "Hardtanh", "SELU",
)  # fmt: skip
SEPARATOR = "-"
# Functions that are another one of them.
SAME = {ACTIVATIONS.index("CELU"): ACTIVATIONS.index("ELU")}


@dataclass(frozen=True)
class ActivationGenes:
    """Genotypes that choose activation functions, positions in `ACTIVATIONS`.

    Attributes:
        space: its name, for errors.
        layers: how many layers have an activation that is chosen.
        per_layer: whether every layer has a gene of its own, or one gene is for all of them.
    """

    space: str
    layers: int
    per_layer: bool

    def encoding(self) -> VectorEncoding:
        """Returns the encoding: a gene for each layer, or one."""
        names = [f"activation {i + 1}" for i in range(self.layers)] if self.per_layer else ["activation"]
        return VectorEncoding([len(ACTIVATIONS)] * len(names), names)

    def names(self, genotype: Genotype) -> list[str]:
        """Returns the name of every layer's activation, [layers]."""
        self.encoding().validate(genotype)
        return [ACTIVATIONS[gene] for gene in (genotype if self.per_layer else genotype * self.layers)]

    def notation(self, genotype: Genotype) -> str:
        """Writes the genes' names."""
        self.encoding().validate(genotype)
        return SEPARATOR.join(ACTIVATIONS[gene] for gene in genotype)

    def parse(self, text: str) -> Genotype:
        """Reads a name, or in the form of one a layer as many names as there are layers, or one for all.

        Raises:
            GenotypeError: for an unknown name, or another number of names.
        """
        names = text.strip().split(SEPARATOR)
        for name in names:
            if name not in ACTIVATIONS:
                raise GenotypeError(f"unknown activation {name!r} in {text!r}{near_name(name, ACTIVATIONS)}")
        if self.per_layer and len(names) == 1:
            names *= self.layers
        expected = self.layers if self.per_layer else 1
        if len(names) != expected:
            wanted = f"{expected}, one a layer, or one name for all" if self.per_layer else "one (with per_layer: true one a layer)"
            raise GenotypeError(f"{text!r} has {len(names)} activations, but a network of {self.space} has {wanted}")
        return tuple(ACTIVATIONS.index(name) for name in names)

    def canonical(self, genotype: Genotype) -> Genotype:
        """Returns the genotype with each function that is another one replaced by that one."""
        self.encoding().validate(genotype)
        return tuple(SAME.get(gene, gene) for gene in genotype)


class ActivationSpace(SearchSpace):
    """A space whose genotypes choose activation functions; subclasses set `genes` and build the networks."""

    genes: ActivationGenes

    def notation(self, genotype: Genotype) -> str:
        """Writes the names of the activation functions."""
        return self.genes.notation(genotype)

    def parse(self, text: str) -> Genotype:
        """Reads the names of the activation functions, or one name for all layers."""
        return self.genes.parse(text)

    def key(self, genotype: Genotype) -> str:
        """Returns the notation with ELU in place of CELU, which is the same function."""
        return self.notation(self.genes.canonical(genotype))
