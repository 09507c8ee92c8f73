"""The search loop, and how it is taken up again exactly where it was stopped.

    while not budget.spent():
        strategy.tell(evaluator(strategy.ask(n, view)), view)

A resumed run restores the strategy from the snapshot, and the view from the evaluations that the strategy had been told by
then. From there on the loop runs as ever, but the journal's later lines answer what it asks for, key by key; only when they
are used up is anything measured. So a run that was stopped anywhere ends with the journal of one that was not.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from rbflex_evo.engine.run import snapshot as snapshots
from rbflex_evo.engine.run.folder import RunFolder, replace_text
from rbflex_evo.engine.run.journal import Journal, JournalContent, evaluation_line, look_line
from rbflex_evo.engine.run.snapshot import Counts, Snapshot
from rbflex_evo.engine.terminal.interrupt import Interrupt
from rbflex_evo.engine.terminal.progress import Progress
from rbflex_evo.fitness.costs.book import CostBook, Costed
from rbflex_evo.fitness.evaluation import Evaluation, EvaluatorLike, evaluate
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.fitness.objective.constraints import Constraints
from rbflex_evo.fitness.objective.limited import LimitedView, Look, SearchEnded, cap_of
from rbflex_evo.spaces import Genotype, RunError, SearchSpace
from rbflex_evo.strategies import Strategy

from .budget import Budget

BARREN_ASKS = 1000
SECONDS_BETWEEN_SNAPSHOTS = 5.0


class Loop:
    """One search, from an open journal to a stop reason.

    Args:
        space: for checking what a strategy proposes.
        strategy: a new one; `resume` restores its state.
        evaluator: measures what nobody knows yet.
        view: empty, its reference set fixed where the objective has one; takes every evaluation.
        constraints: what a candidate may cost; those that reject stand between the view and the strategy.
        book: counts the costs that constraints and the objective name.
        budget: when to end.
        folder: the run's files.
        journal: open at its end.
        content: what the journal held when it was opened.
        identity: of the run's configuration.
        interrupt: asked after every evaluation.
    """

    def __init__(
        self,
        *,
        space: SearchSpace,
        strategy: Strategy,
        evaluator: EvaluatorLike,
        view: ArchiveView,
        constraints: Constraints,
        book: CostBook,
        budget: Budget,
        folder: RunFolder,
        journal: Journal,
        content: JournalContent,
        identity: str,
        interrupt: Interrupt,
    ) -> None:
        self.space, self.strategy, self.evaluator, self.view = space, strategy, evaluator, view
        self.budget, self.folder, self.journal = budget, folder, journal
        self.identity, self.interrupt = identity, interrupt
        self.counts = Counts()
        self.book = book
        self.limits = LimitedView(view, constraints, book, cap_of(constraints, book, space.encoding.size), self._write_look)
        self._looks = content.looks
        self._next_look = len(content.looks)
        self._references = {evaluation.key: evaluation for evaluation in content.references}
        self._pending = deque(content.evaluations)
        self._resumed = False
        self._earlier = content.seconds
        self._started = time.monotonic()
        self._between_tell_and_ask = False
        self._saved_at = float("-inf")

    @property
    def seconds(self) -> float:
        """Seconds of searching, without the time between sessions."""
        return self._earlier + time.monotonic() - self._started

    def resume(self) -> str | None:
        """Restores the last snapshot; returns why it was not used where there is one, or None."""
        snapshot, why_not = snapshots.load(self.folder.snapshot, self.identity, len(self._pending), len(self._looks))
        if snapshot is not None:
            self.strategy.load_state_dict(snapshot.strategy)
            self.counts = snapshot.counts
            self._earlier = max(self._earlier, snapshot.seconds)
            for _ in range(snapshot.told):
                self.view.add(self._pending.popleft())
            self._resumed = True
        self.limits.resume(self._looks, self.counts.looks, self.counts.rejected_in_a_row)
        return why_not

    def run(self, warm_start: Sequence[Genotype], progress: Progress) -> str:
        """Searches until the budget is spent; returns the stop reason.

        Args:
            warm_start: genotypes of distinct keys that are told before the first ask.

        Raises:
            RunError: if the journal holds other evaluations than those that the strategy asks for.
            Interrupted: after Ctrl-C, everything saved.
        """
        self._started = time.monotonic()
        try:
            if warm_start and not self._resumed:
                self._evaluate_and_tell(warm_start, progress)
            return self._until_spent(progress)
        except SearchEnded as reason:
            return str(reason)
        finally:
            # A strategy that was asked and not told is of no use; then the last snapshot and the journal give its state back.
            if self._between_tell_and_ask:
                self._save_snapshot()
            self.journal.sync()

    def _until_spent(self, progress: Progress) -> str:
        while (reason := self._spent()) is None:
            proposals = self._ask()
            if not proposals:
                return self.limits.exhausted() or (
                    "nothing left to try: every architecture that the strategy can reach was evaluated"
                )
            self._evaluate_and_tell(proposals, progress)
            if self.counts.barren >= BARREN_ASKS:
                return f"the strategy proposed only known architectures {BARREN_ASKS:,} times in a row"
            self.interrupt.check()
        return reason

    def _spent(self) -> str | None:
        # What the journal still answers was measured within the budget, whatever the clock says now.
        if self._pending:
            return None
        return self.budget.spent(len(self.view), self.seconds, self.strategy.generation)

    def _ask(self) -> list[Genotype]:
        allowed = self.budget.allows(len(self.view))
        self._between_tell_and_ask = False
        proposals = [tuple(int(gene) for gene in genotype) for genotype in self.strategy.ask(allowed, self.limits)]
        if len(proposals) > allowed:
            raise RuntimeError(
                f"strategy {self.strategy.name!r} was asked for at most {allowed} genotypes, but it gave {len(proposals)}"
            )
        for genotype in proposals:
            self.space.encoding.validate(genotype)
        return proposals

    def _evaluate_and_tell(self, genotypes: Sequence[Genotype], progress: Progress) -> None:
        """Evaluates what is new among `genotypes`, but for what is rejected, and tells the strategy all of them."""
        keys = [self.view.key(genotype) for genotype in genotypes]
        new: dict[str, Genotype] = {}
        for key, genotype in zip(keys, genotypes, strict=True):
            if not self.limits.seen(key):
                new.setdefault(key, genotype)
        for evaluation in self._answers(new):
            self.view.add(evaluation)
            progress.advance(self._best)
            self.interrupt.check()
            if self._cut_short():
                # The strategy is not told part of a batch; the search is over, and the journal has what was measured.
                return
        self.counts.proposed += len(genotypes)
        self.counts.known += len(genotypes) - len(new)
        self.strategy.tell([self._known(key, g) for key, g in zip(keys, genotypes, strict=True)], self.limits)
        self.counts.barren = 0 if new else self.counts.barren + 1
        self._between_tell_and_ask = True
        if time.monotonic() - self._saved_at > SECONDS_BETWEEN_SNAPSHOTS:
            self._save_snapshot()

    def _known(self, key: str, genotype: Genotype) -> Evaluation:
        if not self.view.seen(key):
            return self.limits.rejection(key, genotype)
        return replace(self.view.get(key), genotype=genotype)

    def _cut_short(self) -> bool:
        return not self._pending and self.budget.out_of_time(self.seconds)

    def _answers(self, new: dict[str, Genotype]) -> Iterator[Evaluation]:
        """Yields the evaluations of `new` in order: from the journal while it has some left, then measured and written."""
        asked = deque(new.items())
        while asked and self._pending:
            evaluation = self._pending.popleft()
            check_answer(evaluation, *asked.popleft(), self.folder)
            yield evaluation
        if not asked:
            return
        for evaluation in self._measured(asked):
            self.journal.append(evaluation_line("evaluation", len(self.view), evaluation, self.seconds))
            yield evaluation

    def _measured(self, asked: Iterable[tuple[str, Genotype]]) -> Iterator[Evaluation]:
        asked = list(asked)
        # Before the workers are busy: a latency is to be measured on a machine that does nothing else.
        costs = [self._look(key) for key, _ in asked]
        unknown = [(key, genotype) for key, genotype in asked if key not in self._references]
        measured = evaluate(self.evaluator, unknown)
        for (key, genotype), (cost, failures) in zip(asked, costs, strict=True):
            reference = self._references.get(key)
            found = next(measured) if reference is None else replace(reference, genotype=genotype, seconds=0.0)
            yield replace(found, costs=cost, failures={**found.failures, **failures}) if self.book.metrics else found

    def _look(self, key: str) -> Costed:
        self.interrupt.check()
        return self.book.look(key)

    def _write_look(self, look: Look) -> None:
        self.journal.append(look_line(self._next_look, look, self.seconds))
        self._next_look += 1
        self.interrupt.check()
        # An ask may look at many candidates before it has one to evaluate.
        if self._cut_short():
            raise SearchEnded(self._spent())

    def _save_snapshot(self) -> None:
        # What a snapshot was told must be in the journal, also after a power cut.
        self.journal.sync()
        self.counts.looks, self.counts.rejected_in_a_row = self.limits.noted, self.limits.in_a_row
        state = Snapshot(len(self.view), self.seconds, self.counts, self.strategy.state_dict())
        replace_text(self.folder.snapshot, snapshots.encode(state, self.identity))
        self._saved_at = time.monotonic()

    def _best(self) -> str:
        incumbent = self.view.incumbent()
        if incumbent is None:
            return "no candidate has succeeded yet"
        member = next(name for name in self.view.objective.members if name in incumbent.scores)
        return f"best {member} {incumbent.scores[member]:g}"


def check_answer(evaluation: Evaluation, key: str, genotype: Genotype, folder: RunFolder) -> None:
    """Makes sure that a line of the journal is about the candidate that is asked for.

    Raises:
        RunError: with the way out.
    """
    if (evaluation.key, evaluation.genotype) != (key, genotype):
        raise RunError(
            f"{folder.journal} holds {evaluation.key!r} where this program proposes {key!r}, so it cannot be resumed\n"
            f"use the version of the program that began it, or remove {folder.path} to start anew"
        )
