"""SynFlow (Tanaka et al., NeurIPS 2020, arXiv 2006.05467), in logarithm: how much each weight takes part in the network's flow.

    R = the sum of the outputs for an image of ones, with |w| for every weight, batch normalisation bypassed
    score = log sum over weights of |w| dR/d|w|

The sum reaches 1e61 on NATS-Bench, hence float64 and the logarithm. It needs no data; the network itself is never changed.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fitness.proxy import CandidateFailed, Proxy, Statistics

if TYPE_CHECKING:
    import torch

    from fitness.subject import Subject


class Synflow(Proxy):
    """log sum |w| dR/d|w| over the weights of convolutions and linear layers; higher is better."""

    name = "synflow"
    description = "logarithm of synaptic flow: how much each weight takes part in the network's flow"
    needs = "network"
    cost = "data-free"

    def measure(self, subject: Subject) -> Statistics:
        import torch
        from torch.nn import functional

        from fitness.forward import Rewired, evaluation_mode

        network, images = subject.network, subject.images
        # Apple's devices have no float64; everywhere else the copy stays where the network is.
        device = torch.device("cpu") if images.device.type == "mps" else images.device
        linear = copy.deepcopy(network).to(device).double()
        with torch.no_grad():
            for parameter in linear.parameters():
                parameter.abs_()
        weights = [w.requires_grad_() for w in linear.parameters() if w.dim() > 1]
        ones = torch.ones(1, *images.shape[1:], dtype=torch.float64, device=device)

        def bypass(x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
            return x

        with evaluation_mode(linear), torch.enable_grad(), Rewired({functional.batch_norm: bypass}, {}):
            flow = linear(ones).sum()
        gradients = torch.autograd.grad(flow, weights, allow_unused=True)
        terms = [(w.detach() * g).sum() for w, g in zip(weights, gradients, strict=True) if g is not None]
        return {"flow": torch.stack(terms).sum().cpu().numpy()}

    def score(self, statistics: Statistics) -> float:
        flow = float(statistics["flow"])
        if flow == 0:
            raise CandidateFailed("no weight carries any flow: no path from input to output")
        if not math.isfinite(flow):
            raise CandidateFailed(f"the flow is {flow:g}")
        return float(np.log(flow))
