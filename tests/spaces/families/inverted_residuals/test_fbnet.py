"""FBNet's networks are those of HW-NAS-Bench and HELP: numbering, shapes, costs, and which genotypes are one network."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau
from torch import nn

from rbflex_evo.fitness.costs.metric import CostSubject, create_metric
from rbflex_evo.fitness.passes.observer import CandidateFailed
from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.spaces import GenotypeError, TableError, create_space
from rbflex_evo.spaces.families.inverted_residuals.fbnet import OPERATIONS, SKIP
from rbflex_evo.spaces.space import SearchSpace
from rbflex_evo.spaces.tables.device_table import open_device_table

TABLES = os.environ.get("RBFLEX_EVO_TABLES")
needs_tables = pytest.mark.skipif(not TABLES, reason="RBFLEX_EVO_TABLES is not set")
SPACE = create_space("fbnet")
LATENCIES = "fbnet_latency.npz"
# Kendall of latency with multiply-accumulates and with parameters, as published with the file.
KENDALL = {
    "1080ti_1": (0.141, 0.113),
    "1080ti_32": (0.301, 0.086),
    "2080ti_64": (0.444, 0.085),
    "essential_ph_1": (0.520, 0.430),
    "eyeriss": (0.841, 0.446),
    "gold_6226": (0.659, 0.705),
    "gold_6240": (0.498, 0.587),
    "pixel3": (0.803, 0.391),
    "raspi4": (0.771, 0.506),
    "samsung_s7": (0.537, 0.468),
    "silver_4210r": (0.460, 0.506),
    "titanxp_32": (0.321, 0.087),
}


@needs_tables
def test_costs_are_as_far_from_known_latencies_as_published() -> None:
    table = open_device_table(str(Path(TABLES or "") / LATENCIES), SPACE)
    costs = [SPACE.costs(genotype) for genotype in table.genotypes(5000)]
    for device, (flops, params) in KENDALL.items():
        latency = table.values(table.find(f"latency:{device}"))
        assert kendalltau([each.flops for each in costs], latency)[0] == pytest.approx(flops, abs=6e-4)
        assert kendalltau([each.params for each in costs], latency)[0] == pytest.approx(params, abs=6e-4)


@needs_tables
def test_the_latency_of_a_network_is_found_by_any_of_its_genotypes() -> None:
    path = str(Path(TABLES or "") / LATENCIES)
    arrays = np.load(path)
    metric = create_metric("latency:pixel3", SPACE, {"path": path})
    for row in range(0, 5000, 500):
        representative = SPACE.representative(SPACE.key(tuple(arrays["arch"][row].tolist())))
        assert metric.cost(CostSubject(SPACE, representative)) == arrays["pixel3"][row]
    with pytest.raises(CandidateFailed, match="has no row of it"):
        metric.cost(CostSubject(SPACE, (0,) * 22))
    assert len(open_device_table(path, SPACE).costs()) == 22


def saved(folder: Path, arch: np.ndarray) -> str:
    np.savez(folder / "fbnet.npz", arch=arch, op_names=np.array(OPERATIONS), board=np.ones(len(arch)))
    return str(folder / "fbnet.npz")


def test_a_file_of_latencies_belongs_to_the_cifar_form(tmp_path: Path) -> None:
    path = saved(tmp_path, np.zeros((1, 22), np.int8))
    assert create_metric("latency:board", SPACE, {"path": path}).cost(CostSubject(SPACE, (0,) * 22)) == 1
    with pytest.raises(TableError, match="is of FBNet's CIFAR-100 form, but the space has the form 'imagenet'"):
        open_device_table(path, create_space("fbnet", form="imagenet"))
    with pytest.raises(TableError, match="is for fbnet, but the search space is 'nats_tss'"):
        open_device_table(path, create_space("nats_tss"))


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        (np.zeros((1, 21), np.int8), "is a table of another space than 'fbnet': row 1"),
        (np.full((1, 22), 9, np.int8), "has numbers beyond its 9 'op_names'"),
        (np.zeros((1, 22)), "expected whole numbers"),
    ],
)
def test_a_damaged_file_of_latencies_is_one_line(tmp_path: Path, arch: np.ndarray, message: str) -> None:
    with pytest.raises(TableError, match=message) as error:
        create_metric("latency:board", SPACE, {"path": saved(tmp_path, arch)})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("values", "shape"), [({}, (3, 32, 32)), ({}, (3, 17, 20)), ({"form": "imagenet"}, (3, 64, 64))])
def test_costs_equal_those_of_the_built_network(values: dict[str, str], shape: tuple[int, ...]) -> None:
    space = create_space("fbnet", **values)
    rng = np.random.default_rng(0)
    for _ in range(4):
        genotype = space.encoding.sample(rng)
        assert space.costs(genotype, shape) == SearchSpace.costs(space, genotype, shape)


def test_genotypes_of_one_key_are_one_network() -> None:
    first = (4,) * 22
    stage = (3, SKIP, 0, 5)
    swapped = (3, 0, SKIP, 5), (3, 0, 5, SKIP)
    genotypes = [(*first[:5], *middle, *first[9:]) for middle in (stage, *swapped)]
    assert len({SPACE.key(genotype) for genotype in genotypes}) == 1
    assert SPACE.key(genotypes[0]) == SPACE.notation(genotypes[2]) == SPACE.key(SPACE.representative(SPACE.key(genotypes[0])))
    raw = [SPACE.build(genotype).eval() for genotype in genotypes[:2]]
    raw[1].load_state_dict(dict(zip(raw[1].state_dict(), raw[0].state_dict().values(), strict=True)))
    images = SPACE.example_inputs(2)
    with torch.no_grad():
        torch.testing.assert_close(raw[0](images), raw[1](images))
    # A skip in the first layer of a stage halves the map or widens it, so its place matters.
    assert SPACE.key((0, SKIP, *(0,) * 20)) != SPACE.key((0, 0, SKIP, *(0,) * 19))


def test_groups_are_shuffled_between_the_convolutions() -> None:
    network = build_initialised(SPACE, (1,) * 22, WeightParameters()).eval()
    shuffles = [module for module in network.modules() if isinstance(module, nn.ChannelShuffle)]
    assert [module.groups for module in shuffles] == [2] * 22
    grouped = [module for module in network.modules() if isinstance(module, nn.Conv2d) and module.groups == 2]
    assert len(grouped) == 44


def test_notations_are_names_or_the_numbers_of_the_benchmarks() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        genotype = SPACE.encoding.sample(rng)
        assert SPACE.parse(SPACE.notation(genotype)) == genotype == SPACE.parse(str(list(genotype)))
    assert SPACE.notation((8, *(0,) * 21)).startswith("skip | k3_e1 k3_e1 k3_e1 k3_e1 | ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it has 0 operations; expected 22"),
        ("k3_e1 " * 21, "it has 21 operations; expected 22"),
        ("k3_e9 " * 22, "unknown operation 'k3_e9'; did you mean 'k3_e"),
        (str([9] * 22), "expected 22 numbers of 0..8"),
        ("[0, 1", "expected 22 numbers of 0..8"),
    ],
)
def test_malformed_notation_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(GenotypeError, match=message) as caught:
        SPACE.parse(text)
    assert "\n" not in str(caught.value)


def test_the_imagenet_form_is_the_papers() -> None:
    space = create_space("fbnet", form="imagenet")
    assert space.input_shape == (3, 224, 224)
    layout = space.layout((3,) * 22)
    assert (layout.stride, layout.head, layout.classes) == (2, 1984, 1000)
    assert [block.stride for block in layout.blocks if block.stride == 2] == [2] * 4


def test_the_drawing_is_the_chain_of_layers() -> None:
    drawing = SPACE.drawing((7,) * 22)
    assert len(drawing.nodes) == 1 + 1 + 22 + 1 + 1
    assert drawing.nodes[2:4] == ("k5_e6\n16", "k5_e6\n24")
