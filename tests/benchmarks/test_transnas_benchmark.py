"""The benchmark of RBFleX's Table II runs through, goes on from its cache, and scores what the published scripts score."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import numpy as np
import pytest
import torch
from torch.nn import functional

from benchmarks.published import transnas
from benchmarks.published.transnas_published import PUBLISHED
from rbflex_evo.fitness import create_proxy
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.measuring.cache import default_path
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.measurer import Measurer
from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.fitness.proxies.rbflex.kernels import squared_distances
from rbflex_evo.spaces import create_space


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Tables of random accuracies, and a few images named as Taskonomy's are."""
    from PIL import Image

    monkeypatch.setenv("RBFLEX_EVO_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for i, pixels in enumerate(rng.integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)):
        Image.fromarray(pixels).save(tmp_path / f"point_{i}_view_0_domain_rgb.png")
    for kind in ("micro", "macro"):
        space = create_space(f"transnas_{kind}")
        names = [space.notation(genotype) for genotype in space.encoding.enumerate()]
        names = names[:-1] if kind == "macro" else names  # as the published table of macro networks, it leaves one out
        np.savez(tmp_path / f"transnas101_{kind}.npz", arch_str=np.array(names), **{
            task: rng.uniform(10, 50, len(names)) for task in transnas.TASKS
        })  # fmt: skip
    return tmp_path


def rows_of(path):
    """How many statistics a cache holds."""
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT count(*) FROM statistics").fetchone()[0]


def test_every_score_is_held_against_both_tasks_and_a_second_run_measures_nothing(folders, capsys):
    arguments = [f"--tables={folders}", f"--images={folders}", f"--folder={folders}", "--workers=1", "--quick"]
    transnas.main([*arguments, "--spaces", "transnas_macro"])
    first = json.loads((folders / "transnas.json").read_text())
    measured = rows_of(default_path())
    transnas.main([*arguments, "--spaces", "transnas_macro"])
    again = json.loads((folders / "transnas.json").read_text())
    assert again["settings"] == first["settings"]
    assert rows_of(default_path()) == measured > 0
    assert list(first["settings"]) == ["transnas_macro, class_object", "transnas_macro, segmentsemantic"]
    rows = list(dict.fromkeys(one["row"] for one in first["settings"]["transnas_macro, class_object"]))
    assert rows == ["rbflex", "naswot", "params", "flops", "3 x 3 convolutions", "rbflex as published"]
    assert "6 random networks a space" in capsys.readouterr().out


def test_the_networks_of_a_sample_are_distinct_and_neighbours_lie_side_by_side():
    space = create_space("transnas_macro")
    genotypes = transnas.drawn(space, 200)
    assert len(set(genotypes)) == 200 and genotypes == sorted(genotypes)
    assert set(transnas.drawn(space, 20)) < set(genotypes)


def test_networks_that_the_table_does_not_know_are_left_out_and_failed_ones_rank_last():
    scores = {"rbflex": np.array([1.0, 2.0, np.nan, 4.0, 9.0]), "rbflex as published": np.arange(5.0)}
    accuracies = np.array([20.0, 30.0, 10.0, 40.0, np.nan])
    found = {(one.row, one.what): one for one in transnas.compare(scores, accuracies, {"rbflex": (0.5, 0.6)}, 5)}
    assert found["rbflex", "Kendall"].ours.value == pytest.approx(1.0)
    assert found["rbflex", "Pearson"].ours.value == pytest.approx(np.corrcoef([1, 2, 4], [20, 30, 40])[0, 1])
    assert found["rbflex", "Kendall"].published == found["rbflex as published", "Kendall"].published == 0.6
    assert found["rbflex", "Pearson"].published == 0.5 and found["rbflex", "Spearman"].published is None


def literal(network, images):
    """Squared distances of X and Y as in the scripts: each image alone in training mode, hooks on every ReLU and the last."""
    network = network.double().train()
    seen: list[torch.Tensor] = []
    last: list[torch.Tensor] = []
    for module in network.modules():
        if "ReLU" in str(type(module)):
            module.register_forward_hook(lambda m, i, output: seen.append(output.flatten()))
    list(network.named_modules())[-1][1].register_forward_hook(lambda m, inputs, output: last.append(inputs[0].flatten()))
    rows: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
    for image in images.double():
        seen.clear()
        last.clear()
        with torch.no_grad():
            network(image[None])
        rows[0].append(torch.cat(seen))
        rows[1].append(last[0])
    found = []
    for part in rows:
        x = torch.stack(part)
        low, high = x.amin(0), x.amax(0)
        x = (x - low) / torch.where(high > low, high - low, 1.0)
        found.append(((x[:, None] - x) ** 2).sum(-1).numpy())
    return found


@pytest.mark.parametrize(("name", "text"), [("transnas_micro", "64-41414-1_02_333"), ("transnas_macro", "64-21341-basic")])
def test_the_published_row_is_the_published_procedure_on_its_own_network(name, text):
    space = PUBLISHED[name](create_space(name, channels=4, size=64).parameters)
    images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    network = build_initialised(space, space.parse(text), WeightParameters())
    proxy = create_proxy("rbflex", mode="published").for_space(space)
    measurer = Measurer(Conditions.of(space, Batch(images), device="cpu", precision="float64"))
    statistics = measurer.measure([(space.parse(text), {"rbflex": proxy})])[0].statistics["rbflex"]
    for part, expected in zip("kq", literal(network, images), strict=True):
        np.testing.assert_allclose(squared_distances(statistics[f"{part}_gram"]), expected, rtol=1e-9)


def test_the_published_network_reads_the_last_three_modules():
    space = PUBLISHED["transnas_micro"](create_space("transnas_micro", channels=4).parameters)
    network = build_initialised(space, space.parse("64-41414-1_02_333"), WeightParameters()).eval()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    maps = []
    for cell in list(network.encoder.cells.values())[1::2]:
        cell.register_forward_hook(lambda m, i, output: maps.append(output))
    with torch.no_grad():
        output = network(images)
        # 4, 1, 4, 1, 2: the last module doubles the channels, but does not halve the map.
        assert [tuple(x.shape[1:]) for x in maps] == [(8, 8, 8), (8, 8, 8), (16, 4, 4), (16, 4, 4), (32, 4, 4)]
        third = list(network.heads.values())[2](functional.interpolate(maps[2], (8, 8)))
    assert output.shape == (2, 96, 8, 8) and torch.equal(output[:, 64:], third)
    assert space.classifier(network) is list(network.heads.values())[2][2]
