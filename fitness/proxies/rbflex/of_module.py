"""The RBFleX score of any torch module, without a search space."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
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
    """Returns N (log|K| + log|Q|) of `model` as it is, on `images` [N, ...] (RBFleX eq. 1-7).

    Weights, buffers and training modes are the same afterwards. Compare scores only under the same images and gammas.
    Fewer features than N - 1, or images that are nearly equal, span no volume: eigenvalues below 1e-5 of a determinant's largest
    are raised to that (`kernels`), where the formula itself would give round-off or -infinity.

    Args:
        model: any module; its weights are used as they are.
        images: at least 2, on the model's device, one an entry of the first dimension, in every map of the model too.
        classifier: the layer whose input is the feature vector Y, or its name; by default the last registered Linear layer.
        gamma: ``published`` (the constants of the paper's scripts), ``flat`` (the gamma-free limit), two numbers
            [gamma_k, gamma_q], or ``hda``: detected on this model alone (M = 1), so not comparable with another model's.
        kernel: ``rbf``, ``linear``, ``psnr`` or ``ssim``.

    Raises:
        ConfigError: if a parameter is wrong or there is no classifier.
        CandidateFailed: if the model cannot be scored, saying why.
    """
    import numpy as np
    from torch import nn

    from rbflex_evo.fitness.passes.watch import own_precision, run_observed
    from rbflex_evo.spaces import ConfigError, near_name, parse

    given: object = gamma
    if not isinstance(gamma, str):
        # What is no sequence of numbers is for `parse` to refuse.
        with contextlib.suppress(TypeError, ValueError):
            given = [float(g) for g in gamma]
    parameters = parse(RbflexParameters, {"gamma": given, "kernel": kernel, "networks": 1}, "")
    if len(images) < 2:
        raise ConfigError(f"a score compares at least 2 images, but there are {len(images)}")
    for what, tensor in (("images are", images), *((f"parameter {name!r} is", p) for name, p in model.named_parameters())):
        if tensor.is_floating_point() and tensor.itemsize < 4:
            raise ConfigError(
                f"the {what} {tensor.dtype}, too coarse to tell how far images lie apart; score model.float() on images.float()"
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
    with own_precision():
        # A first layer may change in place what it is given.
        run_observed(model, images.clone(), [observer], last)
    statistics = observer.finish()
    values = proxy.calibrate([statistics], np.random.default_rng(0))
    return proxy.calibrated(values).score(statistics)
