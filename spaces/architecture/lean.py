"""A network without modules: a table of parameters by their names in the built network, and a forward that reads them.

Building modules and drawing their weights takes longer than the forward of a small network. A lean network is made in less than a
millisecond, its parameters are tensors that other candidates share, and its forward may omit what the built network computes
twice. It calls the same torch functions, so that passes replace and watch them in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn


class LeanNetwork(nn.Module):
    """Base of lean networks; its function, and its parameters by name, shape and order, are those of the built network.

    Args:
        shapes: Shape of each parameter by its name, in the order of the built network.
    """

    def __init__(self, shapes: Mapping[str, Sequence[int]]) -> None:
        super().__init__()
        self.shapes = shapes

    def place(self, name: str, parameter: nn.Parameter) -> None:
        """Sets the parameter of that name."""
        # A name with dots is a path of modules, which this network does not have.
        self._parameters[name] = parameter

    def parameter(self, name: str) -> nn.Parameter:
        """Returns the parameter of that name."""
        found = self._parameters[name]
        assert found is not None
        return found

    def before_pooling(self, images: Tensor) -> Tensor:
        """Maps images [N, C, height, width] to the last map before global pooling, [N, channels, height, width]."""
        raise NotImplementedError
