"""The benchmark of predictors runs through, goes on where it stopped, and leaves out the devices of a column's chip."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.costs import predictors
from rbflex_evo.spaces import create_space


def written(folder: Path) -> None:
    """Writes small tables of additive devices."""
    space = create_space("nats_tss")
    genes = np.array([space.at(i) for i in range(15625)])
    rng = np.random.default_rng(0)
    base = np.array([0.1, 0.2, 1.0, 2.0, 0.5])

    def device() -> np.ndarray:
        weights = base * rng.uniform(0.7, 1.3, (6, 5))
        return 1 + sum(weights[i][genes[:, i]] for i in range(6))

    np.savez(folder / "nb201_latency.npz", **{name: device() for name in ("1080ti_1", "1080ti_32", "titanxp_1", "pixel2", "fpga")})
    np.savez(folder / "hwnasbench.npz", cifar10_eyeriss_energy=device(), cifar100_raspi4_latency=device())


def test_every_column_is_judged_without_its_chip_and_nothing_is_fitted_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path)
    arguments = [f"--benchdata={tmp_path}", f"--folder={tmp_path}", "--quick", "--seeds=1", "--predictors", "transfer", "lookup"]
    predictors.main(arguments)
    found = json.loads((tmp_path / "predictors.json").read_text())
    assert [(row["predictor"], row["size"]) for row in found["rows"]] == [("transfer", 10)] * 7 + [("lookup", 50)] * 7
    assert all(row["spearman"] > 0.8 for row in found["rows"])
    assert found["known"]["latency:1080ti_1"] == [
        "latency:pixel2",
        "latency:fpga",
        "energy:eyeriss cifar10",
        "latency:raspi4 cifar100",
    ]
    lines = (tmp_path / "predictors_rows.jsonl").read_text().splitlines()
    monkeypatch.setattr(predictors, "judged", lambda *_: pytest.fail("fitted again"))
    predictors.main(arguments)
    assert (tmp_path / "predictors_rows.jsonl").read_text().splitlines() == lines
    assert "Table III" in capsys.readouterr().out
