"""SynFlow (Tanaka et al., NeurIPS 2020, arXiv 2006.05467) and LogSynFlow (Cavagnero et al., 2023, arXiv 2207.05135).

    R = the sum of the outputs for an input of ones, with |w| for every weight, batch normalisation bypassed
    synflow    = log sum over weights of |w| dR/d|w|             (survey, arXiv 2307.01998, eq. 3, in logarithm)
    logsynflow = sum over weights of |w| log(dR/d|w| + 1)        (Rank-based NAS, eq. 7)

The gradient reaches 1e60 on NATS-Bench, hence float64 and the logarithms. Both scores need no data and share one pass on a copy of
the network. An input of ones is an image of ones, or a sentence whose word ids are all 1.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from rbflex_evo.fitness.passes.observer import CandidateFailed, Statistics

from .proxy import Proxy

if TYPE_CHECKING:
    import torch

    from rbflex_evo.fitness.passes.subject import Subject

NO_FLOW = "no weight carries any flow: no path from input to output, or an activation that saturates (tanh) on the way"


class Synflow(Proxy):
    """Logarithm of the sum of |w| dR/d|w| over the weights of convolutions and linear layers; higher is better.

    Cost: one backward of one image of ones; no data, loss or labels. Pitfalls: the sum reaches 1e61, so it is computed in float64
    and its logarithm is the score, which changes no rank. The sum depends on depth and width as much as on connections. Layer
    normalisation and attention preserve signs and are not bypassed: a sum over layer-normalised outputs is round-off by
    construction (the paper's values for BERT are about 1e-13), and a network with a sum below zero fails.
    """

    name = "synflow"
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
        if flow < 0:
            raise CandidateFailed(f"the flow is {flow:.3g}, below zero: a layer normalisation or attention lets signs through")
        if not math.isfinite(flow):
            raise CandidateFailed(f"the flow is {flow:g}")
        return float(np.log(flow))


class LogSynflow(Proxy):
    """Sum of |w| log(dR/d|w| + 1) over the weights of convolutions and linear layers; higher is better.

    Cost: one backward of one image of ones, shared with synflow; no data, loss or labels. Pitfalls: as for synflow. The paper
    writes w, and its code takes |w| throughout, as here. A layer that preserves signs (attention) may have a gradient below -1,
    which has no logarithm; the network then fails.
    """

    name = "logsynflow"
    description = "synaptic flow with the logarithm of each gradient, so that no layer drowns the others"
    needs = "network"
    cost = "data-free"

    def measure(self, subject: Subject) -> Statistics:
        """Returns ``flows`` [layers], the sum over each layer's weights, float64.

        Raises:
            CandidateFailed: If no weight has any flow, or a logarithm is undefined.
        """
        from rbflex_evo.fitness.passes.backward import collect

        terms = [(weight * gradient.log1p()).sum() for weight, gradient in synaptic_flow(subject)]
        flows = collect(terms, "logarithms of the flow", scored=False)
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

    network, images = subject.lean, subject.images
    # Apple's devices have no float64; elsewhere the copy stays on the network's device.
    device = torch.device("cpu") if images.device.type == "mps" else images.device
    linear = copy.deepcopy(network).to(device).double()
    with torch.no_grad():
        for parameter in linear.parameters():
            parameter.abs_()
    weights = weights_of(linear)
    ones = torch.ones(1, *images.shape[1:], dtype=torch.float64 if images.is_floating_point() else images.dtype, device=device)

    def bypass(x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        return x

    with training(linear, bypass):
        flow = linear(ones).sum()
    found = gradients(flow, weights)
    return [(w.detach(), g) for w, g in zip(weights, found, strict=True) if g is not None]
