"""The pieces of the speed benchmark measure what they say, and its tables, floors and plot come out of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.figures import speed_plot
from benchmarks.machine import speed, speed_methods, speed_parts
from benchmarks.shared import literal_rbflex
from rbflex_evo.fitness.proxies.rbflex.score import PUBLISHED_GAMMAS
from rbflex_evo.spaces import create_space

# Every method in candidates/s, as if measured: 1, 2, 3, ... in the order of the table.
NAMES = ["published", "published_one_thread", "plain", "plain_one_thread", "generic_float32", "batched_eager_float32",
         "batched_eager_float32_two_workers", "batched_compiled_float32_two_workers", "exhaustive"]  # fmt: skip


def tiny():
    return create_space("nats_tss", channels=2, cells=1), torch.from_numpy(speed_methods.noise(4, 8))


def document(published=1.0):
    rates = {name: float(i) for i, name in enumerate(NAMES, start=1)} | {"published": published}
    whole = {
        "networks": 512, "of": 32768, "workers": 2, "seconds": 5.0, "startup_seconds": 1.0, "candidates_per_second": 128.0,
        "whole_seconds": 257.0, "peak_mib": 900.0, "new_gamma": {"candidates": 500, "seconds": 0.05, "microseconds_each": 100.0},
    }  # fmt: skip
    cost = {"published": [{"n": 16, "size": 32, "seconds": 1.0}],
            "batched_eager_float32": [{"n": 16, "size": size, "seconds": 0.01 * size} for size in (32, 64)]}  # fmt: skip
    details = {
        "machine": {"processor": "a processor", "cores": 2, "load_before": 0.0},
        "exhaustive": dict.fromkeys(speed.SPACES, whole),
        "ratios": {name: {base: speed.ratios(rates, base) for base in ("published", "plain")} for name in speed.SPACES},
        "large_input": {which: {"seconds": 1.0, "peak_mib": 900.0, "forward_mib": mib} for which, mib in
                        (("plain", 100.0), ("scored", 120.0))},
        "input_sizes": cost,
        "ns": {name: [{**row, "n": row["size"] // 2} for row in found] for name, found in cost.items()},
    }  # fmt: skip
    found = {**dict.fromkeys(speed.SPACES, rates), "details": details}
    details["floors"] = speed.floors(found)
    return found


def test_the_published_procedure_is_that_of_the_paper():
    space, images = tiny()
    genotype = space.parse("|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|none~0|avg_pool_3x3~1|nor_conv_3x3~2|")
    images = torch.from_numpy(speed_methods.noise(4, 16))
    torch.manual_seed(0)
    network = space.build(genotype)
    layers = [module for module in network.modules() if "ReLU" in type(module).__name__]
    assert not all(isinstance(module, nn.ReLU) for module in layers)
    x, y = (literal_rbflex.normalise(rows) for rows in literal_rbflex.raw_vectors(network, images, network.classifier, layers))
    expected = sum(np.linalg.slogdet(literal_rbflex.kernel(r, g))[1] for r, g in zip((x, y), PUBLISHED_GAMMAS, strict=True))
    for procedure in (speed_methods.published, speed_methods.published_as_written):
        torch.manual_seed(0)
        assert procedure(space, images, genotype) == pytest.approx(4 * expected, rel=1e-3)


def test_a_log_determinant_is_that_of_the_normalised_rows():
    rows = torch.from_numpy(np.random.default_rng(0).standard_normal((5, 40)))
    rows[:, 3] = 2.0
    expected = np.linalg.slogdet(literal_rbflex.kernel(literal_rbflex.normalise(rows.numpy()), 0.1))[1]
    assert speed_methods.log_determinant(rows.clone(), 0.1) == pytest.approx(expected, rel=1e-9)


def test_every_method_has_a_rate_in_every_round_and_all_of_ours_agree():
    space, images = create_space("nats_tss", channels=4, cells=1), torch.from_numpy(speed_methods.noise(4, 16))
    methods = speed_methods.methods(space, images)
    genotypes = speed_methods.networks(space, 2)
    rates = speed_methods.interleaved(space, methods, {}, genotypes, rounds=2)
    assert set(rates) == set(methods) >= {"published", "plain", "generic_float32", "batched_eager_float32"}
    assert all(len(values) == 2 and min(values) > 0 for values in rates.values())
    scores = [methods[name].run(genotypes[0]) for name in methods if name.endswith(("float32", "float64"))]
    np.testing.assert_allclose(scores, scores[0], rtol=1e-3)


def test_timing_leaves_the_number_of_threads_as_it_was():
    before = torch.get_num_threads()
    seen = []

    def run(genotype):
        seen.append(torch.get_num_threads())
        return 0.0

    speed_methods.seconds_of(speed_methods.Method(before + 1, run), ())
    assert seen == [before + 1] and torch.get_num_threads() == before


def test_a_network_that_cannot_be_scored_stops_the_benchmark():
    space, images = tiny()
    with pytest.raises(RuntimeError, match="cannot be scored"):
        speed_methods.ours(space, images, "float32", "eager").run((0,) * 6)


def test_a_part_of_a_space_is_scored_and_scored_again_from_its_cache():
    space = create_space("nats_sss")
    whole = speed_parts.exhaustive(space, speed_methods.noise(4, 8), 1, 1, cached=20, genes=4)
    assert (whole["networks"], whole["of"]) == (8, 32768)
    assert whole["new_gamma"]["candidates"] == 8
    assert whole["whole_seconds"] > whole["seconds"]


def test_evenly_spaced_subtrees_are_distinct_and_inside():
    names = [(i,) for i in range(64)]
    assert speed_parts.spread(names, 2) == [(16,), (48,)]
    assert speed_parts.spread(names, 64) == names


def test_floors_take_the_published_procedure_at_its_better_number_of_threads():
    slow, fast = (speed.floors(document(published=rate)) for rate in (0.01, 4.0))
    assert (slow[0]["found"], fast[0]["found"]) == (6 / 2, 6 / 4)
    met = {row["what"].partition(":")[0] + row["wanted"]: row["met"] for row in slow}
    assert met["224 pixels< 1.5"] and not met["nats_sss>= 120"]


def test_the_tables_name_every_method():
    text = speed.tables(document())
    assert all(name in text for name in NAMES)
    assert "not met" in text and "512 of 32,768" in text
    json.dumps(document())


def test_the_plot_is_drawn(tmp_path):
    speed_plot.draw(document()["details"], tmp_path / "speed.png")
    assert (tmp_path / "speed.png").read_bytes().startswith(b"\x89PNG")
