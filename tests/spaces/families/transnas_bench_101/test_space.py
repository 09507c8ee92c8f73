"""TransNAS-Bench-101's spaces are the benchmark's own: strings, sizes of networks, decoders, and what their features are worth."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import itertools
import os
from collections import Counter, deque
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from rbflex_evo.fitness.passes.watch import run_observed
from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.fitness.proxies.rbflex.score import RbflexObserver
from rbflex_evo.spaces import Cell, ConfigError, GenotypeError, SearchSpace, create_space
from rbflex_evo.spaces.families.nats_bench.cell import prune
from rbflex_evo.spaces.families.nats_bench.network import NatsCell
from rbflex_evo.spaces.families.transnas_bench_101.network import FactorizedReduce, edge, pieces
from rbflex_evo.spaces.families.transnas_bench_101.space import MICRO_OPERATIONS
from rbflex_evo.spaces.families.transnas_bench_101.tasks import TASKS, EncoderModule

TABLES = os.environ.get("RBFLEX_EVO_TABLES")
needs_tables = pytest.mark.skipif(not TABLES, reason="RBFLEX_EVO_TABLES is not set")
OUTPUTS = {"class_object": (75,), "class_scene": (47,), "room_layout": (9,), "jigsaw": (1000,)}
OUTPUTS |= {"segmentsemantic": (17, 64, 64), "normal": (3, 64, 64), "autoencoder": (3, 64, 64)}
EXAMPLES = {"transnas_micro": "64-41414-1_02_333", "transnas_macro": "64-134413-basic"}


@pytest.fixture(scope="module")
def micro():
    return create_space("transnas_micro")


@pytest.fixture(scope="module")
def macro():
    return create_space("transnas_macro")


def small(name, task, **values):
    return create_space(name, **{"task": task, "channels": 4, "size": 64, **values})


def test_macro_networks_are_those_of_the_benchmark(macro):
    names = sorted(macro.notation(genotype) for genotype in macro.encoding.enumerate())
    assert len(set(names)) == macro.encoding.size == 3256
    # One to four modules halve the map, one to three double the channels.
    codes = ["".join(code) for length in (4, 5, 6) for code in itertools.product("1234", repeat=length)]
    allowed = [c for c in codes if 1 <= c.count("3") + c.count("4") <= 4 and 1 <= c.count("2") + c.count("4") <= 3]
    assert names == sorted(f"64-{code}-basic" for code in allowed)


@needs_tables
def test_strings_are_those_of_the_benchmark_s_files(micro, macro):
    known = np.load(Path(TABLES) / "transnas101_micro.npz")["arch_str"].tolist()
    assert [micro.notation(genotype) for genotype in micro.encoding.enumerate()] == known
    known = set(np.load(Path(TABLES) / "transnas101_macro.npz")["arch_str"].tolist())
    ours = {macro.notation(genotype) for genotype in macro.encoding.enumerate()}
    assert known < ours
    assert ours - known == {"64-113444-basic"}


def test_every_macro_network_is_reached_by_steps_to_neighbours(macro):
    start = macro.parse("64-1234-basic")
    seen, waiting = {start}, deque([start])
    while waiting:
        for neighbour in macro.encoding.neighbours(waiting.popleft()):
            if neighbour not in seen:
                seen.add(neighbour)
                waiting.append(neighbour)
    assert len(seen) == 3256


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("transnas_micro", "64-41414-1_02_334", "is not a cell of transnas_micro; expected '64-41414-1_02_333'"),
        ("transnas_micro", "64-1234-basic", "is not a cell of transnas_micro"),
        ("transnas_macro", "64-41414-1_02_333", "is not a network of transnas_macro; expected '64-1234-basic'"),
        ("transnas_macro", "64-123-basic", "with 4..6 modules"),
        ("transnas_macro", "64-1222-basic", "1..4 of the modules must halve the map, but 0 of '1222' do"),
        ("transnas_macro", "64-2444-basic", "1..3 of the modules must double the channels, but 4 of '2444' do"),
        ("transnas_macro", "32-1234-basic", "is not a network of transnas_macro"),
    ],
)
def test_a_wrong_notation_is_one_line(name, text, message):
    with pytest.raises(GenotypeError) as caught:
        create_space(name).parse(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_genotype_and_a_wrong_task_are_one_line(macro):
    with pytest.raises(GenotypeError, match=r"must be in 1\.\.4"):
        macro.encoding.validate((1, 2, 3, 5, 0, 0))
    with pytest.raises(GenotypeError, match="has a block after an empty place"):
        macro.encoding.validate((1, 2, 3, 4, 0, 1))
    with pytest.raises(ConfigError, match=r"'space\.transnas_macro\.task'.*but it is 'depth'"):
        create_space("transnas_macro", task="depth")


def function_of(genotype, images, drawn):
    """What a strided cell puts out where edges of one operation and input shape share weights, and how many of each it has."""
    cell = NatsCell([MICRO_OPERATIONS[gene] for gene in genotype], 4, 8, 2, edge).double().eval()
    counts = Counter()
    for name, parameter in cell.named_parameters():
        if parameter.dim() > 1:
            kind = (name.rpartition(".")[0].partition("_")[2], tuple(parameter.shape))
            parameter.data = drawn.setdefault(kind, torch.randn(parameter.shape, dtype=torch.float64))
            counts[kind] += 1
    with torch.no_grad():
        return tuple(cell(images).flatten()[:8].round(decimals=6).tolist()), tuple(sorted(counts.items()))


def test_cells_have_one_key_exactly_where_they_are_one_network(micro):
    keys = list(micro.keys())
    assert len(keys) == len({micro.representative(key) for key in keys}) == 1376
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        images, drawn = torch.randn(1, 4, 6, 6, dtype=torch.float64), {}
        functions = {key: function_of(micro.representative(key), images, drawn) for key in keys}
        assert len(set(functions.values())) == 1376
        rng = np.random.default_rng(0)
        for genotype in (micro.encoding.sample(rng) for _ in range(300)):
            found = function_of(prune(genotype), images, drawn)
            expected = functions[micro.key(genotype)]
            assert found[0] == pytest.approx(expected[0], rel=1e-6, abs=1e-5)
            assert found[1] == expected[1]


def test_a_map_that_is_added_twice_is_not_two_maps(micro):
    twice, two = (micro.key(micro.parse(f"64-41414-{cell}")) for cell in ("3_01_011", "3_00_310"))
    assert twice != two


def test_a_skip_connection_from_the_input_is_no_alias(micro):
    # Into a strided cell the skip connection has weights, so a convolution after it is not one beside it.
    after, beside = (micro.key(micro.parse(f"64-41414-{cell}")) for cell in ("1_00_030", "0_00_300"))
    assert after != beside
    # Between later nodes it is its source.
    assert micro.key(micro.parse("64-41414-3_01_003")) == micro.key(micro.parse("64-41414-3_00_030"))


def test_what_is_pruned_has_no_effect():
    space = small("transnas_micro", "class_object")
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    for text in ("64-41414-0_32_133", "64-41414-3_00_300", "64-41414-2_33_020"):
        raw = space.parse(text)
        assert prune(raw) != raw
        outputs = [build_initialised(space, cell, WeightParameters()).eval()(images) for cell in (raw, prune(raw))]
        torch.testing.assert_close(*outputs)
        assert outputs[0].std() > 0


def test_a_factorized_reduction_reads_every_other_pixel_and_those_between():
    module = FactorizedReduce(3, 6, 2).eval()
    x = torch.randn(2, 3, 7, 8, generator=torch.Generator().manual_seed(0))
    first, second = (conv.weight[:, :, 0, 0] for conv in (module.first, module.second))
    active = x.clamp(min=0)
    expected = torch.zeros(2, 6, 4, 4)
    for row, column in itertools.product(range(4), range(4)):
        expected[:, :3, row, column] = active[:, :, 2 * row, 2 * column] @ first.T
        if 2 * row + 1 < 7:  # beyond the map there are zeros
            expected[:, 3:, row, column] = active[:, :, 2 * row + 1, 2 * column + 1] @ second.T
    with torch.no_grad():
        torch.testing.assert_close(module(x), expected / (1 + module.norm.eps) ** 0.5)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", EXAMPLES)
def test_every_task_has_its_outputs(name, task):
    space = small(name, task)
    network = space.build(space.parse(EXAMPLES[name])).eval()
    with torch.no_grad():
        assert network(torch.zeros(2, 3, 64, 64)).shape == (2, *OUTPUTS[task])
    assert network.get_submodule("decoder.classifier")[0] is space.classifier(network)
    assert space.loss == ("mean_squared_error" if task in ("room_layout", "normal", "autoencoder") else "cross_entropy")


@pytest.mark.parametrize("task", ["segmentsemantic", "normal"])
@pytest.mark.parametrize("code", ["1123", "3314", "33124", "334411"])
def test_pixels_come_out_as_large_as_they_went_in(task, code):
    space = small("transnas_macro", task)
    network = space.build(space.parse(f"64-{code}-basic")).eval()
    with torch.no_grad():
        output = network(torch.zeros(1, 3, 64, 128))
    assert output.shape == (1, OUTPUTS[task][0], 64, 128)
    # The benchmark's own layers: as many transposed convolutions as halvings, the stem's two included.
    doublings = sum(isinstance(module, nn.ConvTranspose2d) for module in network.modules())
    assert doublings == 2 + sum(digit in "34" for digit in code)


def test_pieces_are_the_middles_of_nine_cells():
    image = torch.arange(256 * 256.0).reshape(1, 1, 256, 256).expand(1, 3, 256, 256)
    found = pieces(image)
    assert len(found) == 9
    assert all(piece.shape == (1, 3, 64, 64) for piece in found)
    corners = [(int(piece[0, 0, 0, 0]) // 256, int(piece[0, 0, 0, 0]) % 256) for piece in found]
    assert corners == [(row, column) for row in (10, 95, 180) for column in (10, 95, 180)]


def test_the_jigsaw_s_network_takes_pieces_as_well_and_their_order_matters():
    space = small("transnas_micro", "jigsaw")
    network = build_initialised(space, space.parse(EXAMPLES["transnas_micro"]), WeightParameters()).eval()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    parts = torch.stack(pieces(images), dim=1)
    with torch.no_grad():
        assert torch.equal(network(images), network(parts))
        assert not torch.allclose(network(images), network(parts.flip(1)))


def records():
    with gzip.open(Path(TABLES) / "zc_naslib_sample.csv.gz", "rt") as file:
        return [row for row in csv.DictReader(file) if row["benchmark"].startswith("transnas101")]


def naslib_flops(network, side):
    """Multiply-accumulates and whatever else NASLib counted: biases, activations once and normalisations twice an output, pooling
    by windows of one pixel more than the map; transposed convolutions not at all."""
    total = 0

    def count(module, inputs, output):
        nonlocal total
        outputs = output.numel()
        if isinstance(module, nn.Conv2d):
            total += outputs * (module.weight.numel() // module.out_channels + (module.bias is not None))
        elif isinstance(module, nn.BatchNorm2d):
            total += 2 * outputs
        elif isinstance(module, nn.ReLU | nn.LeakyReLU):
            total += outputs
        elif isinstance(module, nn.Linear):
            total += module.weight.numel()
        elif isinstance(module, nn.AdaptiveAvgPool2d):
            total += inputs[0].shape[1] * (inputs[0].shape[2] + 1) ** 2

    for module in network.modules():
        module.register_forward_hook(count)
    with torch.no_grad():
        network(torch.empty(1, 3, side, side, device="meta"))
    return total


@needs_tables
@pytest.mark.parametrize("kind", ["micro", "macro"])
@pytest.mark.parametrize(("task", "classes"), [("class_object", 100), ("class_scene", 63), ("segmentsemantic", 17), ("normal", 3)])
def test_parameters_and_operations_equal_those_that_others_counted(kind, task, classes):
    # NASLib classifies into Taskonomy's 100 objects and 63 scenes, of which the benchmark kept 75 and 47.
    space = create_space(f"transnas_{kind}", task=task)
    space.task = dataclasses.replace(space.task, outputs=classes)
    rows = [row for row in records() if row["benchmark"] == f"transnas101_{kind}" and row["dataset"] == task]
    assert len(rows) > 600
    for row in rows[::150]:
        with torch.device("meta"):
            network = space.build(space.parse(row["arch"])).eval()
        params = sum(parameter.numel() for parameter in network.parameters())
        assert params / 1e6 == pytest.approx(float(row["params"]), rel=5e-7)
        assert naslib_flops(network, 256) / 1e6 == pytest.approx(float(row["flops"]), rel=5e-7)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", EXAMPLES)
def test_costs_by_arithmetic_are_those_of_the_built_network(name, task):
    space = small(name, task, size=96)  # whose halves are odd in the end
    rng = np.random.default_rng(0)
    drawn = [] if task == "jigsaw" else [space.encoding.sample(rng) for _ in range(2)]  # an encoder runs nine times there
    for genotype in (space.parse(EXAMPLES[name]), *drawn):
        assert space.costs(genotype) == SearchSpace.costs(space, genotype)
        assert space.costs(genotype, (3, 70, 64)) == SearchSpace.costs(space, genotype, (3, 70, 64))
    with pytest.raises(ConfigError, match=r"expected images of shape \[3, height, width\]"):
        space.costs(space.parse(EXAMPLES[name]), (1, 64, 64))


def test_costs_at_full_size_are_those_of_the_built_network(micro, macro):
    for space, text in ((micro, "64-41414-1_31_213"), (macro, "64-231134-basic")):
        assert space.costs(space.parse(text)) == SearchSpace.costs(space, space.parse(text))


class Features(RbflexObserver):
    """Keeps how much the features differ from image to image, beside the largest number of the map that they come from."""

    def features(self, output, magnitude):
        super().features(output, magnitude)
        self.share = float((output.amax(0) - output.amin(0)).max() / magnitude)


def features_of(space, text):
    """The largest range of a feature over its map's magnitude, and how many features a score takes for more than round-off."""
    network = build_initialised(space, space.parse(text), WeightParameters())
    shape = (4, 3, space.parameters.size, space.parameters.size)
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    observer = Features()
    run_observed(network, images, [observer], space.classifier(network))
    return observer.share, int(observer.parts["q"].finish()["live"])


