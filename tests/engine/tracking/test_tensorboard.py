"""What TensorBoard reads of a search, from its event files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rbflex_evo.engine import TensorBoard
from rbflex_evo.engine.run.journal import read_journal
from rbflex_evo.spaces import ConfigError
from tests.support.tracked import Curves, assert_equal, curves_of, tracked_search


def scalars(folder: Path) -> Curves:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    read: Any = events.EventAccumulator(str(folder), size_guidance={"scalars": 0})
    read.Reload()
    return {tag: [(each.step, each.value) for each in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def test_every_evaluation_is_a_step_and_the_found_architecture_is_there_with_its_drawing(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    result = tracked_search(tmp_path, TensorBoard()).run()
    told = read_journal(result.folder / "journal.jsonl").evaluations
    assert any(evaluation.failed for evaluation in told)
    folder = result.folder / "tensorboard"
    assert_equal(scalars(folder), curves_of(told))
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    read: Any = events.EventAccumulator(str(folder))
    read.Reload()
    (text,) = read.Tensors("found/text_summary")
    assert result.best is not None and text.tensor_proto.string_val[0].decode() == f"`{result.best.notation}`"
    (picture,) = read.Images("found")
    assert picture.encoded_image_string.startswith(b"\x89PNG") and picture.step == 50


def test_a_resumed_search_goes_on_with_the_same_curves(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    callback = TensorBoard(tmp_path / "board")
    with tracked_search(tmp_path, callback).open() as running:
        running.tell(running.evaluate(running.ask()))
    # The same object serves a second session, as in a notebook.
    result = tracked_search(tmp_path, callback).run()
    told = read_journal(result.folder / "journal.jsonl").evaluations
    assert_equal(scalars(tmp_path / "board"), curves_of(told))
    assert len(list((tmp_path / "board").iterdir())) == 2
    assert not (result.folder / "tensorboard").exists()


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rbflex_evo.engine.tracking.tensorboard.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs the package tensorboard; install it: pip install 'rbflex-evo\[tensorboard\]'"):
        TensorBoard()
