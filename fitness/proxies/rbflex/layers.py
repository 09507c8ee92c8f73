"""Share of each layer of one candidate in the squared distances that RBFleX reads (RBFleX eq. 1-3).

Normalisation is per column, so the squared distance of two images is a sum over layers:

    ||x_i - x_j||^2 = sum over layers l, sum over units u of l, of (x_iu - x_ju)^2

The built network is run once more with separate sums for every layer. A layer belongs to the block that the forward is in when
the layer is computed, or else to the previous block, so that functional activations belong to a block, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rbflex_evo.fitness.data.inputs import placed
from rbflex_evo.fitness.passes.device import PRECISIONS
from rbflex_evo.fitness.passes.layout import Account
from rbflex_evo.fitness.passes.observer import Observer, Statistics, rows_of
from rbflex_evo.fitness.passes.reductions.row_sums import RowStatistics
from rbflex_evo.fitness.passes.subject import Subject
from rbflex_evo.fitness.passes.watch import run_observed
from rbflex_evo.fitness.passes.weights import WeightParameters
from rbflex_evo.spaces import Genotype, SearchSpace
from rbflex_evo.spaces.isolation.settings import own_settings

from .kernels import squared_distances

if TYPE_CHECKING:
    import torch
    from torch import nn

# Block of a layer that is computed before the first block.
BEFORE = "input"


@dataclass(frozen=True)
class LayerDistances:
    """Part of one layer in the squared distances.

    Attributes:
        name: Name of the module, or of the function with its number among the functional activations of the forward.
        block: Name of the primary block that the layer belongs to.
        units: Number of columns, the values per image.
        live: Number of columns that are not constant over the images.
        distance: Squared distances of the layer, each unit normalised to [0, 1], summed over all pairs of images.
    """

    name: str
    block: str
    units: int
    live: int
    distance: float


class LayerObserver(Observer):
    """Observer that reduces every activation layer as `RbflexObserver` does, with separate sums for each layer.

    Statistics: ``distance`` float64 [layers], ``units`` and ``live`` int64 [layers], and the same for Y as ``q_distance`` [], ...
    """

    def __init__(self) -> None:
        self.current = BEFORE
        self.places: list[tuple[str, str]] = []  # Name and block, in the order of the forward.
        self.rows: list[RowStatistics] = []
        self.last = RowStatistics()

    def activation(self, name: str, output: torch.Tensor, multiplicity: int = 1) -> None:
        """Reduces one activation layer and stores it with the current block."""
        rows = RowStatistics()
        rows.add(rows_of(output[None])[0], None, multiplicity)
        self.places.append((name, self.current))
        self.rows.append(rows)

    def features(self, output: torch.Tensor, magnitude: torch.Tensor) -> None:
        """Adds the features."""
        self.last.add(output, magnitude)

    def finish(self) -> Statistics:
        """Returns the sums of each layer and of the features."""
        found = [_sums(rows) for rows in self.rows]
        return {name: np.array([sums[name] for sums in found]) for name in ("distance", "units", "live")} | {
            f"q_{name}": np.asarray(value) for name, value in _sums(self.last).items()
        }


def _sums(rows: RowStatistics) -> dict[str, Any]:
    sums = rows.finish()
    distances = squared_distances(sums["gram"])
    return {"distance": distances.sum() / 2, "units": sums["length"], "live": sums["live"]}


def layer_distances(
    space: SearchSpace,
    genotype: Genotype,
    images: torch.Tensor,
    weights: WeightParameters | None = None,
    *,
    precision: str = "float32",
    layers: Literal["activations", "published"] = "activations",
) -> tuple[list[LayerDistances], LayerDistances, Account]:
    """Returns the part of each activation layer in the squared distances of X, in the order of the forward, and that of Y.

    The parts of X add up to the distances that the score reads. The third value is the account of the activation calls.

    Args:
        space: The search space.
        genotype: Genotype of the network that the score builds, usually the representative of a key.
        images: Inputs [N, ...] on the device of the forward.
        weights: Seed and distribution of the weights.
        precision: Precision of the forward, a key of `PRECISIONS`.
        layers: Observed layers, `Proxy.layers`.

    Raises:
        CandidateFailed: If the classifier is never called.
    """
    with own_settings():
        return _distances(space, genotype, images, weights, precision, layers)


def _distances(
    space: SearchSpace,
    genotype: Genotype,
    images: torch.Tensor,
    weights: WeightParameters | None,
    precision: str,
    layers: Literal["activations", "published"],
) -> tuple[list[LayerDistances], LayerDistances, Account]:
    dtype, convolutions = PRECISIONS[precision]
    subject = Subject(space, genotype, placed(images, images.device, dtype), None, weights, dtype)
    network = subject.network
    observer = LayerObserver()
    with ExitStack() as stack:
        # The network may run more than once, see `examine`.
        stack.callback(network.register_forward_pre_hook(_entering(observer, BEFORE)).remove)
        for name, block in _named_blocks(network, space.blocks(network)):
            stack.callback(block.register_forward_pre_hook(_entering(observer, name)).remove)
        account = run_observed(network, subject.images, [observer], subject.classifier, "image", layers, convolutions)
    found = observer.finish()
    parts = [
        LayerDistances(name, block, int(units), int(live), float(distance))
        for (name, block), units, live, distance in zip(
            observer.places, found["units"], found["live"], found["distance"], strict=True
        )
    ]
    q = LayerDistances("features", "", int(found["q_units"]), int(found["q_live"]), float(found["q_distance"]))
    return parts, q, account


def _named_blocks(network: nn.Module, blocks: Sequence[nn.Module]) -> list[tuple[str, nn.Module]]:
    names = {id(module): name for name, module in network.named_modules()}
    return [(names.get(id(block), f"block {i + 1}"), block) for i, block in enumerate(blocks)]


def _entering(observer: LayerObserver, name: str) -> Any:
    def enter(module: nn.Module, inputs: Any) -> None:
        observer.current = name

    return enter
