"""SynFlow (Tanaka et al., NeurIPS 2020, arXiv 2006.05467) and LogSynFlow (Cavagnero et al., 2023, arXiv 2207.05135).

    R = the sum of the outputs for an input of ones, with |w| for every weight, batch normalisation bypassed
    synflow    = log sum over weights of |w| dR/d|w|             (survey, arXiv 2307.01998, eq. 3, in logarithm)
    logsynflow = sum over weights of |w| log(dR/d|w| + 1)        (Rank-based NAS, eq. 7)

The gradient reaches 1e60 on NATS-Bench, hence float64 and the logarithms. Both scores need no data and share one pass on a copy of
the network.

The papers score convolutional networks. A flow is a sum over paths, so every operation on the way has to keep signs, and the others
are treated as batch normalisation is in the papers:

    layer, group and instance normalisation, tanh   bypassed (a tanh of large sums is 1 and would stop the flow)
    attention                                       its softmax is constant: shares of a mixture, which carry no flow of their own

Queries and keys therefore carry no flow. An input of ones is an image of ones, or a sentence whose word ids are all 1: what a table
gives for a word is a constant of the network, as a bias is, and like all parameters it enters by its absolute value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from rbflex_evo.fitness.passes.observer import CandidateFailed, Statistics

from .proxy import Proxy

if TYPE_CHECKING:
    import torch

    from rbflex_evo.fitness.passes.subject import Subject

NO_FLOW = "no weight carries any flow: no path from input to output, or an activation that saturates on the way"

SIGNS = "an operation on the way changes signs"


class Synflow(Proxy):
    """Logarithm of the sum of |w| dR/d|w| over the weights of convolutions and linear layers; higher is better.

    Cost: one backward of one image of ones; no data, loss or labels. Pitfalls: the sum reaches 1e61, so it is computed in float64
    and its logarithm is the score, which changes no rank. The sum depends on depth and width as much as on connections. For
    large positive sums most activations are the identity, so it hardly tells them apart. An operation that changes signs in another
    way than by normalisation and attention may give a sum below zero, which fails.
    """

    name = "synflow"
    version = 2
    description = "logarithm of synaptic flow: how much each weight takes part in the network's flow"
    needs = "network"
    cost = "data-free"

    def measure(self, subject: Subject) -> Statistics:
        """Returns ``flow`` [], the sum over all weights, float64."""
        import torch

        terms = [(weight * gradient).sum() for weight, gradient in synaptic_flow(subject)]
        return {"flow": torch.stack(terms).sum().cpu().numpy() if terms else np.zeros(())}

    def score(self, statistics: Statistics) -> float:
        """Returns the logarithm of the flow.

        Raises:
            CandidateFailed: If the flow is zero, negative or not finite.
        """
        flow = float(statistics["flow"])
        if flow == 0:
            raise CandidateFailed(NO_FLOW)
        if not math.isfinite(flow):
            raise CandidateFailed(f"the flow is {flow:g}: weights that are not finite, or sums beyond float64")
        if flow < 0:
            raise CandidateFailed(f"the flow is {flow:.3g}, below zero: {SIGNS}")
        return float(np.log(flow))


class LogSynflow(Proxy):
    """Sum of |w| log(dR/d|w| + 1) over the weights of convolutions and linear layers; higher is better.

    Cost: one backward of one image of ones, shared with synflow; no data, loss or labels. Pitfalls: as for synflow. The paper
    writes w, and its code takes |w| throughout, as here. A gradient below -1, of an operation that changes signs, has no logarithm;
    the network then fails.
    """

    name = "logsynflow"
    version = 2
    description = "synaptic flow with the logarithm of each gradient, so that no layer drowns the others"
    needs = "network"
    cost = "data-free"

    def measure(self, subject: Subject) -> Statistics:
        """Returns ``flows`` [layers], the sum over each layer's weights, float64.

        Raises:
            CandidateFailed: If no weight has any flow, or a logarithm is undefined.
        """
        from rbflex_evo.fitness.passes.backward import collect

        found = synaptic_flow(subject)
        least = min((float(gradient.min()) for _, gradient in found), default=0.0)
        if least <= -1:
            raise CandidateFailed(f"a gradient of the flow is {least:.3g}, without a logarithm: {SIGNS}")
        terms = [(weight * gradient.log1p()).sum() for weight, gradient in found]
        flows = collect(terms, "gradients of the flow (weights that are not finite, or sums beyond float64)", scored=False)
        if not flows.any():
            raise CandidateFailed(NO_FLOW)
        return {"flows": flows}

    def score(self, statistics: Statistics) -> float:
        """Returns the sum over the layers."""
        return float(statistics["flows"].sum())


def synaptic_flow(subject: Subject) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Returns |w| and dR/d|w| of every layer that R depends on, float64, computed once per candidate."""
    return subject.shared("synaptic flow", lambda: _synaptic_flow(subject))


def _synaptic_flow(subject: Subject) -> list[tuple[torch.Tensor, torch.Tensor]]:
    import torch

    from rbflex_evo.fitness.passes.backward import gradients, training, weights_of

    images = subject.images
    # Apple's devices have no float64; elsewhere the copy stays on the network's device.
    device = torch.device("cpu") if images.device.type == "mps" else images.device
    linear = subject.absolute(device)
    weights = weights_of(linear)
    ones = torch.ones(1, *images.shape[1:], dtype=torch.float64 if images.is_floating_point() else images.dtype, device=device)
    with training(linear, _bypass, _sign_preserving()):
        flow = linear(ones).sum()
    found = gradients(flow, weights)
    return [(w.detach(), g) for w, g in zip(weights, found, strict=True) if g is not None]


def _bypass(x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    return x


def _sign_preserving() -> dict[Any, Callable[..., Any]]:
    """Returns replacements, by torch function, of operations whose gradients change signs or vanish."""
    import torch
    from torch import Tensor
    from torch.nn import functional

    bypassed = (
        functional.layer_norm, torch.layer_norm, functional.group_norm, torch.group_norm, functional.rms_norm, torch.rms_norm,
        functional.instance_norm, torch.instance_norm, torch.tanh, Tensor.tanh, functional.tanh,
    )  # fmt: skip
    constant = (functional.softmax, torch.softmax, Tensor.softmax)
    return {
        **dict.fromkeys(bypassed, _bypass),
        **{softmax: partial(_detached, softmax) for softmax in constant},
        functional.scaled_dot_product_attention: _dot_product_attention,
        functional.multi_head_attention_forward: _multi_head_attention,
    }


def _detached(function: Callable[..., torch.Tensor], *args: Any, **kwargs: Any) -> torch.Tensor:
    return function(*args, **kwargs).detach()


def _dot_product_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    from torch.nn import functional

    return functional.scaled_dot_product_attention(query.detach(), key.detach(), value, *args, **kwargs)


def _multi_head_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    width: int,
    heads: int,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Computes attention as torch does, with weights of queries and keys that are constant.

    Torch computes queries, keys and values by one matrix [3 width, width], or by three where their widths differ.
    """
    import torch
    from torch.nn import functional

    if weight is not None:
        weight = torch.cat([weight[: 2 * width].detach(), weight[2 * width :]])
    for name in ("q_proj_weight", "k_proj_weight"):
        if kwargs.get(name) is not None:
            kwargs[name] = kwargs[name].detach()
    return functional.multi_head_attention_forward(query.detach(), key.detach(), value, width, heads, weight, bias, *args, **kwargs)
