"""Costs against what can be counted by hand, and the tables and devices that they need."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rbflex_evo.fitness import METRICS
from rbflex_evo.fitness.costs.book import CostBook
from rbflex_evo.fitness.costs.memory import activation_memory
from rbflex_evo.fitness.costs.metric import CostSubject, Metric, create_metric, metrics_named
from rbflex_evo.fitness.passes.observer import CandidateFailed
from rbflex_evo.spaces import (
    ConfigError,
    DeviceError,
    Genotype,
    Parameters,
    SearchSpace,
    UnknownNameError,
    VectorEncoding,
    create_space,
)

TSS = create_space("nats_tss")
CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"


def architecture(space: str = "nats_tss", notation: str = CELL) -> CostSubject:
    built = create_space(space)
    return CostSubject(built, built.representative(built.key(built.parse(notation))))


class Branches(nn.Module):
    """A convolution beside a normalised pair of them; a learned offset; a classifier. Their depth is 3."""

    def __init__(self) -> None:
        super().__init__()
        self.short = nn.Conv2d(3, 4, 3, padding=1)
        self.long = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1, groups=4))
        self.offset = nn.Parameter(torch.zeros(1, 4, 8, 8))
        self.unused = nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(4, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        self.unused(self.short(x))
        return self.head((self.short(x) + self.long(x) + self.offset).mean((2, 3)))


class Dead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.new_zeros(1, 3))


class OneNetwork(SearchSpace):
    """A space of the one network that it is given."""

    name = "one_network"
    encoding = VectorEncoding([1])

    def __init__(self, network: nn.Module, input_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.network, self.input_shape = network, input_shape

    def build(self, genotype: Genotype) -> nn.Module:
        return self.network

    def notation(self, genotype: Genotype) -> str:
        return "it"

    def parse(self, text: str) -> Genotype:
        return (0,)


@pytest.mark.parametrize(
    ("network", "shape", "expected"),
    [
        (Branches(), (3, 8, 8), 3),
        (nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(16, 2)), (3, 2, 2), 2),
        (Dead(), (3, 8, 8), 0),
    ],
)
def test_depth_is_the_longest_path_and_counts_weighted_layers_alone(network, shape, expected):
    space = OneNetwork(network, shape)
    assert create_metric("depth", space).cost(CostSubject(space, (0,))) == expected


@pytest.mark.parametrize(
    ("space", "notation", "expected"),
    [
        # A stem, two reductions of two convolutions, a classifier; 15 cells of as many layers as their longest path has.
        ("nats_tss", "|skip_connect~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|", 6),
        ("nats_tss", CELL, 6 + 15 * 3),
        ("nats_sss", "8:8:8:8:8", 6 + 3 * 3),
    ],
)
def test_the_depth_of_a_benchmark_network_is_that_of_its_skeleton(space, notation, expected):
    subject = architecture(space, notation)
    assert create_metric("depth", subject.space).cost(subject) == expected


@pytest.mark.parametrize(
    ("network", "floats"),
    [
        # Flattening copies nothing. At each product its input and its output are live.
        (nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Linear(5, 7)), 12 + 5 + 7),
        (nn.Sequential(nn.Flatten(), nn.Linear(12, 30), nn.Linear(30, 7)), 12 + 30 + 7),
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True), nn.Conv2d(4, 1, 1)), 12 + 16 + 4),
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 1, 1)), 12 + 16 + 16),
    ],
    ids=["falling", "rising", "in place", "not in place"],
)
def test_activation_memory_is_the_largest_sum_of_what_is_live_at_once(network, floats):
    # The input outlives the forward, as its caller holds it.
    assert activation_memory(network, torch.zeros(1, 3, 2, 2)) == 4 * floats


def test_wider_networks_take_more_activation_memory_whatever_was_counted_before():
    metric = create_metric("activation_memory", create_space("nats_sss"))
    narrow, wide = (metric.cost(architecture("nats_sss", text)) for text in ("8:8:8:8:8", "64:64:64:64:64"))
    assert narrow < wide
    assert metric.cost(architecture("nats_sss", "8:8:8:8:8")) == narrow


def test_params_and_flops_are_the_spaces_own_of_the_network_that_is_scored():
    raw = TSS.parse("|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|none~1|none~2|")
    book = CostBook([create_metric(name, TSS) for name in ("params", "flops")], TSS, TSS.representative)
    pruned = TSS.costs(TSS.representative(TSS.key(raw)))
    assert book.look(TSS.key(raw)).costs == {"params": pruned.params, "flops": pruned.flops}
    assert pruned.params < TSS.costs(raw).params


def test_latency_is_measured_on_one_thread_and_disturbs_nothing():
    metric = create_metric("latency", TSS, {"warm_up": 1, "repeats": 3})
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    one = architecture()
    assert 0 < metric.cost(one) < 60_000
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
    assert not metric.repeatable
    with pytest.raises(DeviceError, match="device 'cuda:9' is not available"):
        create_metric("latency", TSS, {"device": "cuda:9"})


class Counting(Metric):
    """Costs 5 of the first, none of the second, infinitely much of the third; keeps what it was asked."""

    name = "counting"

    def __init__(self) -> None:
        super().__init__(Parameters(), TSS)
        self.asked: list[str] = []

    def cost(self, architecture: CostSubject) -> float:
        self.asked.append(self.space.key(architecture.genotype))
        if len(self.asked) == 2:
            raise CandidateFailed("no second one")
        return 5.0 if len(self.asked) == 1 else float("inf")


def test_a_book_counts_each_cost_once_and_keeps_why_there_is_none():
    metric = Counting()
    book = CostBook([metric, create_metric("params", TSS)], TSS, TSS.representative)
    keys = [TSS.key(TSS.at(index)) for index in (0, 284, 9930)]
    for _ in range(2):
        assert book.look(keys[0], ["counting"]).costs == {"counting": 5.0}
        assert book.look(keys[1]).failures == {"counting": "no second one"}
        assert book.look(keys[2]).failures == {"counting": "the cost is inf"}
    assert metric.asked == [TSS.key(TSS.representative(key)) for key in keys]
    assert set(book.look(keys[1]).costs) == {"params"}


# --- names and parameters ---------------------------------------------------------------------------------------------


def test_metrics_are_registered_by_the_names_they_have():
    for name in METRICS.names():
        metric: type[Metric] = METRICS.get(name)
        assert metric.name == name
        assert metric.description
    with pytest.raises(UnknownNameError, match="unknown metric 'flop'; did you mean 'flops'"):
        create_metric("flop", TSS)


@pytest.mark.parametrize("swap", [lambda *both: both, lambda *both: both[::-1]])
def test_a_metric_that_two_sections_name_takes_the_parameters_of_the_one_that_gives_them(
    swap: Callable[..., tuple[dict[str, dict[str, int]], dict[str, dict[str, int]]]],
):
    found = metrics_named(*swap({"latency": {"repeats": 3}}, {"latency": {}, "params": {}}))
    assert {name: values for name, (values, _) in found.items()} == {"latency": {"repeats": 3}, "params": {}}
    with pytest.raises(ConfigError, match=r"'latency' has the parameters .* give them once"):
        metrics_named({"latency": {"repeats": 3}}, {"latency": {"repeats": 4}})
