"""Which dimension of a map holds its channels, found by following the operations of a forward.

Maps are [N, C, H, W] and sequences [N, T, C] by convention, but networks of other packages also have maps [N, H, W, C] (Swin) and
sequences [N, C, T]. Some scores read channels, and their shape alone does not show which dimension that is:

    convolution, batch or group normalisation      the channels are where torch's layer expects them
    linear layer, layer normalisation, embedding   the channels are the last dimension
    a layer whose input is known already           the dimension stays: a Mixer applies linear layers to positions, too
    permutation, slice, other view                 the dimension of the same size and stride
    reshape                                        the dimension of the same size at the same place in memory order
    sum, activation, pooling, padding, ...         the dimension that the inputs agree on
    anything else                                  unknown, until a layer or a sum with a known map tells

If it is unknown, the convention holds unless a layer of this forward had the channels of such a map in another dimension. Then the
map is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from rbflex_evo.fitness.passes.observer import CandidateFailed

# Number of dimensions after the channels by the name of the function.
CONVOLUTIONS = {f"conv{transposed}{size}d": size for size in (1, 2, 3) for transposed in ("", "_transpose")}
NORMALISATIONS = {"batch_norm", "instance_norm", "group_norm"}
LAST = {"linear", "layer_norm", "rms_norm", "embedding"}
RESHAPES = {"reshape", "view", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as", "reshape_as"}
# Functions whose result has the dimensions of their inputs, without underscores: __iadd__ and add_ are "iadd" and "add".
KEEPING = {
    *(f"{prefix}{name}" for name in ("add", "sub", "mul", "truediv", "floordiv", "pow") for prefix in ("", "i", "r")),
    "div", "divide", "multiply", "subtract", "true_divide", "neg", "abs", "exp", "log", "sqrt", "rsqrt", "square", "reciprocal",
    "clamp", "clip", "maximum", "minimum", "where", "lerp", "addcmul", "addcdiv", "sin", "cos", "erf", "sign", "round", "floor",
    "softmax", "log_softmax", "relu", "relu6", "leaky_relu", "prelu", "rrelu", "threshold", "elu", "selu", "celu", "gelu", "silu",
    "mish", "hardswish", "hardtanh", "hardsigmoid", "hardshrink", "sigmoid", "expit", "logsigmoid", "tanh", "tanhshrink",
    "softplus", "softsign", "softshrink", "normalize", "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout",
    "feature_dropout", "feature_alpha_dropout", "native_dropout", "stochastic_depth",
    "roll", "flip", "pad", "cat", "concat", "concatenate", "clone", "contiguous", "detach", "to", "type_as", "float", "double",
    "interpolate", "upsample", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "local_response_norm", "nan_to_num",
    "masked_fill",
    *(f"{kind}_pool{size}d" for kind in ("max", "avg", "lp", "adaptive_max", "adaptive_avg") for size in (1, 2, 3)),
}  # fmt: skip


def usual(dimensions: int) -> int:
    """Returns the dimension of the channels by convention: 1 of [N, C, H, W], 2 of [N, T, C], 1 of [N, C]."""
    return 1 if dimensions != 3 else 2


def arranged(rows: Tensor, dimension: int | None) -> Tensor:
    """Returns a tensor [N, ...] with its channels where the convention has them.

    Args:
        rows: The tensor.
        dimension: The dimension of its channels; None if they are there.
    """
    return rows if dimension is None or dimension == usual(rows.dim()) else rows.movedim(dimension, usual(rows.dim()))


def unknown_channels(name: str, tensor: Tensor) -> str:
    """Returns the message for a tensor, the result of `name`, the dimension of whose channels is unknown."""
    shape = list(tensor.shape)
    return f"{name} gives {shape}, and which dimension holds its channels cannot be told, which this score reads; leave it out"


class Channels(TorchFunctionMode):
    """Function mode that follows the channels of all tensors of a forward; it is entered before other modes.

    Args:
        of_layers: Whether each layer decides anew where the channels of its output are, for scores that read the units of layers.
            Otherwise those of the map are followed, for scores that read blocks. A Mixer's layers for positions have the positions
            as units, which are no channels of the map.
    """

    def __init__(self, of_layers: bool = False) -> None:
        super().__init__()
        self._of_layers = of_layers
        self._known: Any = WeakIdKeyDictionary()
        # Numbers of dimensions of the tensors whose channels a layer had in an unusual dimension.
        self._unusual: set[int] = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        output = func(*args, **(kwargs or {}))
        if isinstance(output, Tensor | tuple | list):
            with torch._C.DisableTorchFunction():
                self._follow(func, args, kwargs or {}, output)
        return output

    def dimension(self, tensor: Tensor, name: str) -> int:
        """Returns the dimension of a tensor's channels.

        Args:
            tensor: A result of the forward.
            name: What the tensor is, for the message.

        Raises:
            CandidateFailed: If it is unknown, or the convention may not hold.
        """
        found = self._known.get(tensor)
        dimensions = tensor.dim()
        if found is None and dimensions not in self._unusual:
            return usual(dimensions)
        if not found:
            raise CandidateFailed(unknown_channels(name, tensor))
        return int(found)

    def known(self, tensor: Tensor, name: str) -> int | None:
        """Returns the dimension of a tensor's channels, or None if it is unknown and the convention may not hold."""
        try:
            return self.dimension(tensor, name)
        except CandidateFailed:
            return None

    def keep(self, tensor: Tensor, of: Tensor) -> None:
        """Notes that `tensor`, which takes the place of `of`, has the same dimensions."""
        if of in self._known:
            self._known[tensor] = self._known[of]

    def _follow(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], output: Any) -> None:
        name = getattr(func, "__name__", "").strip("_")
        inputs = list(_tensors([*args, *kwargs.values()]))
        for made in _tensors([output]):
            found = self._found(name, inputs, made, args, kwargs)
            if found is not None:
                self._known[made] = found
                if (name in CONVOLUTIONS or name in LAST or name in NORMALISATIONS) and found != usual(made.dim()):
                    self._unusual.add(made.dim())

    def _found(self, name: str, inputs: list[Tensor], made: Tensor, args: Sequence[Any], kwargs: Mapping[str, Any]) -> int | None:
        given = inputs[0] if inputs else None
        if given is None:
            return None
        of_input = self._known.get(given)
        several = name == "layer_norm" and len(kwargs.get("normalized_shape", args[1] if len(args) > 1 else ())) > 1
        if name in CONVOLUTIONS or name in NORMALISATIONS or (name in LAST and not several):
            of_layer = made.dim() - 1 - CONVOLUTIONS.get(name, 0) if name not in NORMALISATIONS else 1
            return of_layer if self._of_layers or of_input is None else of_input
        if any(made is one for one in inputs):
            before: int | None = self._known.get(made)
            return before
        if name in RESHAPES:
            return None if of_input is None else _reshaped(given, made, of_input)
        if name in KEEPING or several:
            agreed = {self._known[one] for one in inputs if one in self._known and one.dim() == made.dim()}
            return agreed.pop() if len(agreed) == 1 else None
        if of_input is not None and made.untyped_storage()._cdata == given.untyped_storage()._cdata:
            return _viewed(given, made, of_input)
        return None


def _tensors(values: Sequence[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from (one for one in value if isinstance(one, Tensor))


def _reshaped(before: Tensor, after: Tensor, dimension: int) -> int | None:
    """Returns the dimension of a reshaped tensor that is `dimension` of the tensor before, None if it was split or merged."""
    size, leading = before.shape[dimension], math.prod(before.shape[:dimension])
    same = [d for d, length in enumerate(after.shape) if length == size and math.prod(after.shape[:d]) == leading]
    return same[0] if len(same) == 1 else None


def _viewed(before: Tensor, after: Tensor, dimension: int) -> int | None:
    """Returns the dimension of a view that is `dimension` of the tensor before, None if there is no or no single one."""
    size, stride = before.shape[dimension], before.stride(dimension)
    same = [d for d, length in enumerate(after.shape) if length == size and after.stride(d) == stride]
    return same[0] if len(same) == 1 else None
