"""The front of a run beside the true one: against a walk over the whole space, within the limits, and on the page."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from rbflex_evo.engine.report.report import write_report
from rbflex_evo.engine.report.true_front import TrueFront, true_fronts, volume
from rbflex_evo.engine.run.record import read_run
from rbflex_evo.spaces import create_space
from rbflex_evo.spaces.tables.table import create_table
from tests.support.instant import instant_search, toy_config
from tests.support.page import Page

TOY = {"name": "toy", "genes": 4, "choices": 4}
SPACE = create_space(**TOY)


def accuracy(genotype: tuple[int, ...]) -> float:
    return 50.0 + sum(4.0 * gene for gene in sorted(genotype)) / (1 + genotype.count(1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("true")
    rows = [f"{SPACE.notation(g)},{accuracy(g)}" for g in SPACE.encoding.enumerate()]
    (path / "known.csv").write_text("\n".join(["notation,accuracy", *rows]))
    fitness = {
        "proxies": {"naswot": {}, "synflow": {}},
        "objective": {"pareto": [{"rank": ["naswot", "synflow"]}, {"minimise": "flops"}]},
        "constraints": {"params": {"max": 3500.0}, "flops": {"max": 1.5e5}},
    }
    table = {"source": "csv", "path": str(path / "known.csv"), "dataset": "digits"}
    changes = {"space": TOY, "fitness": fitness, "table": table, "budget": {"evaluations": 40}}
    return instant_search(toy_config(path, strategy={"name": "nsga3", "population": 10}, **changes))[0].run().folder


def test_the_true_front_is_that_of_all_architectures_within_the_limits(folder: Path) -> None:
    run = read_run(folder)
    table = create_table("csv", SPACE, path=run.config["table"]["path"], dataset="digits")
    (found,) = true_fronts(run, SPACE, table, run.evaluations[:3])
    every = [(accuracy(g), SPACE.costs(SPACE.representative(SPACE.key(g)))) for g in SPACE.encoding.enumerate()]
    inside = [(a, c.flops) for a, c in every if c.params <= 3500 and c.flops <= 1.5e5]
    assert 0 < len(inside) < len(every)
    np.testing.assert_allclose(sorted(found.known.tolist()), sorted(map(list, inside)))
    assert found.reference.tolist() == [np.median([a for a, _ in every]), np.percentile([c.flops for _, c in every], 95)]
    assert found.found.tolist() == [[pytest.approx(accuracy(e.genotype)), e.costs["flops"]] for e in run.evaluations[:3]]
    assert (found.metric, found.dataset) == ("flops", "digits")


def test_the_ratio_is_1_for_the_true_front_and_that_of_areas_below_it() -> None:
    known = np.array([(10.0, 1.0), (20.0, 2.0), (15.0, 3.0), (5.0, 0.5)])
    reference = np.array([5.0, 3.0])
    area = sum(  # unit cells of (accuracy, cost / 0.5)
        any(x >= a + 1 and c * 0.5 >= y for x, y in known) for a, c in itertools.product(range(5, 20), range(1, 6))
    )
    assert volume(known, reference) == area * 0.5
    assert TrueFront("ms", "ms", "digits", known, known, reference).ratio == 1.0
    assert TrueFront("ms", "ms", "digits", known, known[:1], reference).ratio == 10.0 / (area * 0.5)
    assert TrueFront("ms", "ms", "digits", known, np.empty((0, 2)), reference).ratio == 0.0
    assert np.isnan(TrueFront("ms", "ms", "digits", known[3:], known[3:], reference).ratio)


def test_the_page_of_a_finished_run_shows_it(folder: Path, tmp_path: Path) -> None:
    page = Page(write_report(folder))
    assert "Beside the true front" in page.text and "within the limits" in page.text
    assert "% of that of the true front of accuracy and flops" in " ".join(page.text.split())
    assert (folder / "true_front_flops.png").stat().st_size > 1000 and "Left out" not in page.text
    for name in ("config.yaml", "journal.jsonl"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    assert "Beside the true front" not in Page(write_report(tmp_path)).text


def test_a_run_with_ranks_among_its_objectives_resumes_and_exports_like_any_other(folder: Path) -> None:
    run = read_run(folder)
    assert run.members == ["naswot", "synflow"] and set(run.metric_parameters) == {"params", "flops"}
    assert run.outcome is not None and run.outcome.front is not None
    assert run.outcome.front.objectives == {"rank": "maximised", "flops": "minimised"}
    assert set(run.outcome.front.reference_point) == {"rank", "flops"} and 0 < run.outcome.front.hypervolume_share <= 1
