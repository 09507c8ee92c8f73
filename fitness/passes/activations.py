"""What counts as an activation layer: what RBFleX's X, NASWOT's codes and the like are read from.

One rule for modules, functions and methods: a non-linearity that acts on the numbers of a layer, each time it is called, in the
order of the forward, once whatever it calls inside.

    counts      a module of torch's activation classes or of a subclass         nn.ReLU, nn.GELU, nn.PReLU, nn.GLU, nn.Threshold
                a module that says so: ``is_activation = True``                 on its class, or set on the module itself
                a module named like one, without children and matrices          transformers' NewGELUActivation, HSwish
                a function or method, outside of those                          functional.gelu(x), torch.relu_(x), x.tanh()
    does not    what weighs or normalises                                       softmax, attention, batch and layer normalisation
                arithmetic, until a module around it says so                    x.clamp(min=0), x * x
                whatever runs in a module that says ``is_activation = False``   a gate that should not count
                what is not computed per image                                  an activation of a table of positions
                what torch computes in one operation                            the gates of nn.LSTM and nn.GRU

A Transformer's intermediate activation counts, given as a module, a function or a name, in any order of its dimensions, and so does
the tanh of BERT's pooler. Torch's own encoder layers would run as one fused operation in evaluation mode; under a function mode,
as here, they run step by step. A module that is used several times counts each time. A network that was compiled or scripted
runs out of sight and is refused.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from rbflex_evo.spaces import ConfigError

# What a network says of its own modules.
DECLARATION = "is_activation"

MODULES = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.Threshold, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.GLU, nn.SiLU, nn.Mish,
    nn.Hardswish, nn.Hardtanh, nn.Hardsigmoid, nn.Hardshrink, nn.Sigmoid, nn.LogSigmoid, nn.Tanh, nn.Tanhshrink, nn.Softplus,
    nn.Softsign, nn.Softshrink,
)  # fmt: skip

# What the class names of others' activations hold.
NAMES = (
    "relu", "gelu", "elu", "silu", "swish", "mish", "sigmoid", "tanh", "softplus", "softsign", "shrink", "hardswish", "glu",
)  # fmt: skip

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
    """Returns what a module says of itself, or None where it says nothing."""
    says = getattr(module, DECLARATION, None)
    return says if isinstance(says, bool) else None


def is_activation(module: nn.Module) -> bool:
    """True for a module whose output is an activation layer."""
    says = declared(module)
    if says is not None:
        return says
    if isinstance(module, MODULES):
        return True
    name = type(module).__name__.lower()
    own = next(module.children(), None) is None and all(parameter.dim() < 2 for parameter in module.parameters())
    return own and any(part in name for part in NAMES)


def check_visible(network: nn.Module) -> None:
    """Makes sure that what a network calls can be seen.

    Raises:
        ConfigError: if it, or a part of it, was compiled or scripted.
    """
    for name, module in network.named_modules():
        compiled = hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None
        if compiled or isinstance(module, torch.jit.ScriptModule):
            what = f"module {name!r}" if name else "the network"
            how = "compiled" if compiled else "scripted"
            raise ConfigError(f"{what} is {how}, so what it calls is out of sight; give the plain one")
