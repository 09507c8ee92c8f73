"""Eproxy (Li et al. 2023, arXiv 2210.09459): how well the network fits a fixed random signal after a few training steps.

    a copy of the network, its map before global pooling -> head (1 x 1 convolution, ReLU, batch normalisation, trained)
    -> barrier (3 x 3 convolution, drawn once, never trained) -> mean squared error to sine waves
    `steps` steps of SGD on all images;  score = -(loss before the last step)

The barrier prevents the head from fitting the signal alone, so that architectures differ after ten steps.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from rbflex_evo.fitness.passes.observer import CandidateFailed, Statistics
from rbflex_evo.spaces import Parameters

from .proxy import Proxy

if TYPE_CHECKING:
    from torch import Tensor

    from rbflex_evo.fitness.passes.subject import Subject

# As in the paper's code.
MOMENTUM, DECAY = 0.9, 4e-5


class EproxyParameters(Parameters):
    """Parameters of the few training steps.

    Attributes:
        steps: Steps of SGD.
        learning_rate: Learning rate of SGD.
        channels: Channels of the head, the barrier and the target.
    """

    steps: int = Field(default=10, ge=1)
    learning_rate: float = Field(default=1.2, gt=0)
    channels: int = Field(default=128, ge=1)


class Eproxy(Proxy):
    """Minus the loss of the last training step; higher is better, at most 0.

    Cost: `steps` forwards and complete backwards, so it is slow. Pitfalls: the paper optimises these settings on architectures of
    known accuracy (DPS), which a training-free search must not do. Here they are the paper's defaults, on the last map alone,
    where the paper may add earlier ones. The large learning rate is intended: a network that diverges fails.
    """

    name = "eproxy"
    description = "Eproxy: minus the loss of a few training steps towards a fixed random signal (slow)"
    needs = "network"
    cost = "backward"
    Parameters = EproxyParameters
    measured_by = ("steps", "learning_rate", "channels")
    parameters: EproxyParameters

    def measure(self, subject: Subject) -> Statistics:
        """Returns ``losses`` [steps], each before its step.

        Raises:
            CandidateFailed: If the map before pooling is constant or not finite, or the training diverges.
        """
        import torch
        from torch.nn import functional

        from rbflex_evo.fitness.passes.last_map import last_map
        from rbflex_evo.fitness.passes.watch import batch_norm

        network = copy.deepcopy(subject.network).requires_grad_()
        classifier = subject.space.classifier(network)

        def maps() -> Tensor:
            return _as_maps(last_map(network, classifier, subject.images, reads_channels=True))

        with torch.no_grad():
            first = maps()
        if not torch.isfinite(first).all():
            raise CandidateFailed("the map before pooling holds NaN or infinity")
        if first.amax() == first.amin():
            raise CandidateFailed("the map before pooling is constant: the signal died")
        channels = self.parameters.channels
        target = _sine_waves(subject, len(first), channels, first.shape[2], first.shape[3])
        head = _convolution(subject, "head", (channels, first.shape[1], 1, 1))
        barrier = _convolution(subject, "barrier", (channels, channels, 3, 3))
        scale, shift = torch.ones_like(head[1]), torch.zeros_like(head[1])
        trained = [*network.parameters(), *(value.requires_grad_() for value in (*head, scale, shift))]
        optimiser = torch.optim.SGD(trained, self.parameters.learning_rate, MOMENTUM, weight_decay=DECAY)
        losses = []
        with torch.enable_grad():
            for _ in range(self.parameters.steps):
                hidden = functional.relu(functional.conv2d(maps(), *head))
                hidden = batch_norm(hidden, weight=scale, bias=shift)
                loss = functional.mse_loss(functional.conv2d(hidden, *barrier, padding=1), target)
                losses.append(float(loss.detach()))
                if not math.isfinite(losses[-1]):
                    raise CandidateFailed(f"training broke in step {len(losses)}: the loss is {losses[-1]}")
                optimiser.zero_grad()
                torch.autograd.backward(loss)
                optimiser.step()
        return {"losses": np.array(losses)}

    def score(self, statistics: Statistics) -> float:
        """Returns minus the last loss."""
        return -float(statistics["losses"][-1])


def _as_maps(features: Tensor) -> Tensor:
    """Returns maps [N, C, H, W] as they are, tokens [N, T, C] as [N, C, 1, T] and features [N, C] as [N, C, 1, 1]."""
    if features.dim() == 4:
        return features
    return features.reshape(len(features), -1, features.shape[-1]).mT.unsqueeze(2)


def _sine_waves(subject: Subject, images: int, channels: int, height: int, width: int) -> Tensor:
    """Returns the target [N, C, H, W]: sin(2 pi f x + phase), f uniform in [0, 1/2) cycles a pixel, along rows or columns."""
    import torch

    uniform = (subject.uniform("eproxy/waves", (3, images, channels, 1, 1)) + 1) / 2
    frequency, phase, axis = 0.5 * uniform[0], 2 * math.pi * uniform[1], uniform[2] < 0.5
    rows = torch.arange(height, device=uniform.device, dtype=uniform.dtype)[:, None]
    columns = torch.arange(width, device=uniform.device, dtype=uniform.dtype)[None, :]
    position = torch.where(axis, rows, columns)
    return torch.sin(2 * math.pi * frequency * position + phase)


def _convolution(subject: Subject, name: str, shape: tuple[int, int, int, int]) -> tuple[Tensor, Tensor]:
    """Returns weight and bias of a convolution with PyTorch's default distribution, uniform within 1 / sqrt(fan-in)."""
    bound = 1 / math.sqrt(math.prod(shape[1:]))
    return subject.uniform(f"eproxy/{name}.weight", shape) * bound, subject.uniform(f"eproxy/{name}.bias", shape[:1]) * bound
