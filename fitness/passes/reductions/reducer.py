"""Reductions of a layer's outputs for observers, by the observers themselves; a backend with kernels of its own overrides them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from rbflex_evo.fitness.passes.observer import Observer


class Reducer:
    """Reducer of plain torch, for every device and precision, the reference for others."""

    def reduce(self, observer: Observer, outputs: Tensor, magnitude: Tensor | None) -> Tensor | None:
        """Returns `observer.reduce` of a layer's outputs [K, N, ...] of K candidates.

        Args:
            observer: The observer.
            outputs: The outputs.
            magnitude: Largest absolute value [K N] of each candidate's images; None if it is unknown.
        """
        return observer.reduce(outputs)

    def reduce_block(self, observer: Observer, outputs: Tensor) -> Tensor | None:
        """Returns `observer.reduce_block` of the outputs of a primary block [K, N, ...]."""
        return observer.reduce_block(outputs)

    def show_features(self, observer: Observer, features: Tensor, magnitude: Tensor) -> None:
        """Passes one candidate's features [N, L_Q] to an observer; `magnitude` [] is that of the map before pooling."""
        observer.features(features, magnitude)
