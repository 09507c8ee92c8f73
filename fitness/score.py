"""The RBFleX score of any torch module, without a search space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .proxies.rbflex import Rbflex, RbflexParameters

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

    Args:
        model: any module; its weights are used as they are.
        images: a batch on the model's device.
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

    from spaces import ConfigError, near_name, parse

    from .forward import run_observed

    given = gamma if isinstance(gamma, str) else [float(g) for g in gamma]
    parameters = parse(RbflexParameters, {"gamma": given, "kernel": kernel, "networks": 1}, "")
    modules = dict(model.named_modules())
    if isinstance(classifier, str):
        if classifier not in modules:
            raise ConfigError(f"the model has no module {classifier!r}{near_name(classifier, modules)}")
        last = modules[classifier]
    elif classifier is not None:
        last = classifier
    else:
        linear = [module for module in modules.values() if isinstance(module, nn.Linear)]
        if not linear:
            raise ConfigError("the model has no Linear layer; pass classifier=, the layer whose input is the feature vector")
        last = linear[-1]
    proxy = Rbflex(parameters)
    observer = proxy.observer()
    run_observed(model, images, [observer], last)
    statistics = observer.finish()
    values = proxy.calibrate([statistics], np.random.default_rng(0))
    return proxy.calibrated(values).score(statistics)
