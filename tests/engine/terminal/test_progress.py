"""Progress: plain lines where stderr is no terminal, nothing where nothing is wanted or nothing is done."""

from __future__ import annotations

import pytest

from rbflex_evo.engine.terminal.progress import Progress
from rbflex_evo.engine.terminal.wording import duration


@pytest.fixture(autouse=True)
def a_line_for_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rbflex_evo.engine.terminal.progress.SECONDS_BETWEEN_LINES", -1.0)


def test_lines_say_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("search", 3, initial=1) as progress:
        progress.advance(lambda: "best 5")
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("search: 2 of 3 evaluations, ") and err.endswith(" s left, best 5\n")


@pytest.mark.parametrize(("seconds", "text"), [(3.2, "3 s"), (89, "89 s"), (90, "2 min"), (5399, "90 min"), (5400, "1.5 h")])
def test_a_time_is_told_in_a_unit_that_fits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_moving_to_a_step_counts_each_once(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("gammas", None, unit="network") as progress:
        for done in (1, 1, 3):
            progress.to(done, 3)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"gammas: {i} of 3 networks" for i in (1, 2, 3)]


def test_a_quiet_one_says_nothing_and_asks_for_no_note(capsys: pytest.CaptureFixture[str]) -> None:
    def note() -> str:
        raise AssertionError("nobody reads it")

    with Progress("search", 3, shown=False) as progress:
        progress.advance(note)
    assert capsys.readouterr() == ("", "")


def test_nothing_done_is_nothing_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("gammas", None, unit="network"):
        pass
    assert capsys.readouterr() == ("", "")
