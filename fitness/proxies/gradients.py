"""The pruning scores of Abdelfattah et al. (ICLR 2021, arXiv 2101.08134) that read the loss's gradient; survey: arXiv 2307.01998.

    L = the loss of the space's task over the N images, batch normalisation by the batch's statistics
    grad_norm = sum over layers of ||dL/dw||                          (survey eq. 1)
    snip      = sum over weights of |w dL/dw|                         (Lee et al. 2019; eq. 2)
    grasp     = - sum over weights of w (H g), g = dL/dw, H = d2L/dw2  (Wang et al. 2020; eq. 4)
    fisher    = sum over layers, channels of 1/2 mean_n (sum over pixels of z dL/dz)^2   (Turner et al. 2020; eq. 6)

Layers are convolutions and linear layers, z their outputs, w their weights without biases. The first-order scores share one
forward and backward; grasp differentiates twice and has a pass of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rbflex_evo.fitness.passes.observer import Statistics, sum_dtype

from .proxy import Proxy

if TYPE_CHECKING:
    import torch

    from rbflex_evo.fitness.passes.subject import Subject


@dataclass(frozen=True)
class LossPass:
    """Sums of one forward and backward of the loss, float64 scalars, one per layer.

    Attributes:
        norms: Norms of the gradients.
        saliencies: Sums of |w dL/dw|.
        fisher: Sums over channels of 1/2 mean_n (sum over pixels of z dL/dz)^2.
    """

    norms: list[torch.Tensor]
    saliencies: list[torch.Tensor]
    fisher: list[torch.Tensor]


class GradNorm(Proxy):
    """Sum over layers of the norm of the loss's gradient (survey eq. 1); higher is better.

    Cost: one backward, shared with snip and fisher. The loss is the task's; labels are the data's or seeded random ones.
    Pitfalls: it grows with depth and scales with the loss, so only scores on the same data set are comparable.
    """

    name = "grad_norm"
    description = "sum over layers of the loss gradient's norm"
    needs = "network"
    cost = "backward"
    uses_labels = True

    def measure(self, subject: Subject) -> Statistics:
        """Returns ``norms`` [layers], float64."""
        from rbflex_evo.fitness.passes.backward import collect

        return {"norms": collect(loss_pass(subject).norms, "gradients of the loss")}

    def score(self, statistics: Statistics) -> float:
        """Returns the sum of the norms."""
        return float(statistics["norms"].sum())


class Snip(Proxy):
    """Sum over weights of |w dL/dw| (Lee et al., ICLR 2019; survey eq. 2); higher is better.

    Cost: one backward, shared with grad_norm and fisher. The loss is the task's; labels are the data's or seeded random ones.
    Pitfalls: the survey writes |<w, dL/dw>| for a layer, but that inner product is 0 before any batch normalisation, which
    ignores the scale of w. Lee and Abdelfattah take the absolute value of each weight, as here.
    """

    name = "snip"
    description = "sum over weights of |weight x loss gradient|"
    needs = "network"
    cost = "backward"
    uses_labels = True

    def measure(self, subject: Subject) -> Statistics:
        """Returns ``saliencies`` [layers], float64."""
        from rbflex_evo.fitness.passes.backward import collect

        return {"saliencies": collect(loss_pass(subject).saliencies, "products of weights and gradients")}

    def score(self, statistics: Statistics) -> float:
        """Returns the sum of the saliencies."""
        return float(statistics["saliencies"].sum())


class Fisher(Proxy):
    """Sum over channels of 1/2 mean_n (sum over pixels of z dL/dz)^2 (Turner et al. 2020; survey eq. 6); higher is better.

    Cost: one backward, shared with grad_norm and snip. The loss is the task's; labels are the data's or seeded random ones.
    Pitfalls: the published code multiplies each channel by its number of weights, which the paper does not. A hook on the output
    would read z after an in-place activation has changed it, so the gradient is taken with respect to a factor of 1 on each
    channel: it equals the sum of z dL/dz without reading z again.
    """

    name = "fisher"
    description = "sum over channels of the squared product of feature maps and their gradient"
    needs = "network"
    cost = "backward"
    uses_labels = True

    def measure(self, subject: Subject) -> Statistics:
        """Returns ``fisher`` [layers], float64."""
        from rbflex_evo.fitness.passes.backward import collect

        done = loss_pass(subject)
        # The logits have a gradient even if they are the same for every image.
        collect(done.norms, "gradients of the loss")
        return {"fisher": collect(done.fisher, "gradients of the feature maps")}

    def score(self, statistics: Statistics) -> float:
        """Returns the sum over the layers."""
        return float(statistics["fisher"].sum())


class Grasp(Proxy):
    """Minus the sum over weights of w (H g) (Wang et al., ICLR 2020; survey eq. 4); higher is better.

    Cost: a backward through a backward, the most expensive of the family. The loss is the task's; labels are the data's or seeded
    random ones. Pitfalls: the sign. Pruning keeps the weights of lowest -w (H g); as a score of networks, Abdelfattah et al. take
    the sum of -w (H g) and find that higher is better. The score may be negative, and 0 is a valid score.
    """

    name = "grasp"
    description = "minus the sum over weights of weight x (Hessian x gradient)"
    needs = "network"
    cost = "backward"
    uses_labels = True

    def measure(self, subject: Subject) -> Statistics:
        """Returns ``products`` [layers], minus the sum of w (H g) of each layer, float64."""
        import torch

        from rbflex_evo.fitness.passes.backward import collect, gradients, inputs_of, training, weights_of

        network = subject.lean
        double = sum_dtype(subject.images.device)
        weights = weights_of(network)
        with training(network, again=True):
            loss = subject.loss(network(inputs_of(subject)))
            found = gradients(loss, weights, create_graph=True)
            pairs = [(w, g) for w, g in zip(weights, found, strict=True) if g is not None]
            collect([torch.linalg.vector_norm(g.detach(), dtype=double) for _, g in pairs], "gradients of the loss")
            norm = torch.stack([(g.detach() * g).sum() for _, g in pairs]).sum()
            curved = gradients(norm, [w for w, _ in pairs])
        terms = [-(w.detach() * h).sum(dtype=double) for (w, _), h in zip(pairs, curved, strict=True) if h is not None]
        return {"products": collect(terms, "products of Hessian and gradient", scored=False)}

    def score(self, statistics: Statistics) -> float:
        """Returns the sum over the layers."""
        return float(statistics["products"].sum())


def loss_pass(subject: Subject) -> LossPass:
    """Returns the first-order sums of the loss's gradient, computed once per candidate."""
    return subject.shared("loss pass", lambda: _loss_pass(subject))


