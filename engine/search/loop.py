"""The search loop in three steps, and how a search resumes exactly where it was stopped.

    while not loop.finished:
        loop.tell(loop.evaluate(loop.ask()))

A strategy may be asked ahead: `ask` asks until `ahead` batches follow the oldest one, begins to measure each, and returns the
oldest. So batch k is asked for once batch k - 1 - ahead was told, whichever candidates are ready by then, and a slow candidate
holds up neither the later ones of its batch nor the next batches. Evaluations are added to the view, written and told batch by
batch, in the order in which they were asked for. Keys that are in flight count as seen.

A resumed run restores the strategy and the outstanding batches from the snapshot, and the view from the evaluations that the
strategy had been told by then. From there on the loop runs as always, but the journal's later lines answer what the strategy asks
for, key by key. Candidates are measured again only when these lines are used up. Therefore a run that was stopped anywhere ends
with the journal of one that was not.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from rbflex_evo.engine.run import snapshot as snapshots
from rbflex_evo.engine.run.folder import RunFolder, replace_text
from rbflex_evo.engine.run.journal import Journal, JournalContent, evaluation_line, look_line
from rbflex_evo.engine.run.snapshot import Counts, Snapshot
from rbflex_evo.engine.terminal.interrupt import Interrupt
from rbflex_evo.engine.terminal.progress import Progress
from rbflex_evo.fitness.costs.book import CostBook, KnownCosts
from rbflex_evo.fitness.evaluation import Evaluation, EvaluatorLike, evaluate
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.fitness.objective.constraints import Constraints
from rbflex_evo.fitness.objective.limited import LimitedView, Look, SearchEnded, cap_of
from rbflex_evo.spaces import Genotype, RunError, SearchSpace
from rbflex_evo.strategies import Strategy

from .batch import Batch, genotypes_of
from .budget import Budget
from .callback import Callbacks, SearchProgress

BARREN_ASKS = 1000
SECONDS_BETWEEN_SNAPSHOTS = 5.0
NOTHING_LEFT = "nothing left to try: every architecture that the strategy can reach was evaluated"


class Loop:
    """One search from an open journal to a stop reason, as the steps `ask`, `evaluate` and `tell`.

    Args:
        space: The search space; it validates what the strategy proposes.
        strategy: A new strategy; `resume` restores its state.
        evaluator: Measures candidates that neither the journal nor the reference sample knows.
        view: An empty view, with its reference set if the objective has a fixed one; takes every evaluation.
        constraints: Limits on costs; those that reject lie between the view and the strategy.
        book: Counts the costs that the constraints and the objective name.
        budget: Decides when the search ends.
        folder: The run's files.
        journal: The run's journal, open at its end.
        content: What the journal held when it was opened.
        identity: The identity of the run's configuration.
        interrupt: Checked after every evaluation.
        warm_start: Genotypes of distinct keys that are evaluated before the strategy is asked for the first time.

    Attributes:
        progress: Shows each evaluation; nothing unless one is set.
        callbacks: Told of evaluations that are new in the journal, and of snapshots; none unless they are set.
        stop_reason: Why the search ended, or None while it has not.
        ahead: Number of batches that are asked for before the oldest one is told. It is that of the strategy, or 0 if a cost is a
            measured time, because such a time is measured while no worker is busy.
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
        warm_start: Sequence[Genotype],
    ) -> None:
        self.space, self.strategy, self.evaluator, self.view = space, strategy, evaluator, view
        self.budget, self.folder, self.journal = budget, folder, journal
        self.identity, self.interrupt = identity, interrupt
        self.progress = Progress("search", None, shown=False)
        self.callbacks = Callbacks()
        self.counts = Counts()
        self.book = book
        self.limits = LimitedView(view, constraints, book, cap_of(constraints, book, space.encoding.size), self._note_look)
        self.ahead = strategy.batches_ahead if all(metric.repeatable for metric in book.metrics.values()) else 0
        self.stop_reason: str | None = None
        self._warm_start = list(warm_start)
        # The batches that were asked for and not told, the oldest first, and whether `ask` has returned that one.
        self.outstanding: deque[Batch] = deque()
        self._asked = False
        self._singly = any(metric.singly for metric in book.metrics.values())
        self._evaluated: list[Evaluation] | None = None
        # Why the strategy is not asked any more; empty if it proposed nothing.
        self._ended: str | None = None
        self._looks = content.looks
        self._next_look = len(content.looks)
        self._noted: list[Look] = []
        self._references = {evaluation.key: evaluation for evaluation in content.references}
        self._pending = deque(content.evaluations)
        self._journalled = len(content.evaluations)
        self._earlier = content.seconds
        self._started = time.monotonic()
        self._between_tell_and_ask = False
        self._saved_at = float("-inf")

    @property
    def seconds(self) -> float:
        """Seconds spent searching, without the time between sessions."""
        return self._earlier + time.monotonic() - self._started

    @property
    def finished(self) -> bool:
        """True when the search is over."""
        return self.stop_reason is not None

    def resume(self) -> str | None:
        """Restores the last snapshot; returns why it was not used if there is one that does not fit, else None."""
        snapshot, why_not = snapshots.load(self.folder.snapshot, self.identity, len(self._pending), len(self._looks))
        looks = self._looks
        if snapshot is not None:
            self.strategy.load_state_dict(snapshot.strategy)
            self.counts, self._ended = snapshot.counts, snapshot.ended
            self._earlier = max(self._earlier, snapshot.seconds)
            for _ in range(snapshot.told):
                evaluation = self._pending.popleft()
                # A program with other keys would pay for its networks again.
                check_answer(evaluation, self.view.key(evaluation.genotype), evaluation.genotype, self.folder)
                self.view.add(evaluation)
            self._warm_start = []
            looks = self._restore_outstanding(snapshot)
        self.limits.resume(looks, self.counts.looks, self.counts.rejected_in_a_row)
        self._started = time.monotonic()
        for batch in self.outstanding:
            self._begin(batch)
        if not self._warm_start:
            self.stop_reason = self._spent()
        return why_not

    def ask(self) -> list[Genotype]:
        """Returns the genotypes to evaluate next; none when the search is over.

        Raises:
            RuntimeError: If the genotypes of the last call were not evaluated and told.
            Interrupted, Stopped: After Ctrl-C or another stop signal, everything saved.
        """
        if self._asked:
            raise RuntimeError(
                "ask() was called twice in a row; call evaluate() with its genotypes, then tell(), before the next ask()"
            )
        if self.finished:
            return []
        self._between_tell_and_ask = False
        if self._warm_start:
            genotypes, self._warm_start = self._warm_start, []
            self._ask(lambda: genotypes)
        else:
            while self._may_ask():
                self._ask(self._proposals)
        if not self.outstanding:
            self.stop_reason = self._spent()
        if self.finished:
            return []
        self._asked = True
        return list(self.outstanding[0].genotypes)

    def evaluate(self, genotypes: Sequence[Genotype]) -> list[Evaluation]:
        """Evaluates the genotypes of the last `ask`, in their order, and writes what is new into the journal.

        If a budget of seconds is spent on the way, the search is over and the evaluations made so far are returned.

        Raises:
            RuntimeError: If `genotypes` are not those of the last `ask`, or were evaluated before.
            RunError: If the journal holds other evaluations than those that the strategy asks for.
            CallbackError: If a callback failed; everything is saved.
            Interrupted, Stopped: After Ctrl-C or another stop signal, everything saved.
        """
        if not self._asked:
            if self.finished and not genotypes:
                return []
            raise RuntimeError("evaluate() was called before ask(); call ask() first and pass what it returned")
        if self._evaluated is not None:
            raise RuntimeError("evaluate() was called twice in a row; call tell() with its evaluations before the next ask()")
        batch = self.outstanding[0]
        if list(genotypes) != batch.genotypes:
            raise RuntimeError("evaluate() was given other genotypes than ask() returned; pass them unchanged")
        self._write_looks(batch.looks)
        done = []
        for evaluation in self._answers(batch):
            self.view.add(evaluation)
            done.append(evaluation)
            self.progress.advance(self._best)
            if self.callbacks and len(self.view) > self._journalled:
                self.callbacks.on_evaluation(evaluation, self._progress_now())
            self.interrupt.check()
            if self._cut_short():
                self.stop_reason = self._spent()
                break
        # The strategy is not told part of a batch: the search is over, and the journal has what was measured.
        if not self.finished:
            done = [self._known(key, genotype) for key, genotype in zip(batch.keys, batch.genotypes, strict=True)]
        self._evaluated = done
        return list(done)

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Tells the strategy the evaluations of the last `evaluate`; does nothing when the search is over.

        Raises:
            RuntimeError: If `evaluations` are not those of the last `evaluate`.
            CallbackError: If a callback failed; everything is saved.
            Interrupted, Stopped: After Ctrl-C or another stop signal, everything saved.
        """
        if not self._asked or self._evaluated is None:
            if self.finished and not evaluations:
                return
            raise RuntimeError("tell() was called before evaluate(); call ask() and evaluate() first")
        if list(evaluations) != self._evaluated:
            raise RuntimeError("tell() was given other evaluations than evaluate() returned; pass them unchanged")
        told, self._asked, self._evaluated = self._evaluated, False, None
        batch = self.outstanding.popleft()
        if self.finished:
            return
        if self.outstanding and not self.outstanding[0].genotypes:
            self._write_looks(self.outstanding.popleft().looks)
        self.counts.proposed += len(told)
        self.counts.known += len(told) - len(batch.new)
        self.limits.in_flight.difference_update(batch.new)
        self.strategy.tell(told, self.limits)
        self.counts.barren = 0 if batch.new else self.counts.barren + 1
        self._between_tell_and_ask = True
        if time.monotonic() - self._saved_at > SECONDS_BETWEEN_SNAPSHOTS:
            self._save_snapshot()
            if self.callbacks:
                self.callbacks.on_snapshot(self._progress_now())
        if self.counts.barren >= BARREN_ASKS:
            self.stop_reason = f"the strategy proposed only known architectures {BARREN_ASKS:,} times in a row"
            return
        self.interrupt.check()
        self.stop_reason = self._spent()

    def looks_before(self, position: int) -> int:
        """Returns the number of looks that were counted before an outstanding batch was asked for, or in all if there is none."""
        return self.outstanding[position].first_look if position < len(self.outstanding) else self.limits.noted

    def close(self) -> None:
        """Saves what a later session needs to continue."""
        # Of a batch whose evaluations are partly in the journal, nothing is saved; the last snapshot and the journal restore it.
        if self._between_tell_and_ask:
            self._save_snapshot()
        self.journal.sync()

    def _spent(self) -> str | None:
        """Returns why the search is over, or None if it is not."""
        # What the journal still answers was measured within the budget, whatever the clock says now.
        if self._pending:
            return None
        seconds = self.seconds
        if self.outstanding:
            # Batches that are outstanding when the time is over are dropped; any other limit has allowed for them.
            return self.budget.spent(0, seconds, 0) if self.budget.out_of_time(seconds) else None
        if self._ended is not None:
            return self._ended or self.limits.exhausted() or NOTHING_LEFT
        return self.budget.spent(len(self.view), seconds, self.strategy.generation)

    def _may_ask(self) -> bool:
        if self.finished or self._ended is not None or len(self.outstanding) > self.ahead:
            return False
        # That the budget allows an ask after everything was told is known since the last tell.
        return not self.outstanding or (
            self.budget.spent(self._asked_for, 0.0, self.strategy.generation) is None and not self._cut_short()
        )

    @property
    def _asked_for(self) -> int:
        """Number of unique architectures that were evaluated or will be, once everything outstanding was told."""
        return len(self.view) + len(self.limits.in_flight)

    def _ask(self, propose: Callable[[], list[Genotype]]) -> None:
        """Adds a batch to the outstanding ones, or notes why there is no other one."""
        first_look, self._noted = self.limits.noted, []
        keys: list[str] = []
        new: dict[str, Genotype] = {}
        try:
            genotypes = propose()
            keys += [self.view.key(genotype) for genotype in genotypes]
            for key, genotype in zip(keys, genotypes, strict=True):
                if not self.limits.seen(key):
                    new.setdefault(key, genotype)
        except SearchEnded as reason:
            genotypes, self._ended = [], str(reason)
            if self._cut_short():
                self.stop_reason = self._ended
        if not genotypes:
            self._ended = self._ended or ""
        batch = Batch(genotypes, keys, new, self.strategy.generation, first_look, self._noted)
        # Without genotypes, it only holds looks, whose place in the journal is behind the outstanding batches.
        if genotypes or batch.looks:
            self._add(batch)
            if self.ahead:
                self._begin(batch)

    def _add(self, batch: Batch) -> None:
        """Makes a batch the last of the outstanding ones; the journal answers as far as it reaches."""
        batch.answered = min(len(batch.new), len(self._pending) - sum(other.answered for other in self.outstanding))
        self.limits.in_flight.update(batch.new)
        self.outstanding.append(batch)

    def _restore_outstanding(self, snapshot: Snapshot) -> list[Look]:
        """Restores the outstanding batches; returns all looks, with those of these batches that are not in the journal."""
        for data in snapshot.outstanding:
            self._add(Batch.of_json(data, [self.view.key(genotype) for genotype in genotypes_of(data)]))
        written = self.counts.looks
        there = len(self._looks) - written
        noted: list[Look] = []
        for batch in self.outstanding:
            noted += batch.looks
            batch.looks, there = batch.looks[there:], max(0, there - len(batch.looks))
        self.counts.looks += len(noted)
        return [*self._looks[:written], *noted, *self._looks[written + len(noted) :]]

    def _proposals(self) -> list[Genotype]:
        allowed = self.budget.allows(self._asked_for)
        proposals = [tuple(map(int, genotype)) for genotype in self.strategy.ask(allowed, self.limits)]
        if len(proposals) > allowed:
            raise RuntimeError(
                f"strategy {self.strategy.name!r} was asked for at most {allowed} genotypes, but it gave {len(proposals)}"
            )
        for genotype in proposals:
            self.space.encoding.validate(genotype)
        return proposals

    def _known(self, key: str, genotype: Genotype) -> Evaluation:
        if not self.view.seen(key):
            return self.limits.rejection(key, genotype)
        return replace(self.view.get(key), genotype=genotype)

    def _cut_short(self) -> bool:
        return not self._pending and self.budget.out_of_time(self.seconds)

    def _answers(self, batch: Batch) -> Iterator[Evaluation]:
        """Yields the evaluations of what is new in a batch: from the journal while it has some left, then measured and written."""
        for key, genotype in list(batch.new.items())[: batch.answered]:
            evaluation = self._pending.popleft()
            check_answer(evaluation, key, genotype, self.folder)
            yield evaluation
        for evaluation in self._begin(batch):
            self.journal.append(evaluation_line("evaluation", len(self.view), evaluation, self.seconds))
            yield evaluation

    def _begin(self, batch: Batch) -> Iterator[Evaluation]:
        """Begins to measure what the journal does not hold of a batch, unless that has begun; returns the evaluations."""
        if batch.measured is None:
            batch.measured = self._measured(batch.to_measure())
        return batch.measured

    def _measured(self, asked: Sequence[tuple[str, Genotype]]) -> Iterator[Evaluation]:
        if self._singly:
            return self._one_by_one(asked)
        # Before the workers are busy: a latency is to be measured on a machine that does nothing else.
        costs = [self._look(key) for key, _ in asked] if self.book.metrics else None
        measured = evaluate(self.evaluator, [(key, genotype) for key, genotype in asked if key not in self._references])
        return self._completed(asked, costs, measured)

    def _one_by_one(self, asked: Sequence[tuple[str, Genotype]]) -> Iterator[Evaluation]:
        """Yields each evaluation as soon as its costs are measured, last, so that what takes long is in the journal at once."""
        for key, genotype in asked:
            pairs = [] if key in self._references else [(key, genotype)]
            (found,) = self._completed([(key, genotype)], None, evaluate(self.evaluator, pairs))
            costs, failures = self._look(key)
            yield replace(found, costs=costs, failures={**found.failures, **failures})

    def _completed(
        self, asked: Sequence[tuple[str, Genotype]], costs: Sequence[KnownCosts] | None, measured: Iterator[Evaluation]
    ) -> Iterator[Evaluation]:
        """Yields what was measured, or is known from the reference sample, with the costs."""
        for position, (key, genotype) in enumerate(asked):
            reference = self._references.get(key)
            found = next(measured) if reference is None else replace(reference, genotype=genotype, seconds=0.0)
            if costs is not None:
                known, failures = costs[position]
                found = replace(found, costs=known, failures={**found.failures, **failures})
            yield found

    def _look(self, key: str) -> KnownCosts:
        self.interrupt.check()
        return self.book.look(key)

    def _note_look(self, look: Look) -> None:
        self._noted.append(look)
        if not self.outstanding:
            self._write_looks(self._noted)
        self.interrupt.check()
        # An ask may look at many candidates before it has one to evaluate.
        if self._cut_short():
            raise SearchEnded(self._spent())

    def _write_looks(self, looks: list[Look]) -> None:
        """Moves looks into the journal."""
        for look in looks:
            self.journal.append(look_line(self._next_look, look, self.seconds))
            self._next_look += 1
        looks.clear()

    def _save_snapshot(self) -> None:
        # What a snapshot was told must be in the journal, also after a power cut.
        self.journal.sync()
        self.counts.rejected_in_a_row = self.limits.in_a_row
        self.counts.looks = self.limits.noted - sum(len(batch.looks) for batch in self.outstanding)
        outstanding = [batch.to_json() for batch in self.outstanding]
        state = Snapshot(len(self.view), self.seconds, self.counts, self.strategy.state_dict(), outstanding, self._ended)
        replace_text(self.folder.snapshot, snapshots.encode(state, self.identity))
        self._saved_at = time.monotonic()

    def _progress_now(self) -> SearchProgress:
        return SearchProgress(self.folder.path, self.space, len(self.view), self._journalled, self.seconds, self.view)

    def _best(self) -> str:
        incumbent = self.view.incumbent()
        if incumbent is None:
            broken = self.limits.rejected and not self.view.evaluations
            return "every candidate broke a limit so far" if broken else "no candidate has succeeded yet"
        member = next(name for name in self.view.objective.scores if name in incumbent.scores)
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
