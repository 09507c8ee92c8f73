"""The operations of FlexiBERT's layers, each a map of words [N, T, hidden] to words [N, T, hidden].

    SA-SDP   softmax(Q K^T / sqrt(width)) V by head (Vaswani et al. 2017)
    SA-WMA   softmax(Q W K^T / sqrt(width)) V by head, with a matrix W for all heads (Luong et al. 2015)
    LT-DFT   real part of the two-dimensional Fourier transform of a linear layer's output, over words and over the width of a head
    LT-DCT   the same by the cosine transform of type II (scipy's ``dctn`` with its default norm)
    DSC-K    half of the heads by scaled dot product; the others average K neighbouring words with weights that are computed from
             the word and its neighbours (span-based dynamic convolution of ConvBERT, Jiang et al. 2020)

Attention and convolutions end with a linear layer, a residual connection and a normalisation. Linear transforms have none of them,
as in the published parameter counts. Only attention masks padding.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .layout import LayerChoice

EPSILON, DROPOUT = 1e-12, 0.1


def by_head(x: Tensor, heads: int) -> Tensor:
    """Returns [N, T, width] as [N, heads, T, width / heads]."""
    return torch.unflatten(x, 2, (heads, -1)).transpose(1, 2)


class Operation(nn.Module):
    """Base class of operations with an output layer, a residual connection and a normalisation."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.output = nn.Linear(hidden, hidden)
        self.norm = nn.LayerNorm(hidden, eps=EPSILON)
        self.dropout = nn.Dropout(DROPOUT)

    def mixed(self, x: Tensor, padding: Tensor) -> Tensor:
        """Maps words and the mask of padding [N, T] to mixed words, each [N, T, hidden]."""
        raise NotImplementedError

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        """Maps words and the mask of padding [N, T] to words."""
        output: Tensor = self.norm(x + self.dropout(self.output(self.mixed(x, padding))))
        return output

    def _attention(self, query: Tensor, key: Tensor, value: Tensor, padding: Tensor, heads: int) -> Tensor:
        """Returns attention by scaled dot product, of [N, T, width] each."""
        query, key, value = (by_head(x, heads) for x in (query, key, value))
        agreement = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        # The smallest finite number instead of minus infinity, so that a sentence of padding alone stays finite.
        agreement = agreement.masked_fill(padding[:, None, None, :], torch.finfo(query.dtype).min)
        attended: Tensor = self.dropout(agreement.softmax(dim=-1)) @ value
        return attended.transpose(1, 2).flatten(2)


class Attention(Operation):
    """Self-attention by scaled dot product, or weighted multiplicative."""

    def __init__(self, choice: LayerChoice) -> None:
        hidden = choice.hidden
        super().__init__(hidden)
        self.heads = choice.heads
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden)
        self.value = nn.Linear(hidden, hidden)
        self.weighted = nn.Linear(hidden, hidden, bias=False) if choice.operation == "SA-WMA" else nn.Identity()

    def mixed(self, x: Tensor, padding: Tensor) -> Tensor:
        """Maps words and the mask of padding to mixed words."""
        return self._attention(self.weighted(self.query(x)), self.key(x), self.value(x), padding, self.heads)


class SpanConvolution(Operation):
    """Half of the heads by attention, the other half by a convolution whose kernels depend on the words."""

    def __init__(self, choice: LayerChoice) -> None:
        hidden, half, kernel = choice.hidden, choice.hidden // 2, choice.kernel
        super().__init__(hidden)
        self.heads, self.kernel = choice.heads // 2, kernel
        self.query = nn.Linear(hidden, half)
        self.key = nn.Linear(hidden, half)
        self.value = nn.Linear(hidden, half)
        # A separable convolution of the neighbours.
        self.depthwise = nn.Conv1d(hidden, hidden, kernel, padding=kernel // 2, groups=hidden, bias=False)
        self.pointwise = nn.Conv1d(hidden, half, 1)
        self.kernels = nn.Linear(half, self.heads * kernel)
        self.spans = nn.Linear(hidden, half)

    def mixed(self, x: Tensor, padding: Tensor) -> Tensor:
        """Maps words and the mask of padding to mixed words."""
        query = self.query(x)
        attended = self._attention(query, self.key(x), self.value(x), padding, self.heads)
        near = self.pointwise(self.depthwise(x.transpose(1, 2))).transpose(1, 2)
        kernels = torch.unflatten(self.kernels(near * query), 2, (self.heads, self.kernel)).softmax(dim=-1)
        padded = nn.functional.pad(self.spans(x), (0, 0, self.kernel // 2, self.kernel // 2))
        spans = torch.stack([padded[:, i : i + x.shape[1]] for i in range(self.kernel)], dim=-1)
        convolved = torch.unflatten(spans, 2, (self.heads, -1)) @ kernels[..., None]
        return torch.cat([attended, convolved.flatten(2)], dim=2)


class LinearTransform(nn.Module):
    """A linear layer, and a transform of its output over words and over the width of each head."""

    def __init__(self, choice: LayerChoice) -> None:
        super().__init__()
        self.heads, self.kind = choice.heads, choice.operation
        self.linear = nn.Linear(choice.hidden, choice.hidden)

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        """Maps words to words; padding is transformed like any word."""
        x = by_head(self.linear(x), self.heads)
        length, width = x.shape[2:]
        if self.kind == "LT-DFT":
            (cosines, sines), (across_cosines, across_sines) = (fourier(size, x) for size in (length, width))
            x = cosines @ x @ across_cosines - sines @ x @ across_sines
        else:
            x = cosine(length, x) @ x @ cosine(width, x).T
        return x.transpose(1, 2).flatten(2)


def fourier(size: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Returns cosines and sines of 2 pi j k / size, [size, size], in the type and on the device of a tensor."""
    places = torch.arange(size, device=like.device)
    angles = (places[:, None] * places % size).double() * (2 * math.pi / size)
    return angles.cos().to(like.dtype), angles.sin().to(like.dtype)


def cosine(size: int, like: Tensor) -> Tensor:
    """Returns the matrix 2 cos(pi k (2 j + 1) / (2 size)) of the cosine transform, [size, size]; rows are frequencies k."""
    places = torch.arange(size, device=like.device)
    angles = (places[:, None] * (2 * places + 1) % (4 * size)).double() * (math.pi / (2 * size))
    return (2 * angles.cos()).to(like.dtype)


def operation_of(choice: LayerChoice) -> nn.Module:
    """Returns the operation of a layer."""
    kinds: dict[str, type[nn.Module]] = {"SA": Attention, "LT": LinearTransform, "DSC": SpanConvolution}
    return kinds[choice.operation.partition("-")[0]](choice)
