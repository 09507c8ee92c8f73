"""A search from its configuration to its result: the run's folder, its parts, the loop, and what is left behind.

    result = Search.from_yaml("configs/quickstart.yaml").run()
    result.best.genotype, result.top(5), result.network()

A folder that holds an unfinished run of an equal configuration is taken up where it was stopped; a finished one gives its
result at once. The table of known accuracies is looked at before the search only to see that it is of this space, and read
when the search is over.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rbflex_evo.engine.configuration import assembly
from rbflex_evo.engine.configuration.config import Config, identity, load_config
from rbflex_evo.engine.report.report import write_report
from rbflex_evo.engine.run.folder import RunFolder, find_run, opened, own_config
from rbflex_evo.engine.run.journal import Journal, JournalContent, evaluation_line, header_line, read_journal
from rbflex_evo.engine.run.result_document import ResultDocument, read_result, write_result
from rbflex_evo.engine.terminal.interrupt import Interrupt, Interrupted
from rbflex_evo.engine.terminal.progress import Progress
from rbflex_evo.engine.terminal.wording import counted
from rbflex_evo.fitness.costs.book import CostBook
from rbflex_evo.fitness.evaluation import EvaluatorLike, evaluate
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.spaces import RunError

from .budget import Budget
from .loop import Loop, check_answer
from .result import Result, document, front_of, table_facts

if TYPE_CHECKING:
    from rbflex_evo.spaces.tables.table import Table


class Search:
    """One run of a configuration.

    Args:
        config: from `load_config` or `parse_config`.
        evaluator: measures instead of the one that the configuration describes; the caller closes it.
        provenance: what scores of that evaluator depend on that the configuration does not tell, as `setup.measuring` yields it.
        quiet: shows no progress.
        report: writes report.html at the end.

    Raises:
        GenotypeError: if a warm start is not of the space.
        ConfigError: if the warm start does not fit into the budget.
    """

    def __init__(
        self,
        config: Config,
        evaluator: EvaluatorLike | None = None,
        *,
        provenance: Mapping[str, str | None] | None = None,
        quiet: bool = False,
        report: bool = True,
    ) -> None:
        self.config = config
        self.space = assembly.space_of(config)
        self.warm_start = assembly.warm_start_of(config, self.space)
        self.quiet = quiet
        self.report = report
        self._identity = identity(config)
        self._given = evaluator
        self._provenance = provenance or {"inputs": None, "backend": None}

    @classmethod
    def from_yaml(cls, path: str | Path, overrides: Sequence[str] = (), *, quiet: bool = False) -> Search:
        """Reads the configuration from a YAML file, with ``key.sub=value`` overrides."""
        return cls(load_config(path, overrides), quiet=quiet)

    @classmethod
    def from_folder(cls, path: str | Path, *, quiet: bool = False) -> Search:
        """Takes up the run in a folder.

        Raises:
            RunError: if there is none.
        """
        return cls(find_run(path), quiet=quiet)

    def run(self) -> Result:
        """Searches, or goes on searching, and returns the result.

        Raises:
            RbflexEvoError: if anything about the folder, the data, the device or the table is wrong.
            Interrupted: after Ctrl-C, everything saved.
        """
        with opened(self.config.folder) as folder, Interrupt() as interrupt:
            folder.check_owner(self.config)
            content = read_journal(folder.journal)
            known = read_result(folder.result)
            if known is not None:
                return self._finished(folder, content, known)
            table = assembly.table_of(self.config, self.space)
            book = assembly.cost_book_of(self.config, self.space)
            with self._evaluator() as (evaluator, inputs):
                interrupt.check()
                folder.write_config(self.config)
                try:
                    return self._search(folder, content, evaluator, inputs, interrupt, table, book)
                except Interrupted:
                    done = len(read_journal(folder.journal).evaluations)
                    raise Interrupted(
                        f"stopped after {counted(done, 'evaluation')}, all saved; go on with: rbflex-evo resume {folder.path}"
                    ) from None

    @contextmanager
    def _evaluator(self) -> Iterator[tuple[EvaluatorLike, Mapping[str, str | None]]]:
        """Yields the evaluator, and what scores depend on that the configuration does not tell."""
        if self._given is not None:
            yield self._given, self._provenance
            return
        with assembly.measuring(self.config, self.space) as measuring:
            yield measuring

    def _search(
        self,
        folder: RunFolder,
        content: JournalContent,
        evaluator: EvaluatorLike,
        inputs: Mapping[str, str | None],
        interrupt: Interrupt,
        table: Table | None,
        book: CostBook,
    ) -> Result:
        constraints = assembly.constraints_of(self.config)
        view = ArchiveView(assembly.objective_of(self.config), evaluator.key, constraints.ordering)
        with Journal(folder.journal, content.end) as journal:
            self._begin(folder, content, journal, inputs)
            self._prepare(evaluator, interrupt)
            if view.objective.reference == "sample":
                self._score_reference(folder, content, journal, evaluator, view, interrupt)
            loop = Loop(
                space=self.space,
                strategy=assembly.strategy_of(self.config, self.space),
                evaluator=evaluator,
                view=view,
                constraints=constraints,
                book=book,
                budget=Budget(**self.config.budget.model_dump()),
                folder=folder,
                journal=journal,
                content=content,
                identity=self._identity,
                interrupt=interrupt,
            )
            why_not = loop.resume()
            if why_not is not None and not self.quiet:
                print(f"{folder.snapshot}: {why_not}; going through the journal instead", file=sys.stderr)
            with self._progress("search", self.config.budget.evaluations, initial=len(view)) as progress:
                reason = loop.run(assembly.distinct(self.warm_start, view), progress)
        found = document(
            name=self.config.name,
            space=self.space,
            stop_reason=reason,
            counts={
                "unique": len(view),
                "failed": sum(evaluation.failed for evaluation in view.evaluations),
                "proposed": loop.counts.proposed,
                "known": loop.counts.known,
                "rejected": loop.limits.rejected,
            },
            seconds=loop.seconds,
            evaluator=evaluator.facts(),
            view=view,
        )
        return self._finish(folder, view, found, table)

    def _begin(self, folder: RunFolder, content: JournalContent, journal: Journal, inputs: Mapping[str, str | None]) -> None:
        """Writes the journal's first line, or makes sure that the one there is of this run."""
        if content.header is None:
            journal.append(header_line(identity=self._identity, space=self.space.name, **inputs, time_started=time.time()))
            return
        if content.header.get("identity") != self._identity:
            raise RunError(
                f"{folder.journal} belongs to another configuration than {folder.config}; "
                f"give the run another name, or remove {folder.path}"
            )
        if content.header.get("scores") != inputs.get("scores"):
            began, now = (_origin_of(facts.get("scores")) for facts in (content.header, inputs))
            raise RunError(
                f"{folder.path} began with {began}, but here it is {now}; go on as it began, or give the run another name"
            )
        if content.header.get("backend") != inputs["backend"]:
            raise RunError(
                f"{folder.path} began with the backend {content.header.get('backend')!r}, but here it is "
                f"{inputs['backend']!r}; go on where that is available, or give the run another name"
            )
        if content.header.get("inputs") != inputs["inputs"]:
            raise RunError(
                f"the input images are not those that {folder.path} began with; restore them, or give the run another name"
            )

    def _prepare(self, evaluator: EvaluatorLike, interrupt: Interrupt) -> None:
        with self._progress("gammas", None, unit="network") as progress:

            def step(done: int, wanted: int) -> None:
                progress.to(done, wanted)
                interrupt.check()

            evaluator.prepare(step)
        interrupt.check()

    def _score_reference(
        self,
        folder: RunFolder,
        content: JournalContent,
        journal: Journal,
        evaluator: EvaluatorLike,
        view: ArchiveView,
        interrupt: Interrupt,
    ) -> None:
        """Scores the sample that ranks are taken against, outside the budget; what the journal has is not scored again."""
        genotypes = assembly.reference_sample(self.config, self.space, view)
        asked = [(view.key(genotype), genotype) for genotype in genotypes]
        for evaluation, (key, genotype) in zip(content.references, asked, strict=False):
            check_answer(evaluation, key, genotype, folder)
        missing = asked[len(content.references) :]
        with self._progress("reference sample", len(asked), initial=len(content.references)) as progress:
            for evaluation in evaluate(evaluator, missing):
                journal.append(evaluation_line("reference", len(content.references), evaluation, 0.0))
                content.references.append(evaluation)
                progress.advance()
                interrupt.check()
        journal.sync()
        view.set_reference(content.references)

    def _finish(self, folder: RunFolder, view: ArchiveView, found: ResultDocument, table: Table | None) -> Result:
        # Only now, with nothing left to decide, is the table read.
        if table is not None and self.config.table is not None:
            found = found.model_copy(update={"table": table_facts(table, self.config.table.name, found.best)})
        write_result(folder.result, found)
        if self.report:
            write_report(folder.path)
        return self._result(folder, view, found)

    def _finished(self, folder: RunFolder, content: JournalContent, found: ResultDocument) -> Result:
        """Returns the result of a run that is over, with another table or a new report where one is asked for."""
        ordering = assembly.constraints_of(self.config).ordering
        view = ArchiveView(assembly.objective_of(self.config), self.space.key, ordering)
        for evaluation in content.evaluations:
            view.add(evaluation)
        if view.objective.reference == "sample":
            view.set_reference(content.references)
        if own_config(folder.config).table != self.config.table:
            found = found.model_copy(update={"table": None})
            table = assembly.table_of(self.config, self.space)
            folder.write_config(self.config)
            return self._finish(folder, view, found, table)
        if self.report and not folder.report.exists():
            write_report(folder.path)
        return self._result(folder, view, found)

    def _result(self, folder: RunFolder, view: ArchiveView, found: ResultDocument) -> Result:
        return Result(folder.path, self.space, view.best_first(), found, self.config.fitness.weights, front_of(view))

    def _progress(self, title: str, total: int | None, *, initial: int = 0, unit: str = "evaluation") -> Progress:
        return Progress(title, total, initial=initial, unit=unit, shown=not self.quiet)


def _origin_of(fingerprint: str | None) -> str:
    return "measured scores" if fingerprint is None else f"the table of scores {fingerprint}"
