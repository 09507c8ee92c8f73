"""BERT for the classification of sentences (Devlin et al. 2019, arXiv 1810.04805), with a given activation in every layer.

Word 0 is padding, which is masked in the attention. Every sentence is one segment. Layer normalisation keeps sentences
independent of each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from rbflex_evo.spaces.architecture.chain import Stage, run_chain

# Numbers of position and segment embeddings, as in the published networks.
POSITIONS, SEGMENTS = 512, 2
# Ratio of the width of the inner layer to that of the others.
WIDENING = 4
EPSILON, DROPOUT = 1e-12, 0.1
PADDING = 0


class Embeddings(nn.Module):
    """The normalised sum of word, position and segment embeddings."""

    def __init__(self, vocabulary: int, hidden: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, hidden)
        self.positions = nn.Embedding(POSITIONS, hidden)
        self.segments = nn.Embedding(SEGMENTS, hidden)
        self.norm = nn.LayerNorm(hidden, eps=EPSILON)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, ids: Tensor) -> Tensor:
        """Maps word ids [N, T] to vectors [N, T, hidden]."""
        positions = self.positions(torch.arange(ids.shape[1], device=ids.device))
        output: Tensor = self.dropout(self.norm(self.words(ids) + self.segments(torch.zeros_like(ids)) + positions))
        return output


class Attention(nn.Module):
    """Multi-head self-attention: softmax(Q K^T / sqrt(width)) V, concatenated and projected."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden)
        self.value = nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, hidden)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        """Maps vectors [N, T, hidden] and the padding mask [N, T] to vectors [N, T, hidden]."""
        query, key, value = (self._by_head(layer(x)) for layer in (self.query, self.key, self.value))
        agreement = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        # The smallest finite number instead of minus infinity, so that a sentence of padding alone stays finite.
        agreement = agreement.masked_fill(padding[:, None, None, :], torch.finfo(x.dtype).min)
        mixed = self.dropout(agreement.softmax(dim=-1)) @ value
        output: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return output

    def _by_head(self, x: Tensor) -> Tensor:
        """Returns [N, T, hidden] as [N, heads, T, width]."""
        return torch.unflatten(x, 2, (self.heads, -1)).transpose(1, 2)


class BertLayer(nn.Module):
    """Attention, then two linear layers around the activation, each with a residual connection and normalisation."""

    def __init__(self, hidden: int, heads: int, activation: str) -> None:
        super().__init__()
        self.attention = Attention(hidden, heads)
        self.attention_norm = nn.LayerNorm(hidden, eps=EPSILON)
        self.widen = nn.Linear(hidden, WIDENING * hidden)
        self.activation = getattr(nn, activation)()
        self.narrow = nn.Linear(WIDENING * hidden, hidden)
        self.output_norm = nn.LayerNorm(hidden, eps=EPSILON)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        """Maps vectors [N, T, hidden] and the padding mask [N, T] to vectors [N, T, hidden]."""
        x = self.attention_norm(x + self.dropout(self.attention(x, padding)))
        output: Tensor = self.output_norm(x + self.dropout(self.narrow(self.activation(self.widen(x)))))
        return output


class BertNetwork(nn.Module):
    """Embeddings, layers, a linear layer with tanh on the vector of the first word, classifier.

    Args:
        vocabulary: Number of word ids.
        hidden: Width of every layer.
        heads: Number of attention heads.
        activations: Names of activation modules in `torch.nn`, one for each layer.
        classes: Outputs of the classifier.
    """

    def __init__(self, vocabulary: int, hidden: int, heads: int, activations: Sequence[str], classes: int) -> None:
        super().__init__()
        self.activations = tuple(activations)
        self.embeddings = Embeddings(vocabulary, hidden)
        self.layers = nn.ModuleList(BertLayer(hidden, heads, activation) for activation in activations)
        self.pooler = nn.Sequential()
        self.pooler.add_module("linear", nn.Linear(hidden, hidden))
        self.pooler.add_module("activation", nn.Tanh())
        self.dropout = nn.Dropout(DROPOUT)
        self.classifier = nn.Linear(hidden, classes)

    def as_stages(self) -> list[Stage]:
        """Returns embeddings, layers and head; a layer is identified by its position and activation.

        The padding mask is passed from stage to stage.
        """

        def through(layer: nn.Module) -> Callable[[tuple[Tensor, Tensor]], tuple[Tensor, Tensor]]:
            return lambda state: (layer(*state), state[1])

        layers = [Stage(pair, through(layer)) for pair, layer in zip(enumerate(self.activations), self.layers, strict=True)]
        first = Stage("embeddings", lambda ids: (self.embeddings(ids), ids == PADDING))
        return [first, *layers, Stage("head", lambda state: self.classifier(self.dropout(self.pooler(state[0][:, 0]))))]

    def forward(self, ids: Tensor) -> Tensor:
        """Maps word ids [N, T] to logits [N, classes]."""
        return run_chain(self.as_stages(), ids)
