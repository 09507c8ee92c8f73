"""Every configuration in configs/ is valid and, with a small budget, runs as it stands."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rbflex_evo.engine.comparison.compare import run_all
from rbflex_evo.engine.configuration.config import load_config, load_scoring
from rbflex_evo.engine.correlation.correlate import correlate
from rbflex_evo.engine.search.search import Search
from rbflex_evo.engine.study.run import run_settings
from rbflex_evo.spaces import create_space
from tests.support import ROOT

CONFIGS = ROOT / "configs"
SCORING = ["correlate_scores.yaml"]
NAMES = sorted(path.name for path in CONFIGS.glob("*.yaml") if path.name not in SCORING)
DATA = os.environ.get("RBFLEX_EVO_TABLES")
SMALL = ["cache=off", "workers=1", "table=null", "data.n=4"]


def images(folder: Path) -> str:
    """Writes a few noise images as PNG files, in place of a download."""
    import numpy as np
    from PIL import Image

    for i, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)):
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return f"data={{source: folder, root: {folder}, n: 4}}"


def test_these_are_the_examples() -> None:
    assert NAMES == [
        "autoformer_base_search.yaml",
        "autoformer_small_search.yaml",
        "autoformer_tiny_search.yaml",
        "compare_settings.yaml",
        "compare_strategies.yaml",
        "constrained.yaml",
        "darts_search.yaml",
        "fbnet_search.yaml",
        "flexibert_search.yaml",
        "mobilenet_search.yaml",
        "nafbee_search.yaml",
        "pareto.yaml",
        "pit_search.yaml",
        "quickstart.yaml",
        "rank_aggregate.yaml",
        "real_images.yaml",
        "sss_annealing.yaml",
        "transnas_macro_search.yaml",
        "tss_genetic.yaml",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_valid_as_it_stands(name: str) -> None:
    config = load_config(CONFIGS / name)
    assert Search(config).space.name == config.space.name


@pytest.mark.parametrize("name", NAMES)
def test_an_example_runs(name: str, tmp_path: Path) -> None:
    overrides = [*SMALL, f"runs={tmp_path}", "budget.evaluations=3"]
    if name == "real_images.yaml":
        (tmp_path / "images").mkdir()
        overrides[3] = images(tmp_path / "images")
    if name == "darts_search.yaml":
        overrides += ["space.channels=8", "space.layers=6"]
    if name == "nafbee_search.yaml":
        overrides += ["space.channels=4"]
    if name.startswith("autoformer"):
        overrides += ["space.widths=[16]", "space.heads=[1,2]", "space.min_depth=2", "space.max_depth=3"]
        overrides += ["space.size=32", "data.shape=[3,32,32]"]
    if name == "flexibert_search.yaml":
        overrides += ["space.hidden=[8,16]", "space.inner=[12]", "space.length=8", "space.vocabulary=50"]
        overrides += ["data={source: words, length: 8, vocabulary: 50, n: 4}"]
    if name == "pit_search.yaml":
        overrides += ["space.widths=[4,6]", "space.depths=[[1],[1],[1,2]]", "space.size=32", "data.shape=[3,32,32]"]
    if name == "mobilenet_search.yaml":
        overrides += ["space.size=64", "data.shape=[3,64,64]"]
    if name == "transnas_macro_search.yaml":
        overrides += ["space.channels=8", "data.shape=[3,64,64]"]
    config = load_config(CONFIGS / name, overrides)
    if getattr(config.fitness.proxies.get("rbflex"), "gamma", None) in ("hda", "hda_max"):
        overrides.append("fitness.proxies.rbflex.networks=2")
    if config.fitness.objective.reference == "sample":
        overrides.append("fitness.objective.sample=3")
    result = Search(load_config(CONFIGS / name, overrides), quiet=True, report=False).run()
    assert result.counts["unique"] == 3
    assert result.best is not None


@pytest.mark.parametrize("name", SCORING)
def test_an_example_that_only_scores_runs(name: str, tmp_path: Path) -> None:
    space = create_space("nats_tss")
    rows = [f"{space.notation(space.at(i))},{i % 97}" for i in range(15625)]
    (tmp_path / "known.csv").write_text("\n".join(["notation,accuracy", *rows]))
    table = f"table={{source: csv, path: {tmp_path / 'known.csv'}}}"
    overrides = ["cache=off", "workers=1", "data.n=4", f"runs={tmp_path}", table, "sample.size=8", "correlate.resamples=5"]
    config = load_scoring(CONFIGS / name, [*overrides, "fitness.proxies.rbflex.networks=2"])
    assert load_scoring(CONFIGS / name).table is not None
    result = correlate(config, quiet=True, page=False)
    assert result.document.architectures == 8
    assert {"rbflex_rank", "az_nas", "depth"} <= set(result.document.scores)


def test_the_comparison_over_settings_runs_live(tmp_path: Path) -> None:
    overrides = [*SMALL, f"runs={tmp_path}", "compare.budgets=[2, 3]", "compare.seeds=1", "compare.strategies=[random, annealing]"]
    found = run_settings(load_config(CONFIGS / "compare_settings.yaml", overrides), quiet=True)
    assert [setting.label for setting in found.settings][::4] == ["nats_tss-naswot-2", "toy-naswot-2", "wider toy-naswot-2"]
    assert all(len(runs.traces) == 2 for runs in found.runs)


def test_the_comparison_runs_live(tmp_path: Path) -> None:
    overrides = [*SMALL, f"runs={tmp_path}", "budget.evaluations=2", "compare.seeds=1", "fitness.proxies.rbflex.networks=2"]
    overrides[0] = f"cache={tmp_path / 'cache.sqlite'}"
    config = load_config(CONFIGS / "compare_strategies.yaml", overrides)
    runs = run_all(config, quiet=True)
    assert {label: trace.evaluations for (label, _), trace in runs.traces.items()} == dict.fromkeys(
        ["random", "genetic", "annealing"], 2
    )


@pytest.mark.skipif(DATA is None, reason="RBFLEX_EVO_TABLES is unset")
def test_real_images_can_come_from_a_file(tmp_path: Path) -> None:
    source = f"data={{source: file, path: {DATA}/foolbox_samples.npz, array: cifar10_images, n: 4}}"
    overrides = ["cache=off", "workers=1", "table=null", source, f"runs={tmp_path}", "budget.evaluations=2"]
    overrides.append("fitness.proxies.rbflex.networks=2")
    result = Search(load_config(CONFIGS / "real_images.yaml", overrides), quiet=True, report=False).run()
    assert result.counts["unique"] == 2
