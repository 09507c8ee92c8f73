"""Graph convolution over the architecture (BRP-NAS, Dudziak et al., NeurIPS 2020).

    h_0       labels of the nodes
    h_i       relu(A h_(i-1) W_i + A^T h_(i-1) V_i + h_(i-1) U_i)
    log cost  two linear layers of the mean over the nodes of the last h, beside its global node

The weights are fitted to the standardised logarithms of the costs by Adam with a falling learning rate, on one thread, so that
equal seeds give equal predictors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from rbflex_evo.spaces import ConfigError, Genotype, SearchSpace
from rbflex_evo.spaces.isolation.random_state import own_random_state
from rbflex_evo.spaces.isolation.settings import own_settings

from .graphs import GLOBAL, arrays_of, graph_of
from .predictor import Predictor, State

if TYPE_CHECKING:
    from torch import Tensor

LAYERS = 3
WIDTH = 48
STEPS = 800
BATCH = 64
RATE = 3e-3
DECAY = 1e-3
# Graphs that are predicted at once.
BLOCK = 2048


class GraphConvolution(Predictor):
    """A small graph convolution over the drawing of an architecture.

    Args:
        space: Search space of the genotypes.
        seed: Seed of the initial weights and the batches.
        steps: Number of batches that the weights are fitted to.
    """

    name = "gcn"
    description = "graph convolution over the architecture's graph (BRP-NAS)"

    def __init__(self, space: SearchSpace, seed: int = 0, steps: int = STEPS) -> None:
        super().__init__(space, seed)
        self.steps = steps
        self.vocabulary: list[str] = []
        self.nodes = 0
        self.scale = (0.0, 1.0)
        self.weights: dict[str, np.ndarray] = {}

    def _fit(self, genotypes: Sequence[Genotype], values: np.ndarray) -> None:
        import torch

        graphs = [graph_of(self.space, genotype) for genotype in genotypes]
        self.vocabulary = sorted({label for graph in graphs for label in graph.labels})
        self.nodes = max(len(graph.labels) for graph in graphs)
        logs = np.log(values)
        self.scale = float(logs.mean()), float(logs.std()) or 1.0
        rng = np.random.Generator(np.random.PCG64(self.seed))
        with own_settings(), own_random_state(self.seed):
            features, adjacency = map(torch.from_numpy, arrays_of(graphs, self.vocabulary, self.nodes))
            places = torch.tensor([graph.labels.index(GLOBAL) for graph in graphs])
            target = torch.from_numpy(((logs - self.scale[0]) / self.scale[1]).astype(np.float32))
            weights = {name: torch.from_numpy(array).requires_grad_() for name, array in _drawn(features.shape[2], rng).items()}
            optimizer = torch.optim.AdamW(weights.values(), lr=RATE, weight_decay=DECAY)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
            for _, batch in zip(range(self.steps), _batches(len(graphs), rng), strict=False):
                chosen = torch.from_numpy(batch)
                optimizer.zero_grad()
                predicted = _forward(weights, features[chosen], adjacency[chosen], places[chosen])
                torch.nn.functional.smooth_l1_loss(predicted, target[chosen]).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
        self.weights = {name: tensor.detach().numpy() for name, tensor in weights.items()}

    def _predict(self, genotypes: Sequence[Genotype]) -> np.ndarray:
        import torch

        found = []
        with own_settings(), torch.no_grad():
            weights = {name: torch.from_numpy(array) for name, array in self.weights.items()}
            for start in range(0, len(genotypes), BLOCK):
                graphs = [graph_of(self.space, genotype) for genotype in genotypes[start : start + BLOCK]]
                nodes = max(self.nodes, *(len(graph.labels) for graph in graphs))
                features, adjacency = map(torch.from_numpy, arrays_of(graphs, self.vocabulary, nodes))
                places = torch.tensor([graph.labels.index(GLOBAL) for graph in graphs])
                found.append(_forward(weights, features, adjacency, places).numpy().astype(np.float64))
        mean, spread = self.scale
        return np.exp(mean + spread * np.concatenate(found))

    def state(self) -> State:
        """Returns the weights and the labels that they belong to."""
        return State({"vocabulary": self.vocabulary, "nodes": self.nodes, "scale": list(self.scale)}, self.weights)

    def restore(self, state: State) -> None:
        """Takes over weights.

        Raises:
            ConfigError: If a weight is missing.
        """
        self.vocabulary, self.nodes = list(state.plain["vocabulary"]), int(state.plain["nodes"])
        mean, spread = state.plain["scale"]
        self.scale = float(mean), float(spread)
        self.weights = dict(state.arrays)
        missing = set(_shapes(len(self.vocabulary) + 2)) - set(self.weights)
        if missing:
            raise ConfigError(f"the weight {sorted(missing)[0]!r} of the graph convolution is missing")
        self.fitted = True


def _shapes(features: int) -> dict[str, tuple[int, int]]:
    shapes = {
        f"{way}{layer}": (WIDTH if layer else features, WIDTH) for layer in range(LAYERS) for way in ("reads", "read_by", "itself")
    }
    return {**shapes, "hidden": (2 * WIDTH, WIDTH), "output": (WIDTH, 1), "bias": (1, WIDTH)}


def _drawn(features: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Returns weights of He's variance; the bias is zero."""
    drawn = {
        name: rng.standard_normal(shape, dtype=np.float32) * np.float32((2 / shape[0] / 3) ** 0.5)
        for name, shape in _shapes(features).items()
    }
    return {**drawn, "bias": np.zeros((1, WIDTH), np.float32)}


def _batches(count: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yields positions of batches without end; every position once in a pass."""
    while True:
        order = rng.permutation(count)
        yield from (order[start : start + BATCH] for start in range(0, count, BATCH))


def _forward(weights: dict[str, Tensor], features: Tensor, adjacency: Tensor, places: Tensor) -> Tensor:
    """Returns the standardised logarithms of the costs, float32 [graphs]."""
    import torch

    present = features[:, :, -2:-1]
    hidden = features
    for layer in range(LAYERS):
        reads = adjacency @ (hidden @ weights[f"reads{layer}"])
        read_by = adjacency.transpose(1, 2) @ (hidden @ weights[f"read_by{layer}"])
        hidden = torch.relu(reads + read_by + hidden @ weights[f"itself{layer}"]) * present
    mean = hidden.sum(dim=1) / present.sum(dim=1)
    read = torch.cat([mean, hidden[torch.arange(len(hidden)), places]], dim=1)
    output = torch.relu(read @ weights["hidden"] + weights["bias"]) @ weights["output"]
    return output[:, 0]
