"""SynFlow (Tanaka et al., NeurIPS 2020, arXiv 2006.05467) and LogSynFlow (Cavagnero et al., 2023, arXiv 2207.05135).

    R = the sum of the outputs for an input of ones, with |w| for every weight, batch normalisation bypassed
    synflow    = log sum over weights of |w| dR/d|w|             (survey, arXiv 2307.01998, eq. 3, in logarithm)
    logsynflow = sum over weights of |w| log(dR/d|w| + 1)        (Rank-based NAS, eq. 7)

The gradient reaches 1e60 on NATS-Bench, hence float64 and the logarithms. Both need no data and share one pass; the network itself
is never changed. An input of ones is an image of ones, or a sentence whose words are all the word 1.
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
    """log sum |w| dR/d|w| over the weights of convolutions and linear layers; higher is better.

    Cost: one backward of one image of ones; no data, loss or labels. Pitfalls: it reaches 1e61, so it is summed in float64 and
    its logarithm is the score, which changes no rank; the sum is one network's depth and width as much as its wiring. Layer
    normalisation and attention let signs through and are not bypassed: a sum over layer-normalised outputs is round-off by
    construction (the paper's figures for BERT are about 1e-13), and one that comes out below zero fails.
    """

    name = "synflow"
    description = "logarithm of synaptic flow: how much each weight takes part in the network's flow"
    needs = "network"
    cost = "data-free"

    def measure(self, subject: Subject) -> Statistics:
        import torch

        terms = [(weight * gradient).sum() for weight, gradient in synaptic_flow(subject)]
        return {"flow": torch.stack(terms).sum().cpu().numpy() if terms else np.zeros(())}

    def score(self, statistics: Statistics) -> float:
        flow = float(statistics["flow"])
        if flow == 0:
            raise CandidateFailed(NO_FLOW)
        if flow < 0:
            raise CandidateFailed(f"the flow is {flow:.3g}, below zero: a layer normalisation or attention lets signs through")
        if not math.isfinite(flow):
            raise CandidateFailed(f"the flow is {flow:g}")
        return float(np.log(flow))


class LogSynflow(Proxy):
    """sum |w| log(dR/d|w| + 1) over the weights of convolutions and linear layers; higher is better.

    Cost: one backward of one image of ones, shared with synflow; no data, loss or labels. Pitfalls: those of synflow; the paper
    writes w, and its code takes |w| throughout, as here; a layer that lets signs through (attention) may have a gradient
    below -1, which has no logarithm, and the network fails.
    """

    name = "logsynflow"
    description = "synaptic flow with the logarithm of each gradient, so that no layer drowns the others"
    needs = "network"
    cost = "data-free"

    def measure(self, subject: Subject) -> Statistics:
        """Returns ``flows`` [layers], the sum over each layer's weights, float64."""
        from rbflex_evo.fitness.passes.backward import collect

        terms = [(weight * gradient.log1p()).sum() for weight, gradient in synaptic_flow(subject)]
        flows = collect(terms, "logarithms of the flow", scored=False)
        if not flows.any():
            raise CandidateFailed(NO_FLOW)
        return {"flows": flows}

    def score(self, statistics: Statistics) -> float:
        return float(statistics["flows"].sum())


def synaptic_flow(subject: Subject) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Returns |w| and dR/d|w| of every layer that R depends on, float64, computed once for a candidate."""
    return subject.shared("synaptic flow", lambda: _synaptic_flow(subject))


def _synaptic_flow(subject: Subject) -> list[tuple[torch.Tensor, torch.Tensor]]:
    import torch

    from rbflex_evo.fitness.passes.backward import gradients, training, weights_of

    network, images = subject.network, subject.images
    # Apple's devices have no float64; everywhere else the copy stays where the network is.
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
