"""Callbacks: what a program of the user's own is told while a search runs.

    class Print(Callback):
        def on_evaluation(self, evaluation, progress):
            print(progress.evaluations, evaluation.scores)

    Search(config, callbacks=[Print()]).run()

A callback is told in the process of the search, in its main thread, after the line of the evaluation is in the journal. It cannot
change the search: it gets copies, and settings of torch and numpy that it changes are restored.

If a method raises, the other callbacks are still told, the search stops as it does after Ctrl-C, with everything saved, and a
`CallbackError` names the callback. Only `close` is different: its error is a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from rbflex_evo.engine.run.result_document import Candidate, candidate_of
from rbflex_evo.engine.terminal.messages import say
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.spaces import ConfigError, FailedError, SearchSpace
from rbflex_evo.spaces.errors import reason, shown
from rbflex_evo.spaces.isolation.settings import restored_settings

from .result import Result


class CallbackError(FailedError):
    """A callback of the user raised an error; the search has saved everything, and the message says how to resume it."""


@dataclass(frozen=True)
class SearchProgress:
    """What a callback may know of a running search.

    Attributes:
        folder: Folder of the run.
        space: Search space of the run.
        evaluations: Number of unique evaluations so far, those of earlier sessions included.
        earlier: Number of evaluations that earlier sessions of the run had made.
        seconds: Seconds of searching so far, without the time between sessions.
    """

    folder: Path
    space: SearchSpace
    evaluations: int
    earlier: int
    seconds: float
    _view: ArchiveView = field(repr=False)

    def best(self) -> Candidate | None:
        """Returns the best candidate so far, or None; this takes longer in a larger run."""
        incumbent = self._view.incumbent()
        return None if incumbent is None else candidate_of(incumbent, self.space)

    def told(self) -> list[Evaluation]:
        """Returns all evaluations so far, in order."""
        return [_copied(evaluation) for evaluation in self._view.evaluations]


class Callback:
    """Base class of callbacks; its methods do nothing, so that a subclass has only those that it needs.

    Evaluations that an earlier session of the run has written into the journal are not told again, whether or not that session had
    callbacks. A run that is already finished tells nothing.
    """

    def on_evaluation(self, evaluation: Evaluation, progress: SearchProgress) -> None:
        """Called after each new evaluation of the search, in the order of the journal, failed ones included.

        Args:
            evaluation: The candidate with its scores and costs.
            progress: The search so far, this evaluation included.
        """

    def on_snapshot(self, progress: SearchProgress) -> None:
        """Called after a snapshot was saved: after the first batch, then after a batch about every five seconds.

        Args:
            progress: The search so far.
        """

    def on_end(self, result: Result) -> None:
        """Called once, in the session in which the search ends, after its result and report were written.

        Args:
            result: The result of the search.
        """

    def close(self) -> None:
        """Called last in every session, however it ended, to close files and connections; an error here is a warning."""


class Callbacks:
    """All callbacks of a search.

    Args:
        callbacks: Called in this order.

    Raises:
        ConfigError: If one is not a `Callback`.
    """

    def __init__(self, callbacks: Iterable[Callback] = ()) -> None:
        if isinstance(callbacks, Callback) or not isinstance(callbacks, Iterable):
            raise ConfigError(f"callbacks must be a list, but it is {shown(callbacks)}; write callbacks=[MyCallback()]")
        self._callbacks = tuple(callbacks)
        for callback in self._callbacks:
            if not isinstance(callback, Callback):
                raise ConfigError(
                    f"{shown(callback)} is not a callback; give an instance of a subclass of Callback, such as MyCallback()"
                )

    def __bool__(self) -> bool:
        return bool(self._callbacks)

    def on_evaluation(self, evaluation: Evaluation, progress: SearchProgress) -> None:
        """Tells a new evaluation.

        Raises:
            CallbackError: If a callback failed.
        """
        way_out = _way_out(progress.folder)
        self._tell("on_evaluation", way_out, lambda callback: callback.on_evaluation(_copied(evaluation), progress))

    def on_snapshot(self, progress: SearchProgress) -> None:
        """Tells a saved snapshot.

        Raises:
            CallbackError: If a callback failed.
        """
        self._tell("on_snapshot", _way_out(progress.folder), lambda callback: callback.on_snapshot(progress))

    def on_end(self, result: Result) -> None:
        """Tells the result.

        Raises:
            CallbackError: If a callback failed.
        """
        self._tell("on_end", f"the search is over, and its result is in {result.folder}", lambda callback: callback.on_end(result))

    def close(self) -> None:
        """Closes every callback; an error is a warning."""
        for callback in self._callbacks:
            try:
                with restored_settings():
                    callback.close()
            except Exception as error:
                say(f"warning: {_failed(callback, 'close', error)}")

    def _tell(self, method: str, way_out: str, call: Callable[[Callback], None]) -> None:
        failures = []
        for callback in self._callbacks:
            try:
                with restored_settings():
                    call(callback)
            except Exception as error:
                failures.append((_failed(callback, method, error), error))
        if failures:
            raise CallbackError(f"{'; '.join(message for message, _ in failures)}\n{way_out}") from failures[0][1]


def _copied(evaluation: Evaluation) -> Evaluation:
    """Returns a copy whose mappings may be changed."""
    return replace(evaluation, scores=dict(evaluation.scores), failures=dict(evaluation.failures), costs=dict(evaluation.costs))


def _way_out(folder: Path) -> str:
    return f"all evaluations are saved; run the same search again to go on where it stopped, or: rbflex-evo resume {folder}"


def _failed(callback: Callback, method: str, error: Exception) -> str:
    return f"the callback {type(callback).__name__} failed in {method}: {reason(error)}"
