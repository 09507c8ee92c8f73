"""AZ-NAS (Lee & Ham, CVPR 2024, arXiv 2403.19232, section 3): scores of the primary blocks, from one forward and backward.

    f_0 .. f_L: the outputs of the stem and the primary blocks for images of N(0, 1) noise, normalised by the batch
    e_l = - sum_c p_c log p_c,  p = the eigenvalues of the covariance of f_l's channels over their sum
    s_l = the largest singular value of E[g_in g_out^T], g_out random signs at f_l, g_in the gradient that they give at f_(l-1)

Every pixel of every image is one observation. Where a block strides, the pixels of f_(l-1) that become one pixel of f_l are
concatenated as its channels; a map that the stride does not divide is padded with zeros. In a space of words, the noise is
random words, and every word of every sentence is one observation. In a Transformer of images, every token of every image is one
observation. If a block puts a token of the class before those of the patches, s_l compares the tokens of the patches alone. Maps
[N, H, W, C], as in Swin, are turned; if it cannot be told which dimension holds the channels, the candidate fails (`channels`).

The entropies need a forward alone. With ``statistics: image`` and ``inputs: data``, they are read in the forward that RBFleX
uses, at almost no cost; the published form has a forward of its own, and trainability a backward.

Pitfalls: the scores are made for deep networks of similar blocks, and compare only networks with the same number of blocks. The
backward stops at the previous block, so that only one block's maps are in memory at a time. The paper draws weights by
`kaiming_normal` and uses 64 images; here weights are drawn as configured, so that all scores share one network.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from rbflex_evo.fitness.passes.observer import CandidateFailed, Observer, Statistics
from rbflex_evo.fitness.passes.reductions.spectra import observations, product, spectra
from rbflex_evo.spaces import Parameters, refuse_without_effect
from rbflex_evo.spaces import Parameters as AnyParameters

from .proxy import Proxy

if TYPE_CHECKING:
    from torch import Tensor, nn

    from rbflex_evo.fitness.passes.subject import Subject


# Numbers of tokens that a Transformer of images puts before those of its patches: that of the class, and one of a distillation.
LEADING = (1, 2)


class AzNasParameters(Parameters):
    """Parameters of AZ-NAS's scores.

    Attributes:
        images: Number of noise images; the paper takes 64.
    """

    images: int = Field(default=16, ge=2)


class EntropyParameters(AzNasParameters):
    """Parameters of the two scores of entropies.

    Attributes:
        images: Number of noise images; refused for ``inputs: data``, which takes the batch of the run.
        statistics: Inputs that batch normalisation takes its statistics from: each ``image`` alone, or the whole ``batch`` (the
            paper's choice).
        inputs: ``noise`` (the paper's choice), or ``data``, the inputs that all other scores read.
    """

    statistics: Literal["batch", "image"] = "batch"
    inputs: Literal["noise", "data"] = "noise"

    @model_validator(mode="after")
    def _of_noise(self) -> EntropyParameters:
        if self.inputs == "data":
            refuse_without_effect(self, "images", "with inputs 'data', which are the batch of the run")
        return self

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Returns the plain values without the paper's choices, so that runs from before these parameters can go on."""
        values: dict[str, Any] = plain(self)
        return {name: value for name, value in values.items() if value not in ("batch", "noise")}


class _EntropyScore(Proxy):
    """Contract of the two scores of entropies: they read one forward."""

    needs: Literal["forward", "network"] = "network"
    cost = "forward"
    Parameters = EntropyParameters
    measured_by = ("images", "statistics", "inputs")
    parameters: EntropyParameters

    def __init__(self, parameters: AnyParameters | None = None) -> None:
        super().__init__(parameters)
        if self.parameters.inputs == "data":
            self.needs = "forward"

    @property
    def statistics_of(self) -> Literal["image", "batch"]:
        """The inputs that batch normalisation takes its statistics from in a shared forward."""
        return self.parameters.statistics if self.needs == "forward" else super().statistics_of

    def observer(self) -> Observer:
        """Returns an observer of the primary blocks."""
        return BlockObserver()

    def measure(self, subject: Subject) -> Statistics:
        """Returns the statistics of `BlockObserver` for a forward of noise, measured once per candidate."""
        images, statistics = self.parameters.images, self.parameters.statistics
        return subject.shared(_place(images, statistics), lambda: _run(subject, images, statistics, BlockObserver()))


class AzExpressivity(_EntropyScore):
    """Sum over blocks of the entropy e_l, how evenly each block uses its channels; higher is better.

    Cost: one forward, shared with `AzProgressivity`.
    """

    name = "az_expressivity"
    description = "AZ-NAS: entropy of the spectrum of every block's map, summed"

    def score(self, statistics: Statistics) -> float:
        """Returns the sum of the entropies."""
        return float(_entropies(statistics).sum())


class AzProgressivity(_EntropyScore):
    """Least increase of the entropy from one block to the next, min_l (e_l - e_(l-1)); higher is better.

    Cost: one forward, shared with `AzExpressivity`.
    """

    name = "az_progressivity"
    description = "AZ-NAS: least increase of that entropy from one block to the next"

    def score(self, statistics: Statistics) -> float:
        """Returns the least difference of successive entropies."""
        return float(np.diff(_entropies(statistics)).min())


class AzTrainability(Proxy):
    """Stability of gradients from block to block, mean_l (2 - s_l - 1 / s_l); higher is better, at most 0.

    Cost: one backward, whose forward also serves the published form of the two other scores. A block that passes its gradient on
    unchanged (a skip connection alone) has nothing to train. The paper's code gives it -infinity, the last rank; here the candidate
    fails with that reason.
    """

    name = "az_trainability"
    description = "AZ-NAS: whether gradients neither grow nor vanish from block to block"
    needs = "network"
    cost = "backward"
    Parameters = AzNasParameters
    measured_by = ("images",)
    parameters: AzNasParameters

    def measure(self, subject: Subject) -> Statistics:
        """Returns the statistics of the primary blocks, see `block_statistics`."""
        return block_statistics(subject, self.parameters.images)

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


class BlockObserver(Observer):
    """Observer of the spectra of the primary blocks.

    Statistics, for L + 1 blocks: ``variances`` [L + 1], the sum over the channels, and ``entropies`` [L + 1], NaN where a map is
    constant or not finite.
    """

    reads_blocks = True
    block_reduction = "spectra"

    def __init__(self) -> None:
        self.spectra: list[Tensor] = []

    def activation(self, name: str, output: Tensor, multiplicity: int = 1) -> None:
        """Ignores activation layers."""

    def block(self, output: Tensor, multiplicity: int = 1) -> None:
        """Reduces the output of one block."""
        self.take_block(self.reduce_block(output[None])[0], multiplicity)

    def reduce_block(self, outputs: Tensor) -> Tensor:
        """Returns `spectra` of one block's outputs [K, N, ...]."""
        return spectra(outputs)

    def take_block(self, reduced: Tensor, multiplicity: int = 1) -> None:
        """Adds the variance and entropy of one block."""
        self.spectra += [reduced] * multiplicity

    def fork(self) -> BlockObserver:
        """Returns another observer that has seen the same blocks so far."""
        other = type(self)()
        other.spectra = self.spectra.copy()
        return other

    def finish(self) -> Statistics:
        """Returns the statistics; the scores fail networks that are dead."""
        import torch

        found = torch.stack(self.spectra).cpu().numpy().astype(float) if self.spectra else np.zeros((0, 2))
        return {"variances": found[:, 0], "entropies": found[:, 1]}


def block_statistics(subject: Subject, images: int) -> Statistics:
    """Returns the statistics of the three scores, measured once per candidate.

    Args:
        subject: The candidate.
        images: Number of images of noise.

    Returns:
        The statistics of `BlockObserver`, and ``gains`` [L], the s_l, and ``unchanged`` [L], whether g_in equals g_out.
    """
    found = subject.shared(f"az_nas/{images}", lambda: _run(subject, images, "batch", _GradientObserver(subject)))
    subject.shared(_place(images, "batch"), lambda: {name: found[name] for name in ("variances", "entropies")})
    return found


def _place(images: int, statistics: str) -> str:
    return f"az_nas/{images}/{statistics}"


def _run(subject: Subject, images: int, statistics: Literal["batch", "image"], observer: BlockObserver) -> Statistics:
    """Runs the network once on noise and returns the statistics of an observer of its primary blocks."""
    import torch

    from rbflex_evo.fitness.passes.last_map import channels_last
    from rbflex_evo.fitness.passes.layout import needs_evidence
    from rbflex_evo.fitness.passes.reductions.channels import Channels, arranged
    from rbflex_evo.fitness.passes.watch import Rewired, batch_norm, evaluation_mode, image_norm, normalisations, tensor_of

    network = subject.network
    noise = subject.random_inputs("az_nas/images", images)
    gradients = isinstance(observer, _GradientObserver)
    channels = Channels() if needs_evidence(network) else None

    def shown(position: int, module: nn.Module, inputs: Any, output: Any) -> Any:
        with torch._C.DisableTorchFunction():
            name = f"block {position}"
            made = tensor_of(output, name)
            dimension = None if channels is None else channels.dimension(made, name)
            if not isinstance(observer, _GradientObserver):
                observer.block(arranged(made, dimension))
                return None
            leaf = observer.cut(made, dimension)
            if channels is not None:
                channels.keep(leaf, made)
            return leaf if made is output else (leaf, *output[1:])

    with ExitStack() as stack:
        if channels is not None:
            stack.enter_context(channels)
        for position, block in enumerate(subject.space.blocks(network)):
            stack.callback(block.register_forward_hook(partial(shown, position)).remove)
        stack.enter_context(evaluation_mode(network))
        stack.enter_context(torch.enable_grad() if gradients else torch.no_grad())
        stack.enter_context(Rewired(normalisations(batch_norm if statistics == "batch" else image_norm), {}))
        network(channels_last(noise))  # A pixel is then a row in memory.
    return observer.finish()


class _GradientObserver(BlockObserver):
    """Observer that also runs the backward from each block's output to the previous one, and detaches the graph there."""

    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self.subject = subject
        self.previous: tuple[Tensor, int | None] | None = None
        self.gains: list[float] = []
        self.unchanged: list[bool] = []

    def cut(self, output: Tensor, dimension: int | None) -> Tensor:
        """Reduces the output of one block, and returns a copy without its graph, which replaces it.

        Args:
            output: The output.
            dimension: The dimension of its channels, None for that of the convention.
        """
        from rbflex_evo.fitness.passes.reductions.channels import arranged

        leaf = output.detach()
        self.block(arranged(leaf, dimension))
        if self.previous is not None:
            self.backward(*self.previous, arranged(output, dimension))
        self.previous = leaf.requires_grad_(), dimension
        # A block may change its input in place, which a leaf of the graph does not allow.
        return leaf.clone()

    def backward(self, before: Tensor, dimension: int | None, output: Tensor) -> None:
        """Runs the backward from the arranged output of a block to the output of the previous one."""
        import torch

        from rbflex_evo.fitness.passes.reductions.channels import arranged

        rows = observations(output.detach())
        signs = self.subject.signs(f"az_nas/{len(self.gains)}", tuple(rows.shape))
        outgoing = _like(signs, output)
        incoming = None
        if output.requires_grad:
            (incoming,) = torch.autograd.grad(output, before, outgoing, allow_unused=True)
        if incoming is None:
            incoming = torch.zeros_like(before)
        incoming = arranged(incoming, dimension)
        self.unchanged.append(incoming.shape == outgoing.shape and torch.equal(incoming, outgoing))
        incoming_rows = observations(_unshuffled(incoming, output))
        n, more = len(output), len(rows) - len(incoming_rows)
        if output.dim() == 3 and more in [n * tokens for tokens in LEADING]:
            signs = signs.view(*output.shape)[:, more // n :].flatten(0, 1)
        elif more:
            raise CandidateFailed(f"AZ-NAS finds no pixels of {list(before.shape)} for those of {list(output.shape)}")
        correlation = (product(incoming_rows, signs) / len(incoming_rows)).cpu().numpy()
        finite = np.isfinite(correlation).all()
        self.gains.append(float(np.linalg.norm(correlation, 2)) if finite else float("nan"))

    def finish(self) -> Statistics:
        """Returns all statistics."""
        return {**super().finish(), "gains": np.array(self.gains), "unchanged": np.array(self.unchanged, bool)}


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
