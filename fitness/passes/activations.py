"""The definition of an activation layer, from which RBFleX's X, NASWOT's codes and similar statistics are read.

One rule holds for modules, functions and methods: an activation layer is a non-linearity on the values of a layer. It counts each
time it is called, in the order of the forward, and once regardless of nested calls.

    counts      a module of torch's activation classes or of a subclass         nn.ReLU, nn.GELU, nn.PReLU, nn.GLU, nn.Threshold
                a module with ``is_activation = True``                          on its class, or set on the module itself
                a module with such a name, without children and matrices        transformers' NewGELUActivation, HSwish
                a function or method, outside of these modules                  functional.gelu(x), torch.relu_(x), x.tanh()
    does not    weighting and normalisation                                     softmax, attention, batch and layer normalisation
                arithmetic, unless a module around it declares it               x.clamp(min=0), x * x
                anything in a module with ``is_activation = False``             a gate that should not count
                values that are not computed per image                          an activation of a table of positions
                parts of a single torch operation                               the gates of nn.LSTM and nn.GRU

A Transformer's intermediate activation counts, given as a module, a function or a name, in any order of its dimensions, and so does
the tanh of BERT's pooler. Torch's encoder layers would run as one fused operation in evaluation mode; under a function mode, as
here, they run step by step. A module that is used several times counts each time. Calls that cannot be observed are refused, see
`visible`, and so are values that cannot be attributed to the images, see `layout`.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn
from torch.nn import functional

# Attribute by which a network declares its own modules.
DECLARATION = "is_activation"

MODULES = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.Threshold, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.GLU, nn.SiLU, nn.Mish,
    nn.Hardswish, nn.Hardtanh, nn.Hardsigmoid, nn.Hardshrink, nn.Sigmoid, nn.LogSigmoid, nn.Tanh, nn.Tanhshrink, nn.Softplus,
    nn.Softsign, nn.Softshrink,
)  # fmt: skip

# Parts of the class names of other libraries' activations.
NAMES = (
    "relu", "gelu", "elu", "silu", "swish", "mish", "sigmoid", "tanh", "softplus", "softsign", "shrink", "hardswish", "glu",
)  # fmt: skip

# A part begins with a capital letter or after no letter (QuickGELU, hard_swish), and no small letter follows it. Otherwise
# PixelUnshuffle would be an ELU.
_NAMED = re.compile(rf"(?:(?<![A-Za-z])|(?=[A-Z]))(?i:{'|'.join(NAMES)})(?![a-z])")

FUNCTIONS = {
    functional.relu, functional.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, functional.relu6,
    functional.leaky_relu, functional.leaky_relu_, functional.prelu, torch.prelu, Tensor.prelu,
    functional.rrelu, functional.rrelu_, torch.rrelu, torch.rrelu_,
    functional.threshold, torch.threshold, torch.threshold_,
    functional.elu, functional.elu_, functional.selu, functional.selu_, torch.selu, torch.selu_,
    functional.celu, functional.celu_, torch.celu, torch.celu_,
    functional.gelu, functional.silu, functional.mish, functional.glu, functional.hardswish,
    functional.hardtanh, functional.hardtanh_, functional.hardsigmoid, functional.hardshrink, torch.hardshrink, Tensor.hardshrink,
    functional.sigmoid, torch.sigmoid, torch.sigmoid_, Tensor.sigmoid, Tensor.sigmoid_, torch.special.expit, functional.logsigmoid,
    functional.tanh, torch.tanh, torch.tanh_, Tensor.tanh, Tensor.tanh_, functional.tanhshrink,
    functional.softplus, functional.softsign, functional.softshrink,
}  # fmt: skip


def declared(module: nn.Module) -> bool | None:
    """Returns the declaration `is_activation` of a module, or None if it has none."""
    says = getattr(module, DECLARATION, None)
    return says if isinstance(says, bool) else None


def is_activation(module: nn.Module) -> bool:
    """Returns True for a module whose output is an activation layer."""
    says = declared(module)
    if says is not None:
        return says
    if isinstance(module, MODULES):
        return True
    own = next(module.children(), None) is None and all(parameter.dim() < 2 for parameter in module.parameters())
    return own and is_named_activation(type(module).__name__)


def is_named_activation(name: str) -> bool:
    """Returns True for a name of a class that is one of an activation, such as NewGELUActivation or hswish."""
    return bool(_NAMED.search(name)) or (name.islower() and name.endswith(NAMES))