@pytest.mark.parametrize("task", ["class_object", "class_scene", "room_layout", "jigsaw"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_what_is_pooled_is_round_off_and_the_space_says_so(name, task):
    space = small(name, task, size=256)
    assert space.features == "none"
    for text in (EXAMPLES[name], "64-41414-1_11_111" if name == "transnas_micro" else "64-2113-basic"):
        share, live = features_of(space, text)
        if task == "jigsaw" and text == "64-134413-basic":  # four halvings make one pixel of a piece: nothing centres it
            assert share > 0.1
            assert live > 0
        else:
            assert share < 1e-5
            assert live == 0


@pytest.mark.parametrize("task", ["segmentsemantic", "normal", "autoencoder"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_what_a_pixel_decoder_ends_with_is_more_than_round_off_and_the_space_says_so(name, task):
    space = small(name, task)
    assert space.features == "per_image"
    share, live = features_of(space, EXAMPLES[name])
    assert share > 0.1
    assert live > 0


def test_cells_are_counted_as_they_are_built(micro, macro):
    # Node 1 = conv3x3 of the input; node 3 = the input + conv1x1 of node 1: one skip connection passes both convolutions.
    found = micro.cells(micro.parse("64-41414-3_00_120"))
    assert len(found) == 10
    assert found[0] == Cell(128.0, 2, 64 + 128, 128, 6 * 128)
    assert found[-1] == Cell(512.0, 2, 1024, 512, 6 * 512)
    assert micro.cells(micro.parse("64-41414-0_00_000")) == ()
    assert macro.cells(macro.parse("64-1231-basic"))[:3] == (
        *[Cell(64.0, 2, 128, 64, 192)] * 2,
        Cell(128.0, 2, 192, 128, 384),
    )


def test_modules_follow_from_the_code(macro):
    assert macro.modules(macro.parse("64-1234-basic")) == [
        EncoderModule(64, False), EncoderModule(128, False), EncoderModule(128, True), EncoderModule(256, True),
    ]  # fmt: skip


def test_a_drawing_says_widths_and_maps(micro, macro):
    assert macro.drawing(macro.parse("64-1234-basic")).nodes == (
        "input", "stem\n64, 64 x 64", "module 1\n64, 64 x 64", "module 2\n128, 64 x 64", "module 3\n128, 32 x 32",
        "module 4\n256, 16 x 16", "class_object",
    )  # fmt: skip
    drawing = micro.drawing(micro.parse("64-41414-0_33_120"))
    assert drawing.nodes == ("input", "node 1", "node 2", "output")
    assert [(a, b, label) for a, b, label, live in drawing.edges if live] == [(0, 3, "skip_connect")]
