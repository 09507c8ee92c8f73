"""Pooling-based vision Transformers (PiT; Heo et al., ICCV 2021, arXiv 2103.16302).

Patches of 16 x 16 overlap, 8 apart; absolute positions are added to them, and the class token comes before them. A layer is
x + attention(norm(x)), then x + MLP(norm(x)) with GELU. Between stages, the patches go through a 3 x 3 convolution of stride 2 with
one group a channel, and the class token through a linear layer. The classifier reads the normalised class token.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from rbflex_evo.spaces.architecture.chain import Stage, run_chain

from .layout import PATCH, STRIDE, PitLayout

EPSILON = 1e-6


class PatchEmbedding(nn.Module):
    """A linear map of every patch with absolute positions, and the class token before them."""

    def __init__(self, width: int, grid: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, PATCH, STRIDE)
        self.class_token = nn.Parameter(torch.zeros(1, width))
        self.positions = nn.Parameter(torch.zeros(grid**2, width))

    def forward(self, images: Tensor) -> Tensor:
        """Maps images [N, 3, size, size] to tokens [N, 1 + patches, width]."""
        patches = self.patches(images).flatten(2).transpose(1, 2) + self.positions
        return torch.cat([self.class_token.expand(images.shape[0], 1, -1), patches], dim=1)


class Attention(nn.Module):
    """Multi-head self-attention.

    The rows of the matrix of queries, keys and values are ordered by head, so that networks with fewer heads have the first ones.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Maps tokens [N, T, width] to tokens [N, T, width]."""
        query, key, value = torch.unflatten(self.qkv(x), 2, (self.heads, 3, -1)).permute(3, 0, 2, 1, 4)
        attention = (query * query.shape[-1] ** -0.5 @ key.transpose(-1, -2)).softmax(dim=-1)
        output: Tensor = self.projection((attention @ value).transpose(1, 2).flatten(2))
        return output


class PitLayer(nn.Module):
    """Attention and an MLP of two linear layers, each after a normalisation and with a residual connection."""

    def __init__(self, width: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, eps=EPSILON)
        self.attention = Attention(width, heads)
        self.mlp_norm = nn.LayerNorm(width, eps=EPSILON)
        self.widen = nn.Linear(width, ratio * width)
        self.activation = nn.GELU()
        self.narrow = nn.Linear(ratio * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Maps tokens [N, T, width] to tokens [N, T, width]."""
        x = x + self.attention(self.attention_norm(x))
        output: Tensor = x + self.narrow(self.activation(self.widen(self.mlp_norm(x))))
        return output


class Pooling(nn.Module):
    """Halves the rows and columns of patches and widens all tokens; `outputs` is a multiple of `inputs`."""

    def __init__(self, inputs: int, outputs: int, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.patches = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, groups=inputs)
        self.class_token = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Maps tokens [N, 1 + grid^2, inputs] to tokens [N, 1 + ceil(grid / 2)^2, outputs]."""
        maps = torch.unflatten(x[:, 1:].transpose(1, 2), 2, (self.grid, self.grid))
        patches = self.patches(maps).flatten(2).transpose(1, 2)
        return torch.cat([self.class_token(x[:, :1]), patches], dim=1)


class PitNetwork(nn.Module):
    """Patch embedding, stages of Transformer layers with poolings between them, and a classifier of the class token.

    Args:
        layout: The stages of the network.
    """

    def __init__(self, layout: PitLayout) -> None:
        super().__init__()
        self.layout = layout
        widths, grids = layout.widths, layout.grids
        self.embedding = PatchEmbedding(widths[0], grids[0])
        self.stages = nn.ModuleList(
            nn.ModuleList(PitLayer(width, stage.heads, layout.ratio) for _ in range(stage.depth))
            for stage, width in zip(layout.stages, widths, strict=True)
        )
        pairs = zip(itertools.pairwise(widths), grids[:-1], strict=True)
        self.pools = nn.ModuleList(Pooling(inputs, outputs, grid) for (inputs, outputs), grid in pairs)
        self.norm = nn.LayerNorm(widths[-1], eps=EPSILON)
        self.classifier = nn.Linear(widths[-1], layout.classes)

    def as_stages(self) -> list[Stage]:
        """Returns embedding, layers, poolings and head; each is identified by its position and its widths."""
        widths = self.layout.widths
        links = [Stage(("embedding", widths[0]), self.embedding)]
        for i, (choice, width, layers) in enumerate(zip(self.layout.stages, widths, self.stages, strict=True)):
            if i:
                links.append(Stage(("pool", i, widths[i - 1], width), self.pools[i - 1]))
            kind = width, choice.heads, self.layout.ratio
            links += [Stage((i, j, *kind), layer) for j, layer in enumerate(layers.children())]
        return [*links, Stage(("head", widths[-1]), self._head)]

    def _head(self, x: Tensor) -> Tensor:
        output: Tensor = self.classifier(self.norm(x[:, 0]))
        return output

    def forward(self, images: Tensor) -> Tensor:
        """Maps images [N, 3, size, size] to logits [N, classes]."""
        return run_chain(self.as_stages(), images)
