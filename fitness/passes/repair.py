"""Repairs of a forward for scores of activations (NCD: Kang et al., "Beyond the Limits", ICCV 2025).

Among networks with equally many convolutions, NASWOT and SWAP tend to rank backwards: the more non-linear a network is, the lower
its score. NCD scores a changed forward instead:

    masked inputs        y = sum W . M . X for every convolution, M ~ Bernoulli(1 - alpha)    (stochastic activation masking, eq. 4)
    layer normalisation  in place of every batch normalisation                                (non-linear rescaling, section 4.2)

We had only a description of the paper, which leaves open what shares a mask. Here a mask has the shape of the input of one image
and is the same for all images, so that images are compared under equal conditions. It is a pure function of the weights' seed, the
name of the convolution's weight and that shape. A layer normalisation takes its statistics from all values of one image, and its
affine terms are those of the batch normalisation.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from rbflex_evo.spaces import Parameters, refuse_without_effect

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Repair:
    """Changes of a forward.

    Attributes:
        masked: Share of the inputs of each convolution that are set to zero.
        layer_norm: Whether batch normalisation is replaced by layer normalisation.
    """

    masked: float = 0.0
    layer_norm: bool = False


class RepairParameters(Parameters):
    """Parameters of a score whose forward can be repaired.

    Attributes:
        repair: ``none``, ``masked_inputs``, ``layer_norm``, or ``both`` (NCD).
        masked: Share of the inputs of each convolution that ``masked_inputs`` sets to zero, NCD's alpha.
    """

    repair: Literal["none", "masked_inputs", "layer_norm", "both"] = "none"
    masked: float = Field(default=0.95, gt=0, lt=1)

    @model_validator(mode="after")
    def _of_the_standard_form(self) -> RepairParameters:
        if self.repair != "none" and getattr(self, "mode", "standard") == "published":
            raise ValueError("mode 'published' has no repaired form; leave out repair, or set mode to 'standard'")
        if self.repair not in ("masked_inputs", "both"):
            refuse_without_effect(self, "masked", f"with repair {self.repair!r}, which masks nothing")
        return self

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Returns the plain values, without those of no repair, so that runs from before these parameters can go on."""
        return without_no_repair(plain(self))

    @property
    def changes(self) -> Repair | None:
        """The changes of the forward, None for the plain one."""
        if self.repair == "none":
            return None
        return Repair(0.0 if self.repair == "layer_norm" else self.masked, self.repair != "masked_inputs")


def without_no_repair(values: dict[str, Any]) -> dict[str, Any]:
    """Returns plain values of parameters without `repair` and `masked` if nothing is repaired."""
    if values.get("repair", "none") != "none":
        return values
    return {name: value for name, value in values.items() if name not in ("repair", "masked")}


def repaired(network: nn.Module, repair: Repair | None, seed: int) -> AbstractContextManager[Any]:
    """Returns a context in which forwards of `network` are repaired; it is entered inside of `watching`.

    Args:
        network: The network.
        repair: Changes of its forward, None for none.
        seed: Seed of the weights, which also decides the masks.
    """
    if repair is None:
        return nullcontext()
    import torch
    from torch.nn import functional

    from .watch import CONVOLUTIONS, Rewired

    replaced: dict[Any, Callable[..., Any]] = {}
    if repair.layer_norm:
        replaced |= {functional.batch_norm: _layer_norm, torch.batch_norm: _layer_norm_of_torch}
    if repair.masked:
        names = {id(parameter): name for name, parameter in network.named_parameters()}
        replaced |= {convolve: _masked(convolve, names, repair.masked, seed) for convolve in CONVOLUTIONS}
    return Rewired(replaced, {})


def _layer_norm(input: Tensor, mean: Any, variance: Any, weight: Any = None, bias: Any = None, *_: Any, **named: Any) -> Tensor:
    """Normalises each image of `input` [N, C, ...] over all its values, with affine terms for each channel."""
    from .watch import group_norm

    return group_norm(input, 1, weight, bias, named.get("eps", 1e-5))


def _layer_norm_of_torch(input: Tensor, weight: Any, bias: Any, mean: Any, variance: Any, *_: Any, **__: Any) -> Tensor:
    """Normalises as `_layer_norm`, with the arguments of `torch.batch_norm`."""
    return _layer_norm(input, mean, variance, weight, bias)


def _masked(convolve: Callable[..., Tensor], names: dict[int, str], share: float, seed: int) -> Callable[..., Tensor]:
    """Returns the convolution of an input of which `share` is set to zero.

    Args:
        convolve: The convolution.
        names: Name of each parameter by its id.
        share: Share of the values of an image that are set to zero.
        seed: Seed of the weights.
    """

    def convolved(input: Tensor, weight: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        import torch

        from .weights import draw

        # A weight that is computed from others has no name; its shape is used instead.
        name = names.get(id(weight), str(list(weight.shape)))
        uniform = torch.from_numpy(draw(seed, f"mask/{name}", tuple(input.shape[1:]), False))
        kept = (uniform >= 2 * share - 1).to(input.device, input.dtype)
        return convolve(input * kept, weight, *args, **kwargs)

    return convolved
