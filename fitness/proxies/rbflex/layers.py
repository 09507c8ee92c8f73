"""Which layers of one candidate carry the distances that RBFleX reads (RBFleX eq. 1-3).

Normalisation is per column, so the squared distance of two images is a sum over layers:

    ||x_i - x_j||^2 = sum over layers l, sum over units u of l, of (x_iu - x_ju)^2

The built network is run once more with the sums of every layer kept apart. A layer belongs to the block that the forward is in
when the layer is computed, or else to the block before it, so functional activations have a place too.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from rbflex_evo.fitness.data.inputs import placed
from rbflex_evo.fitness.passes.device import PRECISIONS
from rbflex_evo.fitness.passes.observer import Observer, Statistics, rows_of
from rbflex_evo.fitness.passes.row_sums import RowStatistics
from rbflex_evo.fitness.passes.subject import Subject
from rbflex_evo.fitness.passes.watch import run_observed
from rbflex_evo.fitness.passes.weights import WeightParameters
from rbflex_evo.spaces import Genotype, SearchSpace

from .kernels import squared_distances

if TYPE_CHECKING:
    import torch
    from torch import nn

# Where a layer is counted that is computed before the first block.
BEFORE = "input"


@dataclass(frozen=True)
class LayerDistances:
    """One layer's part of the squared distances.

    Attributes:
        name: the module's, or the function's and its number among the functional activations of the forward.
        block: the name of the primary block that it belongs to.
        units: columns, values an image.
        live: columns that are not constant over the images.
        distance: its squared distances (each unit normalised to [0, 1]), summed over all pairs of images.
    """

    name: str
    block: str
    units: int
    live: int
    distance: float


class LayerObserver(Observer):
    """Reduces every activation layer as `RbflexObserver` does, but keeps the layers apart.

    Statistics: ``distance`` float64 [layers], ``units`` and ``live`` int64 [layers], and the same of Y as ``q_distance`` [], ...
    """

    def __init__(self) -> None:
        self.block = BEFORE
        self.places: list[tuple[str, str]] = []  # name and block, in the order of the forward
        self.rows: list[RowStatistics] = []
        self.last = RowStatistics()

    def activation(self, name: str, output: torch.Tensor, multiplicity: int = 1) -> None:
        rows = RowStatistics()
        rows.add(rows_of(output[None])[0], None, multiplicity)
        self.places.append((name, self.block))
        self.rows.append(rows)

    def features(self, output: torch.Tensor, magnitude: torch.Tensor) -> None:
        self.last.add(output, magnitude)

    def finish(self) -> Statistics:
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
) -> tuple[list[LayerDistances], LayerDistances]:
    """Returns each activation layer's part of X's squared distances, in the order of the forward, and those of Y.

    The parts of X add up to the distances that the score reads.

    Args:
        genotype: what is built; the representative of its key, where that is what the score builds.
        images: [N, ...] on the device to run on.
        precision: of the forward, as the evaluator's.
        layers: which are observed, as the proxy's.

    Raises:
        CandidateFailed: if the classifier is never called.
    """
    dtype, convolutions = PRECISIONS[precision]
    subject = Subject(space, genotype, placed(images, images.device, dtype), None, weights, dtype)
    network = subject.network
    observer = LayerObserver()
    with ExitStack() as stack:
        for name, block in _named_blocks(network, space.blocks(network)):
            stack.callback(block.register_forward_pre_hook(_entering(observer, name)).remove)
        run_observed(network, subject.images, [observer], subject.classifier, "image", layers, convolutions)
    found = observer.finish()
    parts = [
        LayerDistances(name, block, int(units), int(live), float(distance))
        for (name, block), units, live, distance in zip(
            observer.places, found["units"], found["live"], found["distance"], strict=True
        )
    ]
    q = LayerDistances("features", "", int(found["q_units"]), int(found["q_live"]), float(found["q_distance"]))
    return parts, q


def _named_blocks(network: nn.Module, blocks: Sequence[nn.Module]) -> list[tuple[str, nn.Module]]:
    names = {id(module): name for name, module in network.named_modules()}
    return [(names.get(id(block), f"block {i + 1}"), block) for i, block in enumerate(blocks)]


def _entering(observer: LayerObserver, name: str) -> Any:
    def enter(module: nn.Module, inputs: Any) -> None:
        observer.block = name

    return enter
