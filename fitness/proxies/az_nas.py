"""AZ-NAS (Lee & Ham, CVPR 2024, arXiv 2403.19232, section 3): scores of the primary blocks, from one forward and backward.

    f_0 .. f_L: the outputs of the stem and the primary blocks for images of N(0, 1) noise, normalised by the batch
    e_l = - sum_c p_c log p_c,  p = the eigenvalues of the covariance of f_l's channels over their sum
    s_l = the largest singular value of E[g_in g_out^T], g_out random signs at f_l, g_in the gradient that they give at f_(l-1)

Every pixel of every image is one observation. Where a block strides, the pixels of f_(l-1) that become one pixel of f_l are
concatenated as its channels; a map that the stride does not divide is padded with zeros. In a space of words, the noise is
random words, and every word of every sentence is one observation.

Pitfalls: the scores are made for deep networks of similar blocks, and compare only networks with the same number of blocks. The
backward stops at the previous block, so that only one block's maps are in memory at a time. The paper draws weights by
`kaiming_normal` and uses 64 images; here weights are drawn as configured, so that all scores share one network.
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

# Number of rows whose products are summed in the maps' precision; the sums of such chunks are added in float64.
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
    """Sum over blocks of the entropy e_l, how evenly each block uses its channels; higher is better.

    Cost: one backward, shared by the three scores.
    """

    name = "az_expressivity"
    description = "AZ-NAS: entropy of the spectrum of every block's map, summed"

    def score(self, statistics: Statistics) -> float:
        """Returns the sum of the entropies."""
        return float(_entropies(statistics).sum())


class AzProgressivity(_BlockScore):
    """Least increase of the entropy from one block to the next, min_l (e_l - e_(l-1)); higher is better.

    Cost: one backward, shared by the three scores.
    """

    name = "az_progressivity"
    description = "AZ-NAS: least increase of that entropy from one block to the next"

    def score(self, statistics: Statistics) -> float:
        """Returns the least difference of successive entropies."""
        return float(np.diff(_entropies(statistics)).min())


class AzTrainability(_BlockScore):
    """Stability of gradients from block to block, mean_l (2 - s_l - 1 / s_l); higher is better, at most 0.

    Cost: one backward, shared by the three scores. A block that passes its gradient on unchanged (a skip connection alone) has
    nothing to train. The paper's code gives it -infinity, the last rank; here the candidate fails with that reason.
    """

    name = "az_trainability"
    description = "AZ-NAS: whether gradients neither grow nor vanish from block to block"

    def score(self, statistics: Statistics) -> float:
        """Returns the mean over blocks.

        Raises:
            CandidateFailed: If a block passes its gradient on unchanged, or a gradient vanishes or is not finite.
        """
        _entropies(statistics)  # A dead network fails with the reason of `_entropies`.
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
    """Returns e_0 .. e_L.

    Raises:
        CandidateFailed: If the network is dead or has fewer than two blocks.
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
    """Returns the statistics of the three scores, measured once per candidate.

    Args:
        subject: The candidate.
        images: Number of images of noise.

    Returns:
        ``variances`` [L + 1], the sum over the channels, ``entropies`` [L + 1], NaN where a map is constant or not finite,
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
        network(channels_last(noise))  # A pixel is then a row in memory.
    return watch.finish()


class _Watch:
    """Measures each block's output, runs the backward to the previous output, and detaches the graph there."""

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
            # A block may change its input in place, which a leaf of the graph does not allow.
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
        incoming_rows = _rows(_unshuffled(incoming, output))
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
    """Returns observations in the shape of `maps`, without a copy."""
    if maps.dim() <= 3:
        return rows.view(maps.shape)
    return rows.view(len(maps), *maps.shape[2:], maps.shape[1]).movedim(-1, 1)


def _unshuffled(gradient: Tensor, output: Tensor) -> Tensor:
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
