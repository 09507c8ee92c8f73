"""The front of a run as data and on the report's page, also in a real browser where Chromium is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rbflex_evo.engine.figures.front import draw_front, draw_hypervolume, front_data
from rbflex_evo.engine.report.report import write_report
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.fitness.objective.constraints import Constraint
from rbflex_evo.fitness.objective.objective import Objective
from tests.support.browser import BROWSER, browse
from tests.support.instant import instant_search, toy_config
from tests.support.page import Page

OBJECTIVE = Objective(("rbflex", "flops"), "pareto", minimised=("flops",))
ROWS = ((-9000.0, 3e8), (-8000.0, 2e8), (None, 1e8), (-8500.0, 1e8), (-7000.0, 9e8), (-8600.0, 1.5e8))


def data_of(rows: Sequence[tuple[float | None, float]] = ROWS, objective: Objective = OBJECTIVE) -> Any:
    told = [
        Evaluation((i,), str(i), {} if s is None else {"rbflex": s}, {"rbflex": "dead"} if s is None else {}, 0.0, {"flops": f})
        for i, (s, f) in enumerate(rows)
    ]
    return front_data(ArchiveView.of(objective, told, constraints=[Constraint("flops", maximum=5e8)]))


def test_the_data_are_in_the_members_own_units_and_leave_out_what_failed_or_is_infeasible() -> None:
    data = data_of()
    np.testing.assert_array_equal(data.values[[0, 4]], [[-9000.0, 3e8], [-7000.0, 9e8]])
    assert np.isnan(data.values[2]).all() and data.feasible.tolist() == [True, True, False, True, False, True]
    assert data.positions.tolist() == [1, 3] and data.knee == 1
    assert data.reference_point == {"rbflex": -9000.0, "flops": 3e8}
    # In units of the box of 1,000 by 2e8: (1, 1/2) and (1/2, 1).
    assert (data.members, data.signs.tolist()) == (("rbflex", "flops"), [1.0, -1.0])
    assert data.volumes.volume == pytest.approx(0.75 * 1000 * 2e8)
    assert data.volumes.counts.tolist() == [1, 2, 4, 6] and data.volumes.shares.tolist() == [0.0, 0.5, 0.75, 0.75]


def test_a_run_without_a_feasible_candidate_has_no_volume() -> None:
    data = data_of([(-7000.0, 9e8), (None, 1e8)])
    assert data.volumes is None and data.knee is None and len(data.positions) == 0


def test_the_figures_draw_every_candidate_once_and_the_front_as_a_staircase() -> None:
    data = data_of()
    (axes,) = draw_front(data, 1, 0).axes
    shown = {collection.get_label(): len(collection.get_offsets()) for collection in axes.collections}
    assert shown == {"infeasible": 1, "evaluated": 4, "found": 1}
    dots, stairs = axes.lines
    assert sorted(dots.get_xdata()) == sorted(stairs.get_xdata()) == [1e8, 2e8]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("flops (← better)", "rbflex (→ better)")
    (axes,) = draw_hypervolume(data.volumes).axes
    assert axes.lines[0].get_xdata().tolist() == [1.0, 2.0, 4.0, 6.0]


def test_limits_on_a_drawn_objective_are_lines_with_a_shaded_side() -> None:
    limits = [Constraint("flops", maximum=5e8), Constraint("rbflex", minimum=-9500.0), Constraint("params", maximum=1.0)]
    (axes,) = draw_front(data_of(), 1, 0, limits=limits).axes
    dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert [sorted(set(line.get_xdata())) for line in dashed] == [[5e8], [0, 1]]
    assert sorted(set(dashed[1].get_ydata())) == [-9500.0] and len(axes.patches) == 2
    assert [text.get_text() for text in axes.get_legend().get_texts()].count("limit") == 1


@pytest.fixture(scope="module", params=["reject", "deb"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    fitness = {
        "proxies": {"naswot": {}, "synflow": {}},
        "objective": {"pareto": ["naswot", {"minimise": "flops"}, "synflow"]},
        "constraints": {"params": {"max": 3500.0}, "handling": request.param},
    }
    space = {"name": "toy", "genes": 6, "choices": 4}
    config = toy_config(tmp_path_factory.mktemp("front"), space=space, strategy="nsga2", fitness=fitness)
    return instant_search(config)[0].run().folder


def test_the_page_shows_the_front_the_limits_and_what_they_kept_out(folder: Path) -> None:
    page = Page(write_report(folder))
    assert "The front" in page.text and "Hypervolume so far" in page.html and "The knee of the front below." in page.text
    assert "Limits" in page.text and "params <= 3,500" in page.text
    for name in ("front_flops.png", "front_synflow.png", "hypervolume.png"):
        assert (folder / name).stat().st_size > 1000
    assert (folder / "architecture_naswot.png").exists() or "Best in naswot" not in page.text
    result, _ = instant_search(toy_config_of(folder))
    found = result.run()
    assert f"{found.counts['rejected']:,} architectures rejected" in page.text or "ordered behind" in page.text
    for candidate in found.front()[:40]:
        assert candidate.notation in page.text and f"{candidate.costs['flops']:,.0f}" in page.text


def test_the_page_of_an_unfinished_run_shows_its_front(folder: Path, tmp_path: Path) -> None:
    for name in ("config.yaml", "journal.jsonl"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    text = Page(write_report(tmp_path)).text
    assert "This run is unfinished" in text and "The front" in text and "params <= 3,500" in text


def toy_config_of(folder: Path) -> Any:
    from rbflex_evo.engine.run.folder import find_run

    return find_run(folder)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_a_browser_shows_the_front(folder: Path, tmp_path: Path) -> None:
    from matplotlib.image import imread

    page, picture = write_report(folder), tmp_path / "page.png"
    browse(page, tmp_path / "profile", "--window-size=1280,2600", f"--screenshot={picture}")
    pixels = imread(picture)[..., :3]
    assert pixels.shape == (2600, 1280, 3) and np.median(pixels) > 0.8
    # Nothing sticks out to the side: the margin is the page's colour from top to bottom, but for shadows.
    assert np.ptp(pixels[:, -4:].reshape(-1, 3), axis=0).max() < 0.03
