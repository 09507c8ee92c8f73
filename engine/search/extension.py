"""Another budget for a run that has begun, exactly as if the run had had it from the start.

    go through the journal with the new budget, until an ask that one of the two budgets may have cut
    keep the evaluations before that ask, and those of its batch that the new budget leaves in their places
    then let the search resume as ever

The last batch of a budget of evaluations is cut to what is left of it, and a strategy may propose others when it is asked for more.
Evaluations that the new budget would not have made, one batch at most, leave the journal; the cache still has their statistics.

The files change in an order in which a process may die anywhere: a draft of the journal, then the configuration, then the journal.
`finish` completes what was begun.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rbflex_evo.engine.configuration.config import Config
from rbflex_evo.engine.configuration.config import identity as identity_of
from rbflex_evo.engine.run.folder import RunFolder, own_config, replace_text
from rbflex_evo.engine.run.journal import Journal, JournalContent, read_journal, rewritten
from rbflex_evo.engine.terminal.wording import counted
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import Genotype, RunError, SearchSpace, file_error

from .budget import Budget
from .loop import Loop

# Makes a new loop over the content of a journal, with the new budget and its files in a folder of its own.
Replay = Callable[[RunFolder, JournalContent, Journal], Loop]


class Keys:
    """Evaluator of a replay, which measures nothing: the journal has all that is asked for.

    Args:
        space: The search space.
        raw: True if every genotype has its own key.
    """

    def __init__(self, space: SearchSpace, raw: bool) -> None:
        self.key: Callable[[Genotype], str] = space.notation if raw else space.key

    def prepare(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Does nothing."""

    def evaluate(self, pairs: Sequence[tuple[str, Genotype]]) -> Iterator[Evaluation]:
        """Returns evaluations that raise AssertionError when they are read, because a replay must not measure."""
        for pair in pairs:
            raise AssertionError(f"a replay was asked to measure {pair}")
            yield

    def check_whole(self) -> None:
        """Does nothing."""

    def facts(self) -> dict[str, Any]:
        """Returns nothing."""
        return {}


def kept_of(old: Budget, new: Budget, content: JournalContent, replay: Replay, folder: RunFolder) -> tuple[int, int]:
    """Returns how many evaluations and looks of the journal a run with the new budget would have made, too.

    Raises:
        RunError: If the new budget allows less than is done, or the strategy proposes other architectures with it.
    """
    _check_larger(old, new, content, folder)
    with tempfile.TemporaryDirectory() as temporary:
        aside = RunFolder(Path(temporary))
        with Journal(aside.journal, 0) as journal:
            return _kept(old, new, content, replay(aside, content, journal), folder)


def _check_larger(old: Budget, new: Budget, content: JournalContent, folder: RunFolder) -> None:
    done = len(content.evaluations)
    if new.evaluations is not None and new.evaluations < done:
        raise _beyond(folder, f"{counted(done, 'evaluation')} are done, but the budget is {new.evaluations:,}")
    if new.seconds is not None and new.seconds != old.seconds and new.seconds < content.seconds:
        raise _beyond(folder, f"{content.seconds:.3g} seconds are over, but the budget is {new.seconds:g}")


def _beyond(folder: RunFolder, why: str) -> RunError:
    return RunError(f"{folder.path} is beyond that budget: {why}; name a larger one, or start another run")


def _kept(old: Budget, new: Budget, content: JournalContent, loop: Loop, folder: RunFolder) -> tuple[int, int]:
    total, generation, noted = len(content.evaluations), 0, 0
    while (told := len(loop.view)) < total:
        if new.generations is not None and generation >= new.generations:
            raise _beyond(folder, f"it has more than {counted(new.generations, 'generation')}")
        proposals = loop.ask()
        batch = loop.outstanding[0] if proposals else None
        wanted = list(batch.new.items()) if batch else []
        left = [(evaluation.key, evaluation.genotype) for evaluation in content.evaluations[told : told + len(wanted)]]
        same = next((i for i, pair in enumerate(left) if pair != wanted[i]), len(left))
        if batch and len(proposals) >= min(old.allows(told), new.allows(told)):
            # Looks come before the evaluations of their batch; where there are any, the whole batch is asked for again.
            return (told, batch.first_look) if content.looks else (told + same, 0)
        if same < len(left) or batch is None:
            raise RunError(
                f"with that budget, the strategy {loop.strategy.name!r} proposes other architectures than {folder.path} has "
                f"after {counted(told + same, 'evaluation')}, so the run cannot have another one; start another run"
            )
        if told + same == total:
            noted = loop.looks_before(1)
            break
        generation = batch.generation
        loop.tell(loop.evaluate(proposals))
        noted = loop.looks_before(0)
    # Of an ask that was stopped, looks may be there without evaluations; only a budget of evaluations can change them.
    unlimited = old.evaluations is None and new.evaluations is None
    return total, len(content.looks) if unlimited else noted


def _draft(folder: RunFolder) -> Path:
    return folder.path / ".journal.jsonl.extended"


def extend(folder: RunFolder, config: Config, evaluations: int, looks: int) -> None:
    """Gives a run another budget and the journal that it has with that.

    Args:
        folder: The files of the run.
        config: The configuration with the new budget.
        evaluations: Number of evaluations that stay in the journal.
        looks: Number of looks that stay in the journal.

    Raises:
        RunError: If a file cannot be written; the run is then as it was.
    """
    draft = _draft(folder)
    replace_text(draft, rewritten(folder.journal, identity_of(config), evaluations, looks))
    try:
        # Without a result the run is unfinished, which is true of both budgets.
        folder.result.unlink(missing_ok=True)
        folder.snapshot.unlink(missing_ok=True)
        folder.write_config(config)
        os.replace(draft, folder.journal)
    except OSError as error:
        raise file_error(error) from error


def finish(folder: RunFolder) -> None:
    """Completes or drops an extension during which the process died."""
    draft = _draft(folder)
    if not draft.exists():
        return
    header = read_journal(draft).header or {}
    try:
        if header.get("identity") == identity_of(own_config(folder.config)):
            os.replace(draft, folder.journal)
        else:
            draft.unlink()
    except OSError as error:
        raise file_error(error) from error
