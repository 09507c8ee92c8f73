"""Stop signals: what is installed and restored, which exception they become, and what a second one does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from rbflex_evo.engine.search.search import Search
from rbflex_evo.engine.terminal.interrupt import OTHERS, STOPS, Interrupt, Interrupted, Stopped
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import Genotype, create_space
from rbflex_evo.spaces.isolation.stops import check_stop
from tests.support.instant import InstantEvaluator, instant_search, journal_without_times, toy_config

SIGNALS = [signal.SIGINT, *OTHERS]


class Signalled(InstantEvaluator):
    """Receives signals before its seventh evaluation."""

    def __init__(self, *numbers: int) -> None:
        super().__init__(create_space("toy", genes=12, choices=4))
        self.numbers = numbers

    def evaluate(self, pairs: Sequence[tuple[str, Genotype]]) -> Iterator[Evaluation]:
        for evaluation in super().evaluate(pairs):
            if len(self.asked) == 7:
                for number in self.numbers:
                    signal.raise_signal(number)
            yield evaluation


def handlers() -> list[Any]:
    return [signal.getsignal(number) for number in SIGNALS]


@pytest.fixture
def _plain() -> Iterator[None]:
    """The handlers that a program starts with, wherever the tests run."""
    before = handlers()
    for number in SIGNALS:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in zip(SIGNALS, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("_plain")
@pytest.mark.parametrize("number", SIGNALS)
def test_every_stop_signal_saves_says_how_to_go_on_and_gives_its_code(tmp_path: Path, number: int) -> None:
    before, config = handlers(), toy_config(tmp_path)
    search = Search(config, Signalled(number), quiet=True, report=False)
    with pytest.raises(
        STOPS, match=rf"stopped after 7 evaluations, all saved; go on with: rbflex-evo resume {config.folder}"
    ) as stop:
        search.run()
    assert isinstance(stop.value, Interrupted if number == signal.SIGINT else Stopped)
    assert stop.value.code == 128 + number
    assert f"rbflex-evo report {config.folder}" in str(stop.value)
    assert handlers() == before
    whole = instant_search(toy_config(tmp_path / "whole"))[0].run().folder
    assert journal_without_times(instant_search(config)[0].run().folder) == journal_without_times(whole)


@pytest.mark.usefixtures("_plain")
def test_a_program_that_catches_neither_ends_with_the_code_of_the_signal() -> None:
    assert issubclass(Stopped, SystemExit) and issubclass(Interrupted, KeyboardInterrupt)
    assert {signal.Signals(number).name: 128 + number for number in OTHERS} == {"SIGTERM": 143, "SIGUSR1": 138, "SIGHUP": 129}
    assert Stopped("saved", signal.SIGTERM).signal is signal.SIGTERM


@pytest.mark.usefixtures("_plain")
@pytest.mark.parametrize("number", OTHERS)
@pytest.mark.parametrize("own", [signal.SIG_IGN, lambda number, frame: None])
def test_a_signal_that_is_ignored_or_has_a_handler_keeps_its_meaning(tmp_path: Path, number: int, own: Any) -> None:
    signal.signal(number, own)
    result = Search(toy_config(tmp_path, budget={"evaluations": 30}), Signalled(number), quiet=True, report=False).run()
    assert result.counts["unique"] == 30
    assert signal.getsignal(number) is own


@pytest.mark.usefixtures("_plain")
def test_nothing_is_installed_outside_the_main_thread() -> None:
    seen: list[Any] = []

    def inside() -> None:
        with Interrupt():
            seen.append(handlers())

    before = handlers()
    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [before]


@pytest.mark.usefixtures("_plain")
def test_a_second_signal_is_ignored_but_a_second_ctrl_c_stops_at_once() -> None:
    with Interrupt() as interrupt:
        for number in (*OTHERS, *OTHERS):
            signal.raise_signal(number)
        with pytest.raises(Stopped) as stop:
            interrupt.check()
        assert stop.value.signal is OTHERS[0]
        with interrupt.saving():
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("_plain")
def test_contexts_share_their_signals_and_the_last_one_restores_the_handlers() -> None:
    before = handlers()
    first, second = Interrupt(), Interrupt()
    outer, inner = first.__enter__(), second.__enter__()
    assert inner is outer
    first.__exit__()
    signal.raise_signal(signal.SIGTERM)
    assert inner.requested
    second.__exit__()
    assert handlers() == before
    with Interrupt() as fresh:
        assert not fresh.requested


@pytest.mark.usefixtures("_plain")
def test_a_wait_without_an_evaluation_ends_at_a_stop_signal_while_signals_are_watched() -> None:
    with Interrupt():
        check_stop()
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Stopped, match="stopped by SIGTERM"):
            check_stop()
    check_stop()
