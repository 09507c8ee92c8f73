"""Random draws in a forward: functional dropout is switched off, and every other draw from a global generator is refused.

In evaluation mode modules such as ``nn.Dropout`` draw nothing, but a function draws if its argument ``training`` is true, which is
the default of several functions of torch. Noise that is written by hand cannot be switched off: a score would then be random.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from .random_state import RandomState, global_generators, own_generators

if TYPE_CHECKING:
    from torch import nn

ADVICE = (
    "so it has no score that depends on the architecture alone; draw only if self.training is true, or keep fixed noise in a buffer"
)


@contextmanager
def refused_draws(network: nn.Module, error: type[Exception]) -> Iterator[None]:
    """Context for a forward in which nothing may be drawn from a global generator or one that a module holds.

    The state of the generators is as before afterwards.

    Args:
        network: The network.
        error: Type of the exception that is raised, with a message.
    """
    before = RandomState.of([*global_generators(), *own_generators(network)])
    try:
        yield
    except BaseException:
        before.restore()
        raise
    moved = before.moved()
    if moved:
        before.restore()
        which = " and ".join(dict.fromkeys(generator.name for generator in moved))
        raise error(f"the forward draws random numbers from {which}, {ADVICE}")


@cache
def switched_off() -> dict[Any, Callable[..., Any]]:
    """Returns replacements, by torch function, of functions that draw if their argument ``training`` is true."""
    import torch
    from torch.nn import functional

    def same(input: Any, *_: Any, **__: Any) -> Any:
        return input

    def evaluated(function: Callable[..., Any], position: int, name: str = "training", value: Any = False) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            if len(args) > position:
                return function(*args[:position], value, *args[position + 1 :], **kwargs)
            return function(*args, **{**kwargs, name: value})

        return run

    def native(input: Any, *_: Any, **__: Any) -> Any:
        return input, torch.ones_like(input, dtype=torch.bool)

    names = ("dropout", "alpha_dropout", "feature_dropout", "feature_alpha_dropout")
    found = [getattr(torch, f"{name}{end}", None) for name in names for end in ("", "_")]
    found += [getattr(functional, name) for name in ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout")]
    found += [functional.feature_alpha_dropout]
    attention = functional.scaled_dot_product_attention
    return {
        **{function: same for function in found if function is not None},
        torch.native_dropout: native,
        functional.rrelu: evaluated(functional.rrelu, 3),
        functional.rrelu_: evaluated(functional.rrelu_, 3),
        torch.rrelu: evaluated(torch.rrelu, 3),
        torch.rrelu_: evaluated(torch.rrelu_, 3),
        functional.multi_head_attention_forward: evaluated(functional.multi_head_attention_forward, 13),
        attention: evaluated(attention, 4, "dropout_p", 0.0),
    }
