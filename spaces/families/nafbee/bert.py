"""NAFBee (BERT): the activation function between the two linear layers of each layer of BERT-base (Yamasaki et al. 2025).

    11 networks for SST-2, or 11^12 with `per_layer`: one gene for each of the 12 layers

The tanh before the classifier is fixed. Sentences have 50 words, as in the published script of RBFleX. By default, all weights are
drawn. That script starts from a network that was fine-tuned on SST-2 and draws only the matrices of its linear layers
(xavier_uniform): ``weights: FILE`` with ``pretrained: published``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from rbflex_evo.spaces.architecture.drawing import Drawing, chain_drawing
from rbflex_evo.spaces.encodings.encoding import Genotype
from rbflex_evo.spaces.errors import ConfigError
from rbflex_evo.spaces.parameters import Parameters as AnyParameters
from rbflex_evo.spaces.space import Costs

from .activations import ACTIVATIONS, ActivationGenes, ActivationSpace

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .bert_network import BertNetwork


class BertParameters(AnyParameters):
    """Genes, size and initial weights of the BERT space.

    Attributes:
        per_layer: Whether each layer has its own activation.
        classes: Outputs of the classifier.
        layers: Number of layers, each of attention and two linear layers.
        hidden: Width of every layer; the inner layer is four times as wide.
        heads: Number of attention heads, a divisor of `hidden`.
        length: Number of words of a sentence, padding included.
        vocabulary: Number of word ids, padding included.
        weights: State dictionary of transformers' BERT (``pytorch_model.bin``) with initial weights; None draws all weights.
        pretrained: Which of these weights are used: ``all``, or all but the matrices of linear layers, as in the ``published``
            script.
    """

    per_layer: bool = False
    classes: int = Field(default=2, ge=2)
    layers: int = Field(default=12, ge=1)
    hidden: int = Field(default=768, ge=1)
    heads: int = Field(default=12, ge=1)
    length: int = Field(default=50, ge=1, le=512)
    vocabulary: int = Field(default=30522, ge=2)
    weights: str | None = None
    pretrained: Literal["all", "published"] = "all"

    @model_validator(mode="after")
    def _shared_evenly(self) -> BertParameters:
        if self.hidden % self.heads:
            raise ValueError(f"{self.heads} 'heads' do not share a 'hidden' of {self.hidden} evenly")
        return self


class BertSpace(ActivationSpace):
    """BERT networks; a gene chooses the activation of all layers, or of one layer."""

    name = "nafbee_bert"
    description = "NAFBee: BERT-base on SST-2 with one of 11 activations, or with `per_layer` one for each of 12 layers"
    Parameters = BertParameters
    parameters: BertParameters
    inputs = "words"

    def __init__(self, parameters: AnyParameters | None = None) -> None:
        super().__init__(parameters)
        self.input_shape = (self.parameters.length,)
        self.vocabulary = self.parameters.vocabulary
        self.genes = ActivationGenes(self.name, self.parameters.layers, self.parameters.per_layer)
        self.encoding = self.genes.encoding()

    @property
    def identity(self) -> dict[str, object]:
        """Identity of the space, with a digest of the file of weights in place of its path."""
        return {**super().identity, "weights": self._weights_digest}

    @cached_property
    def _weights_digest(self) -> str | None:
        if self.parameters.weights is None:
            return None
        digest = hashlib.sha256()
        try:
            with open(self.parameters.weights, "rb") as file:
                while chunk := file.read(2**20):
                    digest.update(chunk)
        except OSError as error:
            raise ConfigError(f"cannot read space.weights: {error}") from None
        return digest.hexdigest()

    def build(self, genotype: Genotype) -> BertNetwork:
        """Builds the raw network of a genotype."""
        from .bert_network import BertNetwork

        p = self.parameters
        return BertNetwork(p.vocabulary, p.hidden, p.heads, self.genes.names(genotype), p.classes)

    def known_weights(self) -> Mapping[str, Tensor]:
        """Returns the weights of the file by parameter name, or none if the space has no file."""
        if self.parameters.weights is None:
            return {}
        import torch

        from .bert_weights import read_weights

        with torch.device("meta"):
            network = self.build(self.parse(ACTIVATIONS[0]))
        return read_weights(self.parameters.weights, network, self.parameters.pretrained)

    def blocks(self, network: nn.Module) -> Sequence[nn.Module]:
        """Returns the embeddings and the layers."""
        return [network.embeddings, *network.layers]  # type: ignore[list-item,misc]

    def costs(self, genotype: Genotype, input_shape: Sequence[int] | None = None) -> Costs:
        """Counts from the shapes; activations have no parameters and no multiplications, so all networks have equal costs."""
        from .bert_network import POSITIONS, SEGMENTS, WIDENING

        self.encoding.validate(genotype)
        p = self.parameters
        shape = tuple(input_shape or self.input_shape)
        if len(shape) != 1 or not 1 <= shape[0] <= POSITIONS:
            raise ConfigError(f"expected sentences of shape [words], at most {POSITIONS}, but they are {list(shape)}")
        length, hidden, inner = shape[0], p.hidden, WIDENING * p.hidden
        matrices = 4 * hidden * hidden + 2 * hidden * inner
        biases_and_norms = 5 * hidden + inner + 4 * hidden
        embeddings = (p.vocabulary + POSITIONS + SEGMENTS + 2) * hidden
        head = (hidden + 1) * hidden + (hidden + 1) * p.classes
        attention = 2 * length * length * hidden
        return Costs(
            params=float(embeddings + p.layers * (matrices + biases_and_norms) + head),
            flops=float(p.layers * (length * matrices + attention) + hidden * hidden + hidden * p.classes),
        )

    def drawing(self, genotype: Genotype) -> Drawing:
        """Returns the architecture as a graph."""
        layers = [f"attention\n{name}" for name in self.genes.names(genotype)]
        return chain_drawing(
            ("input", f"words\n{self.parameters.hidden}", *layers, "first word\nTanh", "classifier"), self.notation(genotype)
        )
