"""The RBFleX score of any torch module, without a search space."""

from __future__ import annotations

import contextlib
import reprlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from .score import Rbflex, RbflexParameters

if TYPE_CHECKING:
    import torch
    from torch import nn

# Number of characters of a value that an error shows.
SHOWN = 60


def rbflex_score(
    model: nn.Module,
    images: torch.Tensor,
    *,
    classifier: nn.Module | str | None = None,
    gamma: str | Sequence[float] = "published",
    kernel: str = "rbf",
    features: bool = True,
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
        images: At least 2 inputs [N, ...] on the model's device. A few of them run through the model alone first, to find out which
            values of its layers belong to which image.
        classifier: Layer whose input is the feature vector Y, or its name; by default the last registered Linear layer.
        gamma: ``published`` (the constants of the paper's scripts), ``flat`` (the gamma-free limit), two numbers
            [gamma_k, gamma_q], or ``hda``. The latter is detected on this model alone (M = 1), so its scores are not comparable
            between models.
        kernel: ``rbf``, ``linear``, ``psnr`` or ``ssim``.
        features: Whether the features are scored, too; False for the activations alone, N log|K|. Models that end in normalisation
            and global average pooling have features of round-off only.

    Raises:
        ConfigError: If a parameter is wrong, `images` are no tensor (an array, a list), there is no classifier, or the model cannot
            be observed: it is no module, scripted or compiled, complex, in 16 bits, or a lazy module that has not run yet.
        CandidateFailed: If the model cannot be scored; the message is the reason. An activation that is hidden in a scripted
            function, a custom operation or an autograd function is one, and so is a layer whose values cannot be attributed to the
            images, and a forward that draws random numbers.
    """
    import numpy as np

    from rbflex_evo.fitness.passes.visible import check_visible
    from rbflex_evo.fitness.passes.watch import run_observed
    from rbflex_evo.spaces import parse

    _check_model(model)
    _check_images(images)
    check_visible(model)
    given: object = gamma
    if not isinstance(gamma, str):
        # `parse` refuses anything but a sequence of numbers.
        with contextlib.suppress(TypeError, ValueError):
            given = [float(g) for g in gamma]
    detected = {"networks": 1} if given in ("hda", "hda_max") else {}
    # The default gamma is of the default kernel.
    gammas = {} if kernel != "rbf" and given == "published" else {"gamma": given}
    parameters = parse(RbflexParameters, {**gammas, "kernel": kernel, "features": features, **detected}, "")
    for name, tensor in model.named_parameters():
        _check_precision(f"parameter {name!r} is", tensor)
    last = _classifier(model, classifier)
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


def _check_model(model: object) -> None:
    from torch import nn
    from torch.nn.parameter import is_lazy

    from rbflex_evo.spaces import ConfigError

    if not isinstance(model, nn.Module):
        raise ConfigError(f"the model should be a torch.nn.Module, but it is {_shown(model)}")
    lazy = [name for name, tensor in (*model.named_parameters(), *model.named_buffers()) if is_lazy(tensor)]
    if lazy:
        raise ConfigError(f"parameter {lazy[0]!r} has no values yet; run the model once, which initialises its lazy modules")


def _check_images(images: object) -> None:
    import torch

    from rbflex_evo.spaces import ConfigError

    if not isinstance(images, torch.Tensor):
        raise ConfigError(
            f"images should be one torch.Tensor [N, ...], but they are {_shown(images)}; use torch.as_tensor or torch.stack"
        )
    if images.dim() < 1 or len(images) < 2:
        raise ConfigError(f"a score compares at least 2 images, but there are {len(images) if images.dim() else 0}")
    _check_precision("images are", images)


def _check_precision(what: str, tensor: torch.Tensor) -> None:
    from rbflex_evo.spaces import ConfigError

    if tensor.is_complex():
        raise ConfigError(f"the {what} {tensor.dtype}, but distances are of real numbers; complex models have no score")
    if tensor.is_floating_point() and tensor.itemsize < 4:
        raise ConfigError(
            f"the {what} {tensor.dtype}, too coarse to measure distances between images; score model.float() on images.float()"
        )


def _classifier(model: nn.Module, classifier: object) -> nn.Module:
    from torch import nn

    from rbflex_evo.spaces import ConfigError, near_name

    modules = dict(model.named_modules())
    if isinstance(classifier, str):
        del modules[""]  # The model itself.
        if classifier not in modules:
            raise ConfigError(f"the model has no module {_shown(classifier)}{near_name(classifier, modules)}")
        named: nn.Module = modules[classifier]
        return named
    if isinstance(classifier, nn.Module):
        if all(module is not classifier for module in modules.values()):
            raise ConfigError(f"the classifier, {_shown(classifier)}, is not a module of the model")
        return classifier
    if classifier is not None:
        raise ConfigError(f"classifier should be a module of the model or its name, but it is {_shown(classifier)}")
    linear = [module for module in modules.values() if isinstance(module, nn.Linear)]
    if not linear:
        raise ConfigError("the model has no Linear layer; pass classifier=, the layer whose input is the feature vector")
    return linear[-1]


def _shown(value: object) -> str:
    """Returns a value as one short line, with its type if it is not plain."""
    if isinstance(value, str | float | int):
        return reprlib.repr(value)
    text = " ".join(reprlib.repr(value).split())
    return f"{type(value).__name__} {text[:SHOWN]}{'...' if len(text) > SHOWN else ''}"
