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

    If this gives fewer than three parts, of which one holds such a list (a Transformer's trunk, or a wrapper of a network), the
    parts of that one take its place. If it then gives fewer than two, as for a plain chain of layers (VGG), every convolution and
    linear layer is a block.

    Args:
        network: The network.
        classifier: The last layer, which is not a block.
    """
    from torch import nn

    def is_block(module: nn.Module) -> bool:
        matrices = any(parameter.dim() > 1 for parameter in module.parameters())
        return matrices and not any(part is classifier for part in module.modules())

    def parts_of(module: nn.Module) -> list[nn.Module]:
        parts: list[nn.Module] = []
        for child in module.children():
            nested = isinstance(child, nn.Sequential) and any(next(part.children(), None) is not None for part in child)
            if isinstance(child, nn.ModuleList) or nested:
                parts += [part for part in child.children() if not any(m is classifier for m in part.modules())]
            elif is_block(child):
                parts.append(child)
        return parts

    blocks = parts_of(network)
    while len(blocks) < 3 and len(trunks := [block for block in blocks if _holds_list(block)]) == 1:
        at = blocks.index(trunks[0])
        blocks[at : at + 1] = parts_of(trunks[0])
    if len(blocks) > 1:
        return blocks
    return [module for module in network.modules() if next(module.children(), None) is None and is_block(module)]


def _holds_list(module: nn.Module) -> bool:
    """Whether a part of a network holds a list or sequence of modules of one class that have children themselves."""
    from torch import nn

    def repeats(members: list[nn.Module]) -> bool:
        same = len(members) > 1 and len({type(member) for member in members}) == 1
        return same and all(next(member.children(), None) is not None for member in members)

    return any(isinstance(part, nn.ModuleList | nn.Sequential) and repeats(list(part)) for part in module.modules())
