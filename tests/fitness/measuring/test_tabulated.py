"""Scores from a table are the table's, and a table that does not fit is one clear error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rbflex_evo.fitness.evaluation import Evaluation, keyed
from rbflex_evo.fitness.measuring.tabulated import TabulatedEvaluator, read_tabulated
from rbflex_evo.spaces import ConfigError, create_space

SPACE = create_space("toy", genes=2, choices=2)
KEYS = list(SPACE.keys())
COLUMNS: dict[str, Any] = {
    "key": np.array(KEYS),
    "notation": np.array(KEYS),
    "naswot": np.array([np.nan, 2.5, -1.0]),
    "naswot_failure": np.array(["no path", "", ""]),
    "synflow": np.array([1.0, 2.0, 3.0]),
    "synflow_failure": np.array(["", "", ""]),
}


def write(path: Path, **changes: Any) -> Path:
    columns = {name: column for name, column in {**COLUMNS, **changes}.items() if column is not None}
    np.savez(path, **columns)
    return path


def test_a_genotype_has_the_scores_and_the_failures_of_its_key(tmp_path: Path) -> None:
    evaluator = TabulatedEvaluator(SPACE, read_tabulated(write(tmp_path / "t.npz"), ["naswot", "synflow"]))
    evaluator.prepare()
    genotypes = [(0, 1), (1, 0), (0, 0)]
    found = list(evaluator.evaluate(keyed(evaluator, genotypes)))
    row = KEYS.index(SPACE.key((0, 1)))
    assert SPACE.key((0, 1)) == SPACE.key((1, 0))
    scores = {"naswot": COLUMNS["naswot"][row], "synflow": COLUMNS["synflow"][row]}
    assert found[0] == Evaluation((0, 1), KEYS[row], scores)
    assert found[1] == Evaluation((1, 0), KEYS[row], scores)
    assert found[2] == Evaluation((0, 0), KEYS[0], {"synflow": 1.0}, {"naswot": "no path"})
    assert evaluator.facts()["from_table"] == 3
    evaluator.check_whole()


def test_a_score_of_raw_networks_is_looked_up_by_the_notation(tmp_path: Path) -> None:
    notations = [SPACE.notation(genotype) for genotype in SPACE.encoding.enumerate()]
    path = tmp_path / "t.npz"
    scores = {"synflow": np.arange(4.0), "synflow_failure": np.array([""] * 4)}
    np.savez(path, key=np.array(notations), notation=np.array(notations), **scores)
    evaluator = TabulatedEvaluator(SPACE, read_tabulated(path, ["synflow"]), raw=True)
    assert [e.scores["synflow"] for e in evaluator.evaluate(keyed(evaluator, list(SPACE.encoding.enumerate())))] == [0, 1, 2, 3]


def test_only_the_scores_that_are_asked_for_are_read(tmp_path: Path) -> None:
    table = read_tabulated(write(tmp_path / "t.npz"), ["synflow"])
    assert table.evaluation(KEYS[0], (0, 0)).failures == {}


def test_a_table_is_known_by_its_content(tmp_path: Path) -> None:
    one = read_tabulated(write(tmp_path / "a.npz"), ["synflow"])
    (tmp_path / "b.npz").write_bytes((tmp_path / "a.npz").read_bytes())
    other = read_tabulated(write(tmp_path / "c.npz", synflow=np.array([1.0, 2.0, 4.0])), ["synflow"])
    assert one.fingerprint == read_tabulated(tmp_path / "b.npz", ["synflow"]).fingerprint != other.fingerprint


def test_an_architecture_that_the_table_does_not_have_is_an_error(tmp_path: Path) -> None:
    fewer = {name: column[:2] for name, column in COLUMNS.items()}
    evaluator = TabulatedEvaluator(SPACE, read_tabulated(write(tmp_path / "t.npz", **fewer), ["naswot"]))
    with pytest.raises(ConfigError, match=rf"has no scores of '{KEYS[2].replace('+', '.')}'; tabulate the whole space") as error:
        evaluator.check_whole()
    assert len(str(error.value).splitlines()) == 1
    with pytest.raises(ConfigError, match="has no scores of"):
        list(evaluator.evaluate(keyed(evaluator, [(1, 1)])))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"naswot": None}, "has no scores of 'naswot'; known: synflow"),
        ({"naswot_failure": None}, "has no scores of 'naswot'"),
        ({"key": np.array(["a", "a", "b"])}, "has 3 rows, but only 2 different keys"),
        ({"naswot": np.array([np.nan, 2.0])}, "'naswot' of .* has 2 rows, but there are 3 keys"),
        ({"naswot": np.array([np.nan, np.nan, 1.0])}, "row 1 has neither"),
        ({"naswot": np.array([1.0, 2.0, 1.0])}, "row 0 has both"),
        ({"notation": None}, "is no table of scores"),
    ],
)
def test_a_damaged_table_is_an_error_that_names_it(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_tabulated(write(tmp_path / "t.npz", **changes), ["naswot"])


def test_a_missing_or_foreign_file_is_an_error_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="make one with: rbflex-evo tabulate"):
        read_tabulated(tmp_path / "none.npz", ["naswot"])
    (tmp_path / "text.npz").write_text("no table")
    with pytest.raises(ConfigError, match="is no table of scores, tabulate anew"):
        read_tabulated(tmp_path / "text.npz", ["naswot"])
