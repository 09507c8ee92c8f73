"""The eleven activation functions of NAFBee (Yamasaki et al. 2025, arXiv 2503.22733, section IV-H) as genes.

    one for all layers    ReLU                       the names of the benchmark: 11 genotypes
    one for each layer    ReLU-GELU-...-Mish         one name for each layer, from the input on; a single name applies to all layers

CELU with its default alpha of 1 equals ELU, so the two share a key: 10 distinct networks, or 10 to the power of the layers.
"""

from __future__ import annotations

from dataclasses import dataclass

from rbflex_evo.spaces.encodings.encoding import Genotype
from rbflex_evo.spaces.encodings.vector import VectorEncoding
from rbflex_evo.spaces.errors import GenotypeError, near_name, shown
from rbflex_evo.spaces.space import SearchSpace

# In the order of the benchmark, which counts from 1; each is the torch module of that name with default arguments.
ACTIVATIONS = (
    "ReLU", "GELU", "SiLU", "LeakyReLU", "ReLU6", "Mish", "Hardswish", "CELU", "ELU", "Hardtanh", "SELU",
)  # fmt: skip
SEPARATOR = "-"
# Functions that are equal to another one.
SAME = {ACTIVATIONS.index("CELU"): ACTIVATIONS.index("ELU")}


@dataclass(frozen=True)
class ActivationGenes:
    """Genes that choose activation functions, as positions in `ACTIVATIONS`.

    Attributes:
        space: Name of the space, for error messages.
        layers: Number of layers whose activation is chosen.
        per_layer: Whether each layer has its own gene, or one gene applies to all layers.
    """

    space: str
    layers: int
    per_layer: bool

    def encoding(self) -> VectorEncoding:
        """Returns the encoding, with one gene for each layer or a single one."""
        names = [f"activation {i + 1}" for i in range(self.layers)] if self.per_layer else ["activation"]
        return VectorEncoding([len(ACTIVATIONS)] * len(names), names)

    def names(self, genotype: Genotype) -> list[str]:
        """Returns the name of the activation of each layer, [layers]."""
        self.encoding().validate(genotype)
        return [ACTIVATIONS[gene] for gene in (genotype if self.per_layer else genotype * self.layers)]

    def notation(self, genotype: Genotype) -> str:
        """Writes the names of the activation functions."""
        self.encoding().validate(genotype)
        return SEPARATOR.join(ACTIVATIONS[gene] for gene in genotype)

    def parse(self, text: str) -> Genotype:
        """Reads one name for each gene, or one name for all layers.

        Raises:
            GenotypeError: If a name is unknown, or the number of names is wrong.
        """
        names = text.strip().split(SEPARATOR)
        for name in names:
            if name not in ACTIVATIONS:
                raise GenotypeError(f"unknown activation {shown(name)} in {shown(text)}{near_name(name, ACTIVATIONS)}")
        if self.per_layer and len(names) == 1:
            names *= self.layers
        expected = self.layers if self.per_layer else 1
        if len(names) != expected:
            each = "one for each layer"
            wanted = f"{expected}, {each}, or one name for all" if self.per_layer else f"one (with per_layer: true {each})"
            raise GenotypeError(f"{shown(text)} has {len(names)} activations, but a network of {self.space} has {wanted}")
        return tuple(ACTIVATIONS.index(name) for name in names)

    def canonical(self, genotype: Genotype) -> Genotype:
        """Returns the genotype with each function replaced by the first one that is equal to it."""
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
