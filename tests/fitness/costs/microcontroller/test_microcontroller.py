"""Memory on a microcontroller: the best order is that of all orders, and sizes are those that can be counted by hand."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rbflex_evo.fitness.costs.metric import CostSubject, create_metric
from rbflex_evo.fitness.costs.microcontroller.layers import Weights, deployed
from rbflex_evo.fitness.costs.microcontroller.order import Layer, smallest_peak
from rbflex_evo.fitness.passes.observer import CandidateFailed
from rbflex_evo.spaces import Genotype, SearchSpace, VectorEncoding, create_space


def peak_of(order: tuple[int, ...], layers: list[Layer], input_size: int) -> int | None:
    """Returns the peak of one order, counted literally, or None if a layer would run before its inputs."""
    there = {-1: input_size}
    peak = input_size
    for step, position in enumerate(order):
        if not layers[position].sources <= set(there):
            return None
        there[position] = layers[position].size
        peak = max(peak, sum(there.values()))
        later = set().union(*(layers[other].sources for other in order[step + 1 :]))
        there = {tensor: size for tensor, size in there.items() if tensor in later or tensor == len(layers) - 1}
    return peak


def random_layers(rng: np.random.Generator) -> tuple[list[Layer], int]:
    """Returns up to seven layers that read random earlier ones; some are read by none."""
    layers = []
    for position in range(int(rng.integers(1, 8))):
        count = int(rng.integers(1, min(position + 1, 3) + 1))
        sources = rng.choice(np.arange(-1, position), count, replace=False).tolist()
        layers.append(Layer(frozenset(sources), int(rng.integers(1, 20))))
    return layers, int(rng.integers(1, 20))


def test_the_best_order_of_200_random_graphs_is_that_of_all_orders() -> None:
    rng = np.random.default_rng(0)
    better = 0
    for _ in range(200):
        layers, input_size = random_layers(rng)
        peaks = [peak_of(order, layers, input_size) for order in permutations(range(len(layers)))]
        expected = min(peak for peak in peaks if peak is not None)
        assert smallest_peak(layers, input_size) == expected
        given = peak_of(tuple(range(len(layers))), layers, input_size)
        better += given is not None and expected < given
    assert better > 20  # the given order is often not the best one


def test_a_chain_peaks_at_its_two_largest_neighbours() -> None:
    sizes = [3, 9, 4, 8, 7, 1]
    layers = [Layer(frozenset({i - 1}), size) for i, size in enumerate(sizes)]
    assert smallest_peak(layers, 5) == 8 + 7
    assert smallest_peak([], 5) == 5


def test_a_graph_of_too_many_orders_is_given_up() -> None:
    # Wide layers that all must exist before any of them is read.
    wide = [Layer(frozenset({-1}), 1 + i) for i in range(14)]
    layers = [*wide, Layer(frozenset(range(14)), 1)]
    assert smallest_peak(layers, 1, limit=10) is None
    assert smallest_peak(layers, 1) == 1 + sum(range(1, 15)) + 1 - 1


def test_layers_in_a_circle_are_no_network() -> None:
    with pytest.raises(ValueError, match="the layers have a circle"):
        smallest_peak([Layer(frozenset({1}), 1), Layer(frozenset({0}), 1)], 1)


class Net(nn.Module):
    """A convolution with normalisation and activation, read twice; a sum; a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.side = nn.Conv2d(4, 4, 1, groups=2)
        self.norm = nn.BatchNorm2d(4)
        self.unused = nn.Linear(9, 9)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.norm(torch.relu(x + self.side(x)) * 2)
        result: Tensor = self.head(x.mean((2, 3)))
        return result


class NetSpace(SearchSpace):
    name = "net"
    input_shape = (3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.encoding = VectorEncoding([1])

    def build(self, genotype: Genotype) -> nn.Module:
        return Net()

    def notation(self, genotype: Genotype) -> str:
        return "net"

    def parse(self, text: str) -> Genotype:
        return (0,)


def test_layers_and_weights_of_a_small_network() -> None:
    network = deployed(NetSpace(), (0,))
    # Stem with its folded normalisation and activation; side; sum with activation, factor and normalisation; mean; head.
    assert [layer.size for layer in network.layers] == [256, 256, 256, 4, 2]
    assert [set(layer.sources) for layer in network.layers] == [{-1}, {0}, {0, 1}, {2}, {3}]
    assert network.input_size == 192
    # Weights of stem, side and head, scale and shift of the last normalisation; biases of the folded one, side and head.
    assert network.weights == Weights(3 * 4 * 9 + 4 * 2 + 2 * 4 + 8, 4 + 4 + 2)


def cost(name: str, space: SearchSpace, genotype: Genotype, **values: str) -> float:
    return create_metric(name, space, values).cost(CostSubject(space, genotype))


def test_bytes_follow_the_precision() -> None:
    space = NetSpace()
    assert cost("sram", space, (0,)) == 3 * 256
    assert cost("sram", space, (0,), precision="float16") == 6 * 256
    assert cost("sram", space, (0,), precision="float32") == 12 * 256
    assert cost("flash", space, (0,)) == 132 + 4 * 10
    assert cost("flash", space, (0,), precision="float16") == 2 * 142
    assert cost("flash", space, (0,), precision="float32") == 4 * 142


def test_mobilenet_v2_peaks_at_its_first_wide_depthwise_convolution() -> None:
    space = create_space("mobilenet")
    depths = (1, 2, 3, 4, 3, 3, 1)
    stages = [f"1.0: {' '.join(['k3e6' if i else 'k3e1'] * depth)}" for i, depth in enumerate(depths)]
    genotype = space.parse(" | ".join(["stem 1.0", *stages, "head 1.0"]))
    assert cost("sram", space, genotype) == 96 * 112 * 112 + 96 * 56 * 56
    # 3,504,872 parameters, of which 34,112 are of normalisations, which leave 17,056 biases, and 1,000 biases of the classifier.
    assert cost("flash", space, genotype) == 3_504_872 - 34_112 - 1000 + 4 * (17_056 + 1000)


@pytest.mark.parametrize("name", ["nats_tss", "nasbench101", "fbnet", "pit", "flexibert"])
def test_the_best_order_takes_no_more_than_the_network_s_own(name: str) -> None:
    space = create_space(name)
    rng = np.random.default_rng(1)
    for _ in range(2):
        genotype = space.representative(space.key(space.encoding.sample(rng)))
        measured = create_metric("activation_memory", space).cost(CostSubject(space, genotype))
        assert 0 < cost("sram", space, genotype, precision="float32") <= measured


def test_a_network_of_too_many_orders_fails_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from rbflex_evo.fitness.costs.microcontroller import metrics

    monkeypatch.setattr(metrics, "LIMIT", 0)
    with pytest.raises(CandidateFailed, match="limit activation_memory, which takes the layers in the order of the network"):
        cost("sram", NetSpace(), (0,))