def _loss_pass(subject: Subject) -> LossPass:
    import torch
    from torch.nn import functional

    from rbflex_evo.fitness.passes.backward import gradients, inputs_of, training, weights_of
    from rbflex_evo.fitness.passes.watch import CONVOLUTIONS, served

    network, images = subject.lean, inputs_of(subject)
    double = sum_dtype(images.device)
    factors: list[torch.Tensor] = []

    def with_factor(function: Callable[..., torch.Tensor], channels: int) -> Callable[..., torch.Tensor]:
        def run(*args: Any, **kwargs: Any) -> torch.Tensor:
            output: torch.Tensor = served(function)(*args, **kwargs)
            # An output that is not computed per image (a table of positions) is no feature map.
            if output.dim() < 2 or len(output) != len(images):
                return output
            shape = [1] * output.dim()
            shape[0], shape[channels] = len(output), output.shape[channels]
            factors.append(torch.ones(shape, dtype=output.dtype, device=output.device, requires_grad=True))
            return output * factors[-1]

        return run

    replaced: dict[Any, Callable[..., Any]] = {convolve: with_factor(convolve, 1) for convolve in CONVOLUTIONS}
    replaced[functional.linear] = with_factor(functional.linear, -1)
    weights = weights_of(network)
    with training(network, replaced=replaced):
        loss = subject.loss(network(images))
        found = gradients(loss, [*weights, *factors])
    pairs = [(w.detach(), g) for w, g in zip(weights, found[: len(weights)], strict=True) if g is not None]
    return LossPass(
        [torch.linalg.vector_norm(g, dtype=double) for _, g in pairs],
        [(w * g).abs_().sum(dtype=double) for w, g in pairs],
        [g.to(double).square().sum() / (2 * len(images)) for g in found[len(weights) :] if g is not None],
    )
