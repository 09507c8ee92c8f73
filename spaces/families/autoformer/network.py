"""Vision Transformers of AutoFormer (Chen et al., ICCV 2021, arXiv 2107.00651), built as its published code builds them.

    image -> patches of 16 x 16 -> class token before them, absolute positions added
    each layer: x + attention(norm(x)), then x + MLP(norm(x)) with GELU
    norm -> mean of the patch tokens, without the class token -> linear classifier

Attention has relative positions (Shaw et al. 2018) in two dimensions: the key and the value of a pair of tokens are those of the
second token plus one vector for the rows and one for the columns between the two. With keys k, values v, vectors r of keys and s of
values:

    a_ij = softmax_j(q_i . (k_j + r_ij) / 8),    z_i = sum_j a_ij (v_j + s_ij),    r_ij = r_row(i, j) + r_column(i, j)

All keys of one row of the image have the same distance in rows, so the products with r and s are computed once for each row and
column, and never for each pair.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rbflex_evo.spaces.architecture.chain import Stage, run_chain

from .layout import FARTHEST, HEAD, OFFSETS, PATCH, AutoFormerLayout, LayerChoice, hidden_width


def offsets(grid: int, axis: int) -> Tensor:
    """Returns which vector of a table of relative positions belongs to each token and each row (or column) of patches.

    Args:
        grid: Number of rows, and of columns, of patches.
        axis: 0 for distances in rows, 1 for distances in columns.

    Returns:
        int64 [1 + grid^2, 1 + grid]. The first row and column are those of the class token and hold 0; the others hold the signed
        distance, at most 14, plus 15.
    """
    places = torch.arange(grid)
    own = places.repeat_interleave(grid) if axis == 0 else places.repeat(grid)
    distances = (places[None, :] - own[:, None]).clamp(-FARTHEST, FARTHEST) + FARTHEST + 1
    return nn.functional.pad(distances, (1, 0, 1, 0))


class RelativePositions(nn.Module):
    """Vectors for the rows and the columns between two tokens, shared by all heads of a layer.

    Args:
        grid: Number of rows, and of columns, of patches.
    """

    def __init__(self, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.rows = nn.Parameter(torch.zeros(OFFSETS, HEAD))
        self.columns = nn.Parameter(torch.zeros(OFFSETS, HEAD))
        self.register_buffer("row_offsets", offsets(grid, 0), persistent=False)
        self.register_buffer("column_offsets", offsets(grid, 1), persistent=False)

    def products(self, query: Tensor) -> Tensor:
        """Maps queries [N, heads, T, 64] to their products with the vectors of all pairs, [N, heads, T, T]."""
        by_row, by_column = (torch.einsum("nhtd,tpd->nhtp", query, vectors) for vectors in self._vectors())
        patches = by_row[..., 1:, None] + by_column[..., None, 1:]
        return torch.cat([by_row[..., :1] + by_column[..., :1], patches.flatten(-2)], dim=-1)

    def mixed(self, attention: Tensor) -> Tensor:
        """Maps weights of attention [N, heads, T, T] to the weighted sums of the vectors of all pairs, [N, heads, T, 64]."""
        of_class, patches = attention[..., :1], torch.unflatten(attention[..., 1:], -1, (self.grid, self.grid))
        by_row, by_column = (torch.cat([of_class, patches.sum(axis)], dim=-1) for axis in (-1, -2))
        rows, columns = self._vectors()
        return torch.einsum("nhtp,tpd->nhtd", by_row, rows) + torch.einsum("nhtp,tpd->nhtd", by_column, columns)

    def _vectors(self) -> tuple[Tensor, Tensor]:
        """Returns the vectors of each token and each row, and of each token and each column, [T, 1 + grid, 64]."""
        return self.rows[self.row_offsets], self.columns[self.column_offsets]  # type: ignore[index]


class Attention(nn.Module):
    """Multi-head self-attention with relative positions; the width of a head is 64 whatever the width of the tokens.

    The rows of the matrix of queries, keys and values are ordered by head, so that networks with fewer heads have the first ones.
    """

    def __init__(self, width: int, heads: int, grid: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * heads * HEAD)
        self.keys = RelativePositions(grid)
        self.values = RelativePositions(grid)
        self.projection = nn.Linear(heads * HEAD, width)

    def forward(self, x: Tensor) -> Tensor:
        """Maps tokens [N, T, width] to tokens [N, T, width]."""
        query, key, value = self.qkv(x).unflatten(2, (self.heads, 3, HEAD)).permute(3, 0, 2, 1, 4)
        query = query * HEAD**-0.5
        attention = (query @ key.transpose(-1, -2) + self.keys.products(query)).softmax(dim=-1)
        mixed = attention @ value + self.values.mixed(attention)
        output: Tensor = self.projection(mixed.transpose(1, 2).flatten(2))
        return output


class AutoFormerLayer(nn.Module):
    """Attention and an MLP of two linear layers, each after a normalisation and with a residual connection."""

    def __init__(self, width: int, choice: LayerChoice, grid: int) -> None:
        super().__init__()
        hidden = hidden_width(width, choice.ratio)
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, choice.heads, grid)
        self.mlp_norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, hidden)
        self.activation = nn.GELU()
        self.narrow = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Maps tokens [N, T, width] to tokens [N, T, width]."""
        x = x + self.attention(self.attention_norm(x))
        output: Tensor = x + self.narrow(self.activation(self.widen(self.mlp_norm(x))))
        return output


class PatchEmbedding(nn.Module):
    """A linear map of every patch, with the class token before them and absolute positions."""

    def __init__(self, width: int, tokens: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, PATCH, PATCH)
        self.class_token = nn.Parameter(torch.zeros(1, width))
        self.positions = nn.Parameter(torch.zeros(tokens, width))

    def forward(self, images: Tensor) -> Tensor:
        """Maps images [N, 3, size, size] to tokens [N, 1 + patches, width]."""
        patches = self.patches(images).flatten(2).transpose(1, 2)
        first = self.class_token.expand(images.shape[0], 1, -1)
        output: Tensor = torch.cat([first, patches], dim=1) + self.positions
        return output


class AutoFormer(nn.Module):
    """Patch embedding, Transformer layers, and a classifier of the mean of the normalised patch tokens.

    Args:
        layout: The layers of the network.
    """

    def __init__(self, layout: AutoFormerLayout) -> None:
        super().__init__()
        self.layout = layout
        self.embedding = PatchEmbedding(layout.width, layout.tokens)
        self.layers = nn.ModuleList(AutoFormerLayer(layout.width, choice, layout.grid) for choice in layout.layers)
        self.norm = nn.LayerNorm(layout.width)
        self.classifier = nn.Linear(layout.width, layout.classes)

    def as_stages(self) -> list[Stage]:
        """Returns embedding, layers and head; a stage is identified by its position and all of its widths."""
        width = self.layout.width
        choices = enumerate(self.layout.layers)
        return [
            Stage(("embedding", width), self.embedding),
            *(Stage((width, i, choice), layer) for (i, choice), layer in zip(choices, self.layers, strict=True)),
            Stage(("head", width), self._head),
        ]

    def _head(self, x: Tensor) -> Tensor:
        output: Tensor = self.classifier(self.norm(x)[:, 1:].mean(dim=1))
        return output

    def forward(self, images: Tensor) -> Tensor:
        """Maps images [N, 3, size, size] to logits [N, classes]."""
        return run_chain(self.as_stages(), images)
