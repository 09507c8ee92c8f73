"""AZ-NAS (Lee & Ham, CVPR 2024, arXiv 2403.19232, section 3): scores of the primary blocks, from one forward and backward.

    f_0 .. f_L: the maps that the stem and the primary blocks put out, of images of N(0, 1) noise, normalised by the batch
    e_l = - sum_c p_c log p_c,  p = the eigenvalues of the covariance of f_l's channels over their sum
    s_l = the largest singular value of E[g_in g_out^T], g_out random signs at f_l, g_in the gradient that they give at f_(l-1)

Every pixel of every image is one observation. Where a block strides, the pixels of f_(l-1) that become one pixel of f_l are
laid side by side as its channels; a map that the stride does not divide is filled up with zeros. A space of words is given random
words for noise, and every word of every sentence is one observation.

Pitfalls: the scores want deep networks of alike blocks, and compare only networks that have the same number of them. The
backward stops at the block before, so that no more than one block's maps are alive at a time. The paper draws weights by
`kaiming_normal` and takes 64 images; here weights are drawn as the configuration says, so that all scores share one network.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field
from scipy.special import entr

from rbflex_evo.fitness.passes.observer import CandidateFailed, Statistics, sum_dtype
from rbflex_evo.spaces import Parameters

from .proxy import Proxy

if TYPE_CHECKING:
    from torch import Tensor, nn

    from rbflex_evo.fitness.passes.subject import Subject

# Products of that many rows are summed in the maps' precision, everything beyond in float64.
CHUNK = 256


class AzNasParameters(Parameters):
    """Parameters of AZ-NAS's scores.

    Attributes:
        images: Number of noise images; the paper takes 64.
    """

    images: int = Field(default=16, ge=2)


class _BlockScore(Proxy):
    """Contract of the three scores: they read one measurement."""

    needs = "network"
    cost = "backward"
    Parameters = AzNasParameters
    measured_by = ("images",)
    parameters: AzNasParameters

    def measure(self, subject: Subject) -> Statistics:
        """Returns the statistics of the primary blocks, see `block_statistics`."""
        return block_statistics(subject, self.parameters.images)


class AzExpressivity(_BlockScore):
    """sum_l e_l: how evenly each block uses its channels; higher is better. A backward, shared by the three scores."""

    name = "az_expressivity"
    description = "AZ-NAS: entropy of the spectrum of every block's map, summed"

    def score(self, statistics: Statistics) -> float:
        return float(_entropies(statistics).sum())


class AzProgressivity(_BlockScore):
    """min_l (e_l - e_(l-1)): whether every block adds to the one before; higher is better. A backward, shared by the three."""

    name = "az_progressivity"
    description = "AZ-NAS: least increase of that entropy from one block to the next"

    def score(self, statistics: Statistics) -> float:
        return float(np.diff(_entropies(statistics)).min())


class AzTrainability(_BlockScore):
    """mean_l (2 - s_l - 1 / s_l): whether gradients neither grow nor vanish from block to block; higher is better, at most 0.

    A backward, shared by the three. A block that hands its gradient on unchanged (a skip connection and nothing else) is one
    that nothing can be trained in; the paper's code gives -infinity, the last rank. Here the candidate fails with that reason.
    """

    name = "az_trainability"
    description = "AZ-NAS: whether gradients neither grow nor vanish from block to block"

    def score(self, statistics: Statistics) -> float:
        _entropies(statistics)  # a dead network fails with the reason that is its own
        gains, unchanged = statistics["gains"], statistics["unchanged"]
        if unchanged.any():
            where = int(unchanged.argmax()) + 1
            raise CandidateFailed(f"block {where} of {len(gains)} hands its gradient on unchanged: nothing in it to train")
        if not np.isfinite(gains).all():
            raise CandidateFailed("gradients hold NaN or infinity")
        if (gains == 0).any():
            raise CandidateFailed(f"no gradient passes block {int((gains == 0).argmax()) + 1} of {len(gains)}")
        return float((2 - gains - 1 / gains).mean())


def _entropies(statistics: Statistics) -> np.ndarray:
    """Returns e_0 .. e_L of a network that is alive.

    Raises:
        CandidateFailed: if it is not, saying why.
    """
    variances, last = statistics["variances"], len(statistics["variances"]) - 1
    if last < 1:
        raise CandidateFailed(f"AZ-NAS compares at least 2 blocks, but the network has {last + 1}")
    if not np.isfinite(variances).all():
        raise CandidateFailed(f"the map of block {int((~np.isfinite(variances)).argmax())} of {last} holds NaN or infinity")
    if (variances <= 0).any():
        raise CandidateFailed(f"the map of block {int((variances <= 0).argmax())} of {last} is constant: the signal died")
    return statistics["entropies"]


def block_statistics(subject: Subject, images: int) -> Statistics:
    """Returns what the three scores are computed from, measured once a candidate.

    Returns:
        ``variances`` [L + 1], of all channels together, ``entropies`` [L + 1], NaN where a map is constant or not finite,
        ``gains`` [L], the s_l, and ``unchanged`` [L], whether g_in equals g_out.
    """
    return subject.shared(f"az_nas/{images}", lambda: _measure(subject, images))


def _measure(subject: Subject, images: int) -> Statistics:
    import torch

    from rbflex_evo.fitness.passes.last_map import channels_last
    from rbflex_evo.fitness.passes.watch import Rewired, batch_norm, evaluation_mode, normalisations

    network = subject.network
    noise = subject.random_inputs("az_nas/images", images)
    watch = _Watch(subject)
    with ExitStack() as stack:
        for block in subject.space.blocks(network):
            stack.callback(block.register_forward_hook(watch.block).remove)
        stack.enter_context(evaluation_mode(network))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(Rewired(normalisations(batch_norm), {}))
        network(channels_last(noise))  # its pixels are rows
    return watch.finish()


class _Watch:
    """Measures each block's map as it is put out, goes back to the map before it, and cuts the graph there."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.previous: Tensor | None = None
        self.covariances: list[np.ndarray] = []
        self.gains: list[float] = []
        self.unchanged: list[bool] = []

    def block(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        import torch

        with torch._C.DisableTorchFunction():
            leaf = output.detach()
            centred = _rows(leaf)
            centred = centred - centred.mean(dim=0)
            self.covariances.append((_product(centred, centred) / len(centred)).cpu().numpy())
            if self.previous is not None:
                self.backward(self.previous, output)
            self.previous = leaf.requires_grad_()
            # A block may work on its input in place, which a leaf of the graph does not allow.
            return leaf.clone()

    def backward(self, before: Tensor, output: Tensor) -> None:
        import torch

        rows = _rows(output.detach())
        signs = self.subject.signs(f"az_nas/{len(self.gains)}", tuple(rows.shape))
        outgoing = _like(signs, output)
        incoming = None
        if output.requires_grad:
            (incoming,) = torch.autograd.grad(output, before, outgoing, allow_unused=True)
        if incoming is None:
            incoming = torch.zeros_like(before)
        self.unchanged.append(incoming.shape == outgoing.shape and torch.equal(incoming, outgoing))
        incoming_rows = _rows(_side_by_side(incoming, output))
        if len(incoming_rows) != len(rows):
            raise CandidateFailed(f"AZ-NAS finds no pixels of {list(before.shape)} for those of {list(output.shape)}")
        correlation = (_product(incoming_rows, signs) / len(rows)).cpu().numpy()
        finite = np.isfinite(correlation).all()
        self.gains.append(float(np.linalg.norm(correlation, 2)) if finite else float("nan"))

    def finish(self) -> Statistics:
        variances = np.array([np.trace(covariance) for covariance in self.covariances])
        entropies = np.full(len(variances), np.nan)
        for i, covariance in enumerate(self.covariances):
            if np.isfinite(variances[i]) and variances[i] > 0:
                # Rounding makes an eigenvalue of zero slightly negative.
                spectrum = np.linalg.eigvalsh(covariance).clip(min=0)
                entropies[i] = entr(spectrum / spectrum.sum()).sum()
        return {
            "variances": variances,
            "entropies": entropies,
            "gains": np.array(self.gains),
            "unchanged": np.array(self.unchanged, bool),
        }


def _rows(maps: Tensor) -> Tensor:
    """Returns maps [N, C, H, W] (or tokens [N, T, C], or features [N, C]) as observations [N H W, C]."""
    return (maps.movedim(1, -1) if maps.dim() > 3 else maps).flatten(0, -2)


def _like(rows: Tensor, maps: Tensor) -> Tensor:
    """Returns observations in the shape of the maps that they belong to; no copy."""
    if maps.dim() <= 3:
        return rows.view(maps.shape)
    return rows.view(len(maps), *maps.shape[2:], maps.shape[1]).movedim(-1, 1)


def _side_by_side(gradient: Tensor, output: Tensor) -> Tensor:
    """Returns a gradient [N, C, H, W] as [N, C s^2, H / s, W / s], s = the stride from it to `output`."""
    from torch.nn import functional

    if gradient.dim() != 4 or output.dim() != 4 or gradient.shape[2:] == output.shape[2:]:
        return gradient
    height, width = output.shape[2:]
    stride = -(-gradient.shape[2] // height)
    right, below = stride * width - gradient.shape[3], stride * height - gradient.shape[2]
    return functional.pixel_unshuffle(functional.pad(gradient, (0, right, 0, below)), stride)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Returns a^T b of rows [R, A] and [R, B]."""

    double = sum_dtype(a.device)
    whole = len(a) // CHUNK * CHUNK
    chunks = a[:whole].reshape(-1, CHUNK, a.shape[1]).mT @ b[:whole].reshape(-1, CHUNK, b.shape[1])
    return chunks.sum(dim=0, dtype=double) + a[whole:].to(double).mT @ b[whole:].to(double)
