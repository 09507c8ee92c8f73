"""The contract of an observer of a forward, and the reductions and the failure that all observers share."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from rbflex_evo.spaces import CandidateFailed

if TYPE_CHECKING:
    import torch

__all__ = ["NO_ACTIVATION", "CandidateFailed", "Observer", "Statistics", "SummingObserver", "rows_of", "sum_dtype"]

Statistics = Mapping[str, np.ndarray]

# `activations` defines the layers that count.
NO_ACTIVATION = (
    "the network has no activation layer that is computed per image; use torch's activations, or set is_activation = True on the "
    "class of your own"
)


def rows_of(outputs: torch.Tensor) -> torch.Tensor:
    """Returns outputs [K, N, ...] as rows [K, N, L], columns in memory order; no statistic depends on their order."""
    last = outputs.movedim(2, -1) if outputs.dim() > 3 else outputs
    return (last if last.is_contiguous() else outputs).flatten(2)


def sum_dtype(device: torch.device) -> torch.dtype:
    """Returns the precision of long sums: float64, or float32 on Apple's devices, which have no float64."""
    import torch

    return torch.float32 if device.type == "mps" else torch.float64


class Observer(ABC):
    """Receives the activation layers and features of a forward, and reduces them to small arrays.

    Attributes:
        reduction: Name of the function that `reduce` computes, if a backend may compute it in its own way. Subclasses do not
            inherit it. "row_sums" is `row_sums.reduce_rows` of the rows of a layer, and of the features, with `take_features`.
            "sign_matches" are [K, N, N], for each pair of images the number of units that are positive in both or in neither.
            "patterns" is `swap.SwapObserver.reduce`. Observers of one name share its result.
        reads_blocks: Whether the observer receives the outputs of the primary blocks, too.
        reads_channels: Whether `activation` reads the channels of maps, which are then [N, C, H, W], and of sequences, [N, T, C].
        block_reduction: The same as `reduction` for `reduce_block`. "spectra" is `spectra.spectra`.
    """

    reduction: ClassVar[Literal["row_sums", "sign_matches", "patterns"] | None] = None
    reads_blocks: ClassVar[bool] = False
    reads_channels: ClassVar[bool] = False
    block_reduction: ClassVar[Literal["spectra"] | None] = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        # A subclass may reduce layers in another way.
        cls.reduction = cls.__dict__.get("reduction")
        cls.block_reduction = cls.__dict__.get("block_reduction")

    @abstractmethod
    def activation(self, name: str, output: torch.Tensor, multiplicity: int = 1) -> None:
        """Receives the output of one activation layer.

        Args:
            name: Name of the layer.
            output: Output [N, ...] without a gradient. It is shared, so it must not be changed.
            multiplicity: Number of times that the layer counts.
        """

    def reduce(self, outputs: torch.Tensor) -> torch.Tensor | None:
        """Reduces one layer's outputs [K, N, ...] of K candidates in one call, to the argument of `take` for each, [K, ...].

        None, the default, means that layers are not reduced together: `activation` is then called for each candidate.
        """
        return None

    def take(self, reduced: torch.Tensor, columns: int, multiplicity: int = 1) -> None:
        """Receives this candidate's part of the result of `reduce` for a layer with `columns` units per image."""
        raise NotImplementedError(f"{type(self).__name__} reduces layers but takes none")

    def block(self, output: torch.Tensor, multiplicity: int = 1) -> None:  # noqa: B027 (most observers read no blocks)
        """Receives the output of one primary block, in the order of the forward; only called if `reads_blocks` is set.

        Args:
            output: Output of a module of `SearchSpace.blocks`, [N, C, H, W], [N, T, C] or [N, C] without a gradient. It must not be
                changed.
            multiplicity: Number of consecutive blocks with this output; a skip connection alone returns its input.
        """

    def reduce_block(self, outputs: torch.Tensor) -> torch.Tensor | None:
        """Reduces one block's outputs [K, N, ...] of K candidates to the argument of `take_block` for each, [K, ...].

        None, the default, means that blocks are not reduced together: `block` is then called for each candidate.
        """
        return None

    def take_block(self, reduced: torch.Tensor, multiplicity: int = 1) -> None:
        """Receives this candidate's part of the result of `reduce_block`."""
        raise NotImplementedError(f"{type(self).__name__} reduces blocks but takes none")

    def features(self, output: torch.Tensor, magnitude: torch.Tensor) -> None:  # noqa: B027 (most observers ignore it)
        """Receives the classifier's input [N, L_Q]; `magnitude` [] is the largest absolute value of the map before pooling."""

    def take_features(self, reduced: torch.Tensor, columns: int, magnitude: torch.Tensor) -> None:
        """Receives the row sums of the classifier's input [N, columns] in place of `features`, if `reduction` is "row_sums"."""
        raise NotImplementedError(f"{type(self).__name__} takes no reduced features")

    def fork(self) -> Observer:
        """Returns another observer that has seen the same layers so far."""
        return copy.deepcopy(self)

    @abstractmethod
    def finish(self) -> Statistics:
        """Returns the statistics.

        Raises:
            CandidateFailed: If the network is dead; the message is the reason.
        """


class SummingObserver(Observer):
    """Observer whose statistic is the sum over layers of what `reduce` returns."""

    def __init__(self) -> None:
        self.blocks: list[torch.Tensor] = []
        self.multiplicities: list[int] = []

    def activation(self, name: str, output: torch.Tensor, multiplicity: int = 1) -> None:
        """Reduces one layer and adds it to the sum."""
        self.take(self.reduce(output[None])[0], output[0].numel(), multiplicity)

    @abstractmethod
    def reduce(self, outputs: torch.Tensor) -> torch.Tensor:
        """Reduces one layer's outputs of K candidates [K, N, ...] to the summands of each, [K, ...]."""

    def take(self, reduced: torch.Tensor, columns: int, multiplicity: int = 1) -> None:
        """Adds one layer's summand, `multiplicity` times."""
        self.blocks.append(reduced)
        self.multiplicities.append(multiplicity)

    def fork(self) -> SummingObserver:
        """Returns another observer that has seen the same layers so far."""
        other = type(self)()
        other.blocks, other.multiplicities = self.blocks.copy(), self.multiplicities.copy()
        return other

    def total(self) -> np.ndarray:
        """Returns the sum over layers, float64.

        Raises:
            CandidateFailed: If no layer was seen, or an activation is NaN or infinite.
        """
        import torch

        if not self.blocks:
            raise CandidateFailed(NO_ACTIVATION)
        blocks = torch.stack(self.blocks).cpu().numpy().astype(float)
        total = np.asarray((blocks * np.array(self.multiplicities, float).reshape(-1, *[1] * (blocks.ndim - 1))).sum(axis=0))
        if not np.isfinite(total).all():
            raise CandidateFailed("activations hold NaN or infinity")
        return total
