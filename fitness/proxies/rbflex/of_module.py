"""The RBFleX score of any torch module, without a search space."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from .score import Rbflex, RbflexParameters

if TYPE_CHECKING:
    import torch
    from torch import nn


def rbflex_score(
    model: nn.Module,
    images: torch.Tensor,
    *,
    classifier: nn.Module | str | None = None,
    gamma: str | Sequence[float] = "published",
    kernel: str = "rbf",
) -> float:
    """Returns the RBFleX score N (log|K| + log|Q|) of `model` on `images` [N, ...] (RBFleX eq. 1-7).

    Weights, buffers and training modes are unchanged afterwards, and so is the global random state. The score does not depend on
    settings of the calling program, such as the default dtype, autocast or the number of threads: the model runs in its own
    precision in one thread, and one thread of the process scores at a time. Scores are comparable only for the same images and
    gammas.

    If there are fewer features than N - 1, or images are nearly equal, the formula would give round-off or -infinity; eigenvalues
    below 1e-5 of the largest one of a matrix are therefore raised to that value (see `kernels`).

    Args:
        model: Any module; its weights are used as they are.
        images: At least 2 inputs on the model's device. The first dimension of every map of the model must be the image.
        classifier: Layer whose input is the feature vector Y, or its name; by default the last registered Linear layer.
        gamma: ``published`` (the constants of the paper's scripts), ``flat`` (the gamma-free limit), two numbers
            [gamma_k, gamma_q], or ``hda``. The latter is detected on this model alone (M = 1), so its scores are not comparable
            between models.
        kernel: ``rbf``, ``linear``, ``psnr`` or ``ssim``.

    Raises:
        ConfigError: If a parameter is wrong or there is no classifier.
        CandidateFailed: If the model cannot be scored, for example because its forward draws random numbers; the message is the
            reason.
    """
    import numpy as np
    from torch import nn

    from rbflex_evo.fitness.passes.watch import run_observed
    from rbflex_evo.spaces import ConfigError, near_name, parse

    given: object = gamma
    if not isinstance(gamma, str):
        # `parse` refuses anything but a sequence of numbers.
        with contextlib.suppress(TypeError, ValueError):
            given = [float(g) for g in gamma]
    parameters = parse(RbflexParameters, {"gamma": given, "kernel": kernel, "networks": 1}, "")
    if len(images) < 2:
        raise ConfigError(f"a score compares at least 2 images, but there are {len(images)}")
    for what, tensor in (("images are", images), *((f"parameter {name!r} is", p) for name, p in model.named_parameters())):
        if tensor.is_floating_point() and tensor.itemsize < 4:
            raise ConfigError(
                f"the {what} {tensor.dtype}, too coarse to measure distances between images; score model.float() on images.float()"
            )
    modules = dict(model.named_modules())
    if isinstance(classifier, str):
        if classifier not in modules:
            raise ConfigError(f"the model has no module {classifier!r}{near_name(classifier, modules)}")
        last = modules[classifier]
    elif isinstance(classifier, nn.Module):
        last = classifier
    elif classifier is not None:
        raise ConfigError(f"classifier should be a module of the model or its name, but it is {classifier!r}")
    else:
        linear = [module for module in modules.values() if isinstance(module, nn.Linear)]
        if not linear:
            raise ConfigError("the model has no Linear layer; pass classifier=, the layer whose input is the feature vector")
        last = linear[-1]
    proxy = Rbflex(parameters)
    observer = proxy.observer()
    with _settings_of(model, images):
        # The first layer may change its input in place.
        run_observed(model, images.clone(), [observer], last)
        statistics = observer.finish()
        values = proxy.calibrate([statistics], np.random.default_rng(0))
        return proxy.calibrated(values).score(statistics)


@contextlib.contextmanager
def _settings_of(model: nn.Module, images: torch.Tensor) -> Iterator[None]:
    """Context in which new tensors have the model's dtype, and settings of the calling program have no effect."""
    import torch

    from rbflex_evo.spaces.isolation.settings import own_settings

    # A model that was built for an accelerator as the default device may make tensors there without naming it.
    same_device = images.device.type != "cpu" and torch.empty(0).device == images.device
    floating = [tensor.dtype for tensor in (images, *model.parameters()) if tensor.is_floating_point()]
    with own_settings(), torch.device(images.device) if same_device else contextlib.nullcontext():
        before = torch.get_default_dtype()
        torch.set_default_dtype(floating[0] if floating else before)
        try:
            yield
        finally:
            torch.set_default_dtype(before)
