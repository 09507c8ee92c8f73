"""The primary blocks of a network, which AZ-NAS compares with each other, for spaces that do not define them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def primary_blocks(network: nn.Module, classifier: nn.Module | None = None) -> list[nn.Module]:
    """Returns the consecutive parts of a network, in the order in which they are registered.

        a list of modules, and a sequence of modules that have children themselves (torchvision's stages)  -> its members
        any other child with a matrix of weights (a stem)                                                  -> itself
        a child that holds the classifier, or that only normalises, activates or pools                     -> omitted

    If this gives fewer than two parts, as for a plain chain of layers (VGG), every convolution and linear layer is a block.

    Args:
        network: The network.
        classifier: The last layer, which is not a block.
    """
    from torch import nn

    def is_block(module: nn.Module) -> bool:
        matrices = any(parameter.dim() > 1 for parameter in module.parameters())
        return matrices and not any(part is classifier for part in module.modules())

    blocks: list[nn.Module] = []
    for child in network.children():
        nested = isinstance(child, nn.Sequential) and any(next(part.children(), None) is not None for part in child)
        if isinstance(child, nn.ModuleList) or nested:
            blocks += [part for part in child.children() if not any(m is classifier for m in part.modules())]
        elif is_block(child):
            blocks.append(child)
    if len(blocks) > 1:
        return blocks
    return [module for module in network.modules() if next(module.children(), None) is None and is_block(module)]
