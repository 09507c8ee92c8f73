"""A tiny space of networks that read words, for tests: two layers of words alike, each with one of four activations."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from rbflex_evo.spaces import Genotype, GenotypeError, Parameters, SearchSpace, VectorEncoding

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}


class TinyWordsParameters(Parameters):
    """Words of a sentence, and word ids."""

    length: int = Field(6, ge=1)
    vocabulary: int = Field(40, ge=2)


class Reader(nn.Module):
    """Embeds words, passes each through two layers, and classifies the mean of those that are no padding."""

    def __init__(self, names: list[str], vocabulary: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, 12, padding_idx=0)
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(12, 12), ACTIVATIONS[name]()) for name in names)
        self.classifier = nn.Linear(12, 2)

    def forward(self, words: Tensor) -> Tensor:
        there = (words != 0).unsqueeze(-1)
        x = self.embedding(words)
        for layer in self.layers:
            x = layer(x) * there
        return self.classifier(x.sum(dim=1) / there.sum(dim=1).clamp(min=1))


class TinyWords(SearchSpace):
    """Sixteen networks that read words."""

    name = "tiny_words"
    description = "sixteen networks that read words"
    inputs = "words"
    Parameters = TinyWordsParameters
    parameters: TinyWordsParameters

    def __init__(self, parameters: TinyWordsParameters | None = None) -> None:
        super().__init__(parameters)
        self.input_shape = (self.parameters.length,)
        self.vocabulary = self.parameters.vocabulary
        self.encoding = VectorEncoding([len(ACTIVATIONS)] * 2)

    def build(self, genotype: Genotype) -> nn.Module:
        return Reader(self.notation(genotype).split("-"), self.vocabulary)

    def notation(self, genotype: Genotype) -> str:
        return "-".join(list(ACTIVATIONS)[gene] for gene in genotype)

    def parse(self, text: str) -> Genotype:
        names = text.split("-")
        if len(names) != 2 or not ACTIVATIONS.keys() >= set(names):
            raise GenotypeError(f"{text!r} is no reader; expected two activations, as in 'relu-gelu'")
        return tuple(list(ACTIVATIONS).index(name) for name in names)
