"""Messages on standard error never end what they tell about."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from rbflex_evo.engine.search.search import Search
from rbflex_evo.engine.terminal.messages import on_terminal, say
from rbflex_evo.spaces import create_space
from tests.support.instant import InstantEvaluator, toy_config


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


class Broken(io.StringIO):
    """A pipe whose reader is gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError

    def isatty(self) -> bool:
        raise OSError


@pytest.mark.parametrize("stream", [None, closed(), Broken()])
def test_a_search_runs_without_standard_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stream: io.StringIO | None
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    say("a message")
    assert not on_terminal()
    config = toy_config(tmp_path, budget={"evaluations": 30})
    result = Search(config, InstantEvaluator(create_space("toy", genes=12, choices=4)), report=False).run()
    assert result.counts["unique"] == 30
    # print(file=None) would have written to standard output.
    assert capsys.readouterr().out == ""
