"""One candidate for scores with passes of their own, with everything that several scores share.

subject.network       the network, built and initialised on first use, so that a score that only counts never builds it
subject.lean          the same network in a form without modules, if the space has one: for passes that watch no module
subject.images        inputs [N, ...] on the device: images, or word ids
subject.random_inputs noise images, or random words
subject.labels        the data's labels, seeded random labels if it has none (classification), or N(0, 1) targets (regression)
subject.loss(output)  the loss of the space's task, over the whole batch or a part of it
subject.shared(...)   a pass that several scores read, computed once
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cached_property
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from rbflex_evo.spaces import ConfigError, Genotype, SearchSpace

from .weights import Distribution, WeightParameters, build_initialised, build_lean, draw, draw_signs, draw_words

Result = TypeVar("Result")


class Subject:
    """One candidate of a space with fixed weights and inputs.

    Args:
        space: The search space.
        genotype: Genotype of the candidate.
        images: Inputs [N, ...] on the device: images in the precision of the forward, or word ids.
        labels: Labels int64 [N], None if the data has none.
        weights: Seed and distribution of the weights.
        dtype: Precision of the forward; None for that of the images, or float32 for word ids.
    """

    def __init__(
        self,
        space: SearchSpace,
        genotype: Genotype,
        images: Tensor,
        labels: Tensor | None = None,
        weights: WeightParameters | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.space = space
        self.genotype = genotype
        self.images = images
        self.dtype = dtype or (images.dtype if images.is_floating_point() else torch.float32)
        self.weights = weights or WeightParameters()
        self._labels = labels
        self._shared: dict[str, object] = {}
        self._own: nn.Module | None = None  # The network if it was built here.

    @cached_property
    def network(self) -> nn.Module:
        """The raw network with its weights; a pass that changes it must restore it."""
        self._own = self._built(self.weights)
        return self._own

    @cached_property
    def classifier(self) -> nn.Module:
        """The layer whose input is the feature vector."""
        return self.space.classifier(self.network)

    def initialised(self, distribution: Distribution) -> nn.Module:
        """Returns the raw network with weights of the same seed from `distribution` instead of the configured one."""
        weights = WeightParameters(seed=self.weights.seed, distribution=distribution)
        if weights == self.weights:
            return self.network
        return self.shared(f"network/{distribution}", lambda: self._built(weights))

    @cached_property
    def lean(self) -> nn.Module:
        """The network in its lean form if the space has one, else `network`; nothing may change its parameters.

        A network that was assigned to `network` has no other form.
        """
        return self.network if self._assigned else self._lean(self.weights) or self.network

    @property
    def _assigned(self) -> bool:
        return self.__dict__.get("network") is not self._own

    def absolute(self, device: torch.device) -> nn.Module:
        """Returns the network, in its lean form if it has one, with the absolute values of its parameters, in float64.

        Nothing may change its parameters.

        Args:
            device: Device of the parameters.
        """
        if not self._assigned:
            lean = build_lean(self.space, self.genotype, self.weights, device, torch.float64, absolute=True)
            if lean is not None:
                return lean
        network = copy.deepcopy(self.network).to(device).double()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.abs_()
        return network

    def lean_initialised(self, distribution: Distribution) -> nn.Module:
        """Returns `initialised(distribution)` in its lean form if the space has one."""
        weights = WeightParameters(seed=self.weights.seed, distribution=distribution)
        if weights == self.weights:
            return self.lean
        return self.shared(f"lean/{distribution}", lambda: self._lean(weights) or self.initialised(distribution))

    def _lean(self, weights: WeightParameters) -> nn.Module | None:
        return build_lean(self.space, self.genotype, weights, self.images.device, self.dtype)

    def _built(self, weights: WeightParameters) -> nn.Module:
        return build_initialised(self.space, self.genotype, weights).to(self.images.device, self.dtype)

    def shared(self, name: str, compute: Callable[[], Result]) -> Result:
        """Returns the result of `compute`, computed once per candidate and `name`."""
        if name not in self._shared:
            self._shared[name] = compute()
        return self._shared[name]  # type: ignore[return-value]

    def normal(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Returns N(0, 1) noise of `shape` on the device, a pure function of the weights' seed and `name`."""
        return self._drawn(draw(self.weights.seed, f"noise/{name}", shape, True))

    def random_inputs(self, name: str, n: int) -> Tensor:
        """Returns `n` inputs of the data's shape, noise or words, a pure function of the weights' seed and `name`."""
        shape = (n, *self.images.shape[1:])
        if self.space.inputs == "words":
            return torch.from_numpy(draw_words(self.weights.seed, name, shape, self.space.vocabulary)).to(self.images.device)
        return self.normal(name, shape)

    def uniform(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Returns uniform values in [-1, 1) of `shape`, a pure function of the weights' seed and `name`."""
        return self._drawn(draw(self.weights.seed, f"uniform/{name}", shape, False))

    def signs(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Returns random signs (+-1, Rademacher) of `shape`, a pure function of the weights' seed and `name`."""
        return self._drawn(draw_signs(self.weights.seed, f"signs/{name}", shape))

    def _drawn(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(self.images.device, self.dtype)

    def labels(self, output: Tensor, part: slice = slice(None)) -> Tensor:
        """Returns the targets of the network's output: the data's labels, or random ones.

        Random labels are uniform over the classes (dimension 1 of the output), one per image, or one per pixel if the output is a
        map. Random targets of a regression are N(0, 1).

        Args:
            output: Output of the network for the images of `part`.
            part: Part of the batch.

        Raises:
            ConfigError: If the data has a label for which the network has no output.
        """
        # Targets are drawn for the whole batch, so that an image has the same target in any part.
        n = len(self.images)
        if self.space.loss == "mean_squared_error":
            return self.normal("targets", (n, *output.shape[1:]))[part]
        classes = output.shape[1]
        if self._labels is not None and output.dim() == 2:
            least, largest = int(self._labels.min()), int(self._labels.max())
            if least < 0:
                raise ConfigError(f"the data's labels must not be below 0, but the smallest is {least}")
            if largest >= classes:
                raise ConfigError(
                    f"the data's labels go up to {largest}, but {self.space.name} has {classes} outputs; "
                    "set the space's classes to the data set's"
                )
            return self._labels[part].to(output.device)
        uniform = torch.from_numpy(draw(self.weights.seed, "labels", (n, *output.shape[2:]), False))
        return ((uniform + 1) / 2 * classes).long().clamp_(max=classes - 1)[part].to(output.device)

    def loss(self, output: Tensor, part: slice = slice(None)) -> Tensor:
        """Returns the loss [] of the space's task over the images of `part`: mean cross-entropy, or mean squared error."""
        loss = functional.mse_loss if self.space.loss == "mean_squared_error" else functional.cross_entropy
        return loss(output, self.labels(output, part))
