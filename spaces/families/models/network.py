"""What models of other libraries have in common: a check that they take their images, their classifier, and their drawing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rbflex_evo.spaces.architecture.drawing import Drawing, chain_drawing
from rbflex_evo.spaces.errors import CandidateFailed, ConfigError, reason

if TYPE_CHECKING:
    from torch import nn


def check_forward(make: Callable[[], nn.Module], input_shape: Sequence[int], what: str) -> None:
    """Runs a new network once on two inputs, on the meta device if that is possible, and leaves random states as they are.

    Args:
        make: Makes the network.
        input_shape: Shape of one input.
        what: Name of the network, for the message.

    Raises:
        CandidateFailed: If the network cannot be made or does not take the inputs; the message has the library's reason.
    """
    from rbflex_evo.spaces.isolation.random_state import own_random_state
    from rbflex_evo.spaces.isolation.settings import own_settings

    with own_settings(), own_random_state(0):
        try:
            _run(make, input_shape, "meta")
        except Exception:
            # A constructor may read values, which there are none of on the meta device.
            try:
                _run(make, input_shape, "cpu")
            except ConfigError:
                raise
            except Exception as error:
                raise CandidateFailed(f"{what} cannot be built for images like {list(input_shape)}: {reason(error)}") from None


def _run(make: Callable[[], nn.Module], input_shape: Sequence[int], device: str) -> None:
    import torch

    with torch.device(device), torch.no_grad():
        output = make().eval()(torch.zeros(2, *input_shape))
    if not isinstance(output, torch.Tensor):
        raise TypeError(f"the network returns {type(output).__name__} instead of one tensor")


def without_weights(make: Callable[[], nn.Module]) -> nn.Module:
    """Returns a new network on the meta device, or on the CPU if its constructor reads values; draws from no global state."""
    import torch

    from rbflex_evo.spaces.isolation.random_state import own_random_state
    from rbflex_evo.spaces.isolation.settings import own_settings

    with own_settings(), own_random_state(0):
        try:
            with torch.device("meta"):
                return make()
        except Exception:
            return make()


def classifier_of(network: nn.Module) -> nn.Module:
    """Returns the last layer of a model: of `get_classifier()` if it has that method (timm), else the last linear layer.

    A distilled model has two classifiers, of which the first one reads the token of the class. Without a linear layer, the
    classifier is the last convolution (SqueezeNet).

    Raises:
        CandidateFailed: If there is no such layer.
    """
    from torch import nn

    given = network.get_classifier() if callable(getattr(network, "get_classifier", None)) else None  # type: ignore[operator]
    first = given[0] if isinstance(given, tuple | list | nn.ModuleList) and len(given) else given
    for whole in (first, network):
        if isinstance(whole, nn.Module):
            for kinds in ((nn.Linear,), (nn.Conv1d, nn.Conv2d)):
                layers = [module for module in whole.modules() if isinstance(module, kinds)]
                if layers:
                    return layers[-1]
    raise CandidateFailed(f"{type(network).__name__} has no linear layer or convolution as its classifier")


def network_drawing(blocks: Sequence[nn.Module], title: str) -> Drawing:
    """Returns the drawing of a chain of blocks; equal ones that follow each other are one node.

    Args:
        blocks: The primary blocks of a network.
        title: Title of the drawing.
    """
    runs = [(label, len(list(same))) for label, same in groupby(map(_label, blocks))]
    return chain_drawing(["input", *(label if count == 1 else f"{count} x\n{label}" for label, count in runs), "classifier"], title)


def _label(block: nn.Module) -> str:
    """Returns the name of a block's class, or of its members' if it is a sequence of one kind."""
    from torch import nn

    kinds = [type(member).__name__ for member in block] if isinstance(block, nn.Sequential) else []
    if kinds and len(set(kinds)) == 1:
        return f"{len(kinds)} x {kinds[0]}"
    return type(block).__name__
