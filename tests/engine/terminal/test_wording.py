"""Numbers with their nouns, and columns."""

from __future__ import annotations

from rbflex_evo.engine.terminal.wording import columns, counted


def test_one_is_singular_and_everything_else_is_not() -> None:
    assert [counted(number, "run") for number in (0, 1, 2, 1000)] == ["0 runs", "1 run", "2 runs", "1,000 runs"]


def test_texts_stand_below_each_other_behind_the_longest_label() -> None:
    assert list(columns([("a", "1"), ("file", "x")])) == ["a          1", "file       x"]
    assert list(columns([("a", "1"), ("twelve chars", "x")])) == ["a            1", "twelve chars x"]
