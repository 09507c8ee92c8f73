"""FlexiBERT networks (Tuli et al. 2022, arXiv 2205.11656) as NAS-Bench-BERT built them (Serianni & Kalita, ACL 2023).

    word, position and segment embeddings, summed and normalised -> layers -> vector of the first word -> linear classifier
    each layer: a linear layer if the hidden size changes, the operation, then x = norm(x + feed-forward network with GELU)

Word 0 is padding. Every sentence is one segment. Layer normalisation keeps sentences independent of each other.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from rbflex_evo.spaces.architecture.chain import Stage, run_chain

from .layout import POSITIONS, SEGMENTS, FlexiBertLayout, LayerChoice
from .operations import DROPOUT, EPSILON, operation_of

PADDING = 0


class Embeddings(nn.Module):
    """The normalised sum of word, position and segment embeddings."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width, padding_idx=PADDING)
        self.positions = nn.Embedding(POSITIONS, width)
        self.segments = nn.Embedding(SEGMENTS, width)
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, ids: Tensor) -> Tensor:
        """Maps word ids [N, T] to vectors [N, T, width]."""
        positions = self.positions(torch.arange(ids.shape[1], device=ids.device))
        output: Tensor = self.dropout(self.norm(self.words(ids) + self.segments(torch.zeros_like(ids)) + positions))
        return output


class FlexiBertLayer(nn.Module):
    """An operation and a feed-forward network.

    Args:
        inputs: Width of the input.
        choice: Operation and sizes.
    """

    def __init__(self, inputs: int, choice: LayerChoice) -> None:
        super().__init__()
        hidden, inner = choice.hidden, choice.inner
        self.projection = nn.Identity() if inputs == hidden else nn.Linear(inputs, hidden)
        self.operation = operation_of(choice)
        widths = [hidden, *[inner] * choice.stacks]
        self.inner = nn.Sequential(*(part for width in widths[:-1] for part in (nn.Linear(width, inner), nn.GELU())))
        self.narrow = nn.Linear(inner, hidden)
        self.norm = nn.LayerNorm(hidden, eps=EPSILON)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        """Maps vectors [N, T, inputs] and the mask of padding [N, T] to vectors [N, T, hidden]."""
        x = self.operation(self.projection(x), padding)
        output: Tensor = self.norm(x + self.dropout(self.narrow(self.inner(x))))
        return output


class FlexiBertNetwork(nn.Module):
    """Embeddings, layers, and a classifier of the vector of the first word.

    Args:
        layout: Layers and sizes of the network.
    """

    def __init__(self, layout: FlexiBertLayout) -> None:
        super().__init__()
        self.layout = layout
        self.embeddings = Embeddings(layout.vocabulary, layout.embedding)
        pairs = zip(layout.inputs, layout.layers, strict=True)
        self.layers = nn.ModuleList(FlexiBertLayer(inputs, choice) for inputs, choice in pairs)
        self.dropout = nn.Dropout(DROPOUT)
        self.classifier = nn.Linear(layout.layers[-1].hidden, layout.classes)

    def as_stages(self) -> list[Stage]:
        """Returns embeddings, layers and head; a layer is identified by its position, its choice and the width of its input.

        The mask of padding is passed from stage to stage.
        """

        def through(layer: nn.Module) -> Callable[[tuple[Tensor, Tensor]], tuple[Tensor, Tensor]]:
            return lambda state: (layer(*state), state[1])

        kinds = zip(self.layout.inputs, self.layout.layers, self.layers, strict=True)
        layers = [Stage((i, inputs, choice), through(layer)) for i, (inputs, choice, layer) in enumerate(kinds)]
        first = Stage("embeddings", lambda ids: (self.embeddings(ids), ids == PADDING))
        head = Stage(("head", self.layout.layers[-1].hidden), lambda state: self.classifier(self.dropout(state[0][:, 0])))
        return [first, *layers, head]

    def forward(self, ids: Tensor) -> Tensor:
        """Maps word ids [N, T] to logits [N, classes]."""
        return run_chain(self.as_stages(), ids)
