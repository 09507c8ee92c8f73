"""A search from its configuration to its result: the run's folder, its parts, the loop, and the files that it leaves.

    result = Search.from_yaml("configs/quickstart.yaml").run()
    result.best.genotype, result.top(5), result.network()

    with open_search("configs/quickstart.yaml") as search:
        while not search.finished:
            genotypes = search.ask()
            evaluations = search.evaluate(genotypes)
            search.tell(evaluations)
        result = search.result()

If the folder holds an unfinished run of an equal configuration, the search resumes it; a finished run gives its result at once.
If the configuration has a ``fidelity``, the search scores in that cheaper form, and the best candidates are scored again in full.
The table of known accuracies is only checked to be of this space before the search, and read when the search is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rbflex_evo.engine.configuration.assembly import Assembly
from rbflex_evo.engine.configuration.budget import with_budget
from rbflex_evo.engine.configuration.config import Config, identity, load_config
from rbflex_evo.engine.configuration.resetting import with_settings
from rbflex_evo.engine.configuration.unset import settled
from rbflex_evo.engine.fidelity.rescoring import agreements_of, rescore
from rbflex_evo.engine.run.elite_map import map_of
from rbflex_evo.engine.run.folder import RunFolder, begun, find_run, opened, own_config
from rbflex_evo.engine.run.journal import Journal, JournalContent, evaluation_line, gammas_line, header_line, read_journal
from rbflex_evo.engine.run.origins import check_origins
from rbflex_evo.engine.run.result_document import RescoringFacts, ResultDocument, check_journal, read_result, write_result
from rbflex_evo.engine.terminal.interrupt import STOPS, Interrupt, Interrupted, Stopped
from rbflex_evo.engine.terminal.messages import attempt, say
from rbflex_evo.engine.terminal.progress import Progress
from rbflex_evo.engine.terminal.wording import counted
from rbflex_evo.fitness.costs.book import CostBook
from rbflex_evo.fitness.evaluation import Calibrated, Evaluation, EvaluatorLike, evaluate
from rbflex_evo.fitness.measuring.executors.executor import ExecutorLost
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.spaces import ConfigError, FailedError, Genotype, RunError, SearchSpace
from rbflex_evo.spaces.encodings.distinct import distinct
from rbflex_evo.spaces.isolation.settings import own_settings
from rbflex_evo.strategies import STRATEGIES
from rbflex_evo.strategies.map_elites import MapElitesParameters

from .budget import Budget
from .callback import Callback, Callbacks
from .extension import Keys, extend, finish, kept_of
from .loop import Loop, check_answer
from .result import Result, best_of, document, table_facts

if TYPE_CHECKING:
    from rbflex_evo.spaces import SearchSpace
    from rbflex_evo.spaces.tables.table import Table


class Search:
    """One run of a configuration.

    Args:
        config: from `load_config` or `parse_config`.
        evaluator: measures instead of the one that the configuration describes; the caller closes it.
        provenance: what scores of that evaluator depend on that the configuration does not tell, as `setup.measuring` yields it.
        space: the space that the configuration describes, if it was made already, such as one with functions of a notebook.
        quiet: shows no progress.
        report: writes report.html at the end.
        callbacks: Told of evaluations, snapshots and the end, in this order; see `Callback`.
        other_budget: True gives a run in the folder that has another budget the one of `config`.

    Raises:
        GenotypeError: if a warm start is not of the space.
        ConfigError: if the warm start does not fit into the budget, the space is another one, one of the callbacks is none, or an
            evaluator is handed in although the configuration has a ``fidelity``.
        RunError: if the folder holds a run whose configuration is damaged.
    """

    def __init__(
        self,
        config: Config,
        evaluator: EvaluatorLike | None = None,
        *,
        provenance: Mapping[str, str | None] | None = None,
        space: SearchSpace | None = None,
        quiet: bool = False,
        report: bool = True,
        callbacks: Iterable[Callback] = (),
        other_budget: bool = False,
    ) -> None:
        self._callbacks = Callbacks(callbacks)
        parts = Assembly(config, space)
        self.space = parts.space
        self.config = config = settled(config, self.space, begun(config.folder))
        self.parts = parts.of(config)
        self.warm_start = self.parts.warm_start
        self.quiet = quiet
        self.report = report
        self._identity = identity(config)
        if evaluator is not None and config.fidelity is not None:
            raise ConfigError("'fidelity' measures in two forms, but one evaluator was handed in; leave 'fidelity' out")
        self._given = evaluator
        self._other_budget = other_budget
        self._provenance = provenance or {"inputs": None, "backend": None}

    @classmethod
    def from_yaml(
        cls, path: str | Path, overrides: Sequence[str] = (), *, quiet: bool = False, callbacks: Iterable[Callback] = ()
    ) -> Search:
        """Reads the configuration from a YAML file, with ``key.sub=value`` overrides."""
        return cls(load_config(path, overrides), quiet=quiet, callbacks=callbacks)

    @classmethod
    def from_folder(
        cls,
        path: str | Path,
        *,
        budget: Mapping[str, Any] | None = None,
        overrides: Sequence[str] = (),
        space: SearchSpace | None = None,
        quiet: bool = False,
        callbacks: Iterable[Callback] = (),
    ) -> Search:
        """Takes up the run in a folder.

        Args:
            path: The folder.
            budget: Other limits for the run, such as ``{"evaluations": 2000}``; it goes on as if it had had them from the start.
            overrides: Other settings of the machine, such as ``["executor=local"]``; see `resetting.with_settings`.
            space: The space of the run, if its networks are built by a function of a notebook or a script, which is not stored.
            quiet: True shows no progress.
            callbacks: Told of evaluations that are new, snapshots and the end; see `Callback`.

        Raises:
            RunError: if there is none, or it cannot have that budget.
            ConfigError: if a limit or a setting is unknown or wrong, or the space is not that of the run.
        """
        config = find_run(path)
        if overrides:
            config = with_settings(config, overrides)
        if not budget:
            return cls(config, space=space, quiet=quiet, callbacks=callbacks)
        _check_extensible(config)
        return cls(with_budget(config, budget), space=space, quiet=quiet, callbacks=callbacks, other_budget=True)

    def run(self) -> Result:
        """Searches, or continues to search, and returns the result.

        Raises:
            RbflexEvoError: If anything about the folder, the data, the device or the table is wrong.
            CallbackError: If a callback failed; everything is saved.
            Interrupted, Stopped: After Ctrl-C or another stop signal, everything saved.
        """
        with self.open() as running:
            while not running.finished:
                running.tell(running.evaluate(running.ask()))
            return running.result()

    def open(self) -> RunningSearch:
        """Opens the run for a loop of the caller's own; use it as a context manager, or close it.

        Raises:
            RbflexEvoError: If anything about the folder, the data, the device or the table is wrong.
            Interrupted, Stopped: After Ctrl-C or another stop signal, everything saved.
        """
        return RunningSearch(self)

    @contextmanager
    def _evaluator(self) -> Iterator[tuple[EvaluatorLike, Mapping[str, str | None]]]:
        """Yields the evaluator of the search, and what scores depend on that the configuration does not tell."""
        if self._given is not None:
            yield self._given, self._provenance
            return
        with self.parts.cheap.measuring() as measuring:
            yield measuring

    def _key_of(self, evaluator: EvaluatorLike) -> Callable[[Genotype], str]:
        """Returns the keys of the search, which are those of the full form: networks that only a cheaper form merges differ."""
        return evaluator.key if self.config.fidelity is None else Keys(self.space, self.parts.raw).key

    def _loop(
        self,
        folder: RunFolder,
        content: JournalContent,
        journal: Journal,
        evaluator: EvaluatorLike,
        inputs: Mapping[str, str | None],
        interrupt: Interrupt,
        book: CostBook,
    ) -> Loop:
        """Returns the loop, resumed, its space prepared and its reference sample scored."""
        view = ArchiveView(self.parts.objective, self._key_of(evaluator), self.parts.constraints.ordering)
        self._begin(folder, content, journal, inputs, book)
        self._prepare(folder, content, journal, evaluator, interrupt)
        if view.objective.reference == "sample":
            self._score_reference(folder, content, journal, evaluator, view, interrupt)
        loop = self._new_loop(folder, content, journal, evaluator, view, interrupt, book)
        why_not = loop.resume()
        if why_not is not None and not self.quiet:
            say(f"{folder.snapshot}: {why_not}; going through the journal instead")
        return loop

    def _new_loop(
        self,
        folder: RunFolder,
        content: JournalContent,
        journal: Journal,
        evaluator: EvaluatorLike,
        view: ArchiveView,
        interrupt: Interrupt,
        book: CostBook,
    ) -> Loop:
        return Loop(
            space=self.space,
            strategy=self.parts.strategy(),
            evaluator=evaluator,
            view=view,
            constraints=self.parts.constraints,
            book=book,
            budget=Budget(**self.config.budget.model_dump()),
            folder=folder,
            journal=journal,
            content=content,
            identity=self._identity,
            interrupt=interrupt,
            warm_start=[genotype for _, genotype in distinct(self.warm_start, view.key)],
        )

    def _extend(self, folder: RunFolder, interrupt: Interrupt) -> None:
        """Gives the run in the folder the budget of this search.

        Raises:
            RunError: If it cannot have that; nothing is changed.
        """
        before = own_config(folder.config)
        if before.budget == self.config.budget:
            return
        if identity(before.model_copy(update={"budget": self.config.budget})) != self._identity:
            raise RunError(f"{folder.path} holds a run of another configuration; give this one another name (--set name=...)")
        content = read_journal(folder.journal)
        check_journal(read_result(folder.result), content, folder.path)
        old, new = (Budget(**config.budget.model_dump()) for config in (before, self.config))

        def replay(aside: RunFolder, content: JournalContent, journal: Journal) -> Loop:
            evaluator = Keys(self.space, self.parts.raw)
            view = ArchiveView(self.parts.objective, evaluator.key, self.parts.constraints.ordering)
            if view.objective.reference == "sample":
                view.set_reference(content.references)
            loop = self._new_loop(aside, content, journal, evaluator, view, interrupt, self.parts.book())
            loop.resume()
            return loop

        extend(folder, self.config, *kept_of(old, new, content, replay, folder))

    def _document(self, loop: Loop) -> ResultDocument:
        parameters = self.parts.strategy_parameters
        return document(
            name=self.config.name,
            space=self.space,
            stop_reason=loop.stop_reason or "",
            counts={
                "unique": len(loop.view),
                "failed": sum(evaluation.failed for evaluation in loop.view.evaluations),
                "proposed": loop.counts.proposed,
                "known": loop.counts.known,
                "rejected": loop.limits.rejected,
            },
            seconds=loop.seconds,
            evaluator=loop.evaluator.facts(),
            view=loop.view,
            elites=map_of(loop.view, self.space, parameters, len(self.config.warm_start))
            if isinstance(parameters, MapElitesParameters)
            else None,
        )

    def _begin(
        self, folder: RunFolder, content: JournalContent, journal: Journal, inputs: Mapping[str, str | None], book: CostBook
    ) -> None:
        """Writes the journal's first line, or makes sure that the one there is of this run."""
        origins = self.parts.origins(book, measured=inputs["inputs"] is not None)
        if content.header is None:
            facts = {**inputs, **self._fidelity_facts(), **({"origins": origins} if origins else {})}
            journal.append(header_line(identity=self._identity, space=self.space.name, **facts, time_started=time.time()))
            return
        self._check_identity(folder, content)
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
        images = {"inputs": inputs["inputs"], **self._fidelity_facts()}
        if any(content.header.get(name) != value for name, value in images.items()):
            raise RunError(
                f"the input images are not those that {folder.path} began with; restore them, or give the run another name"
            )
        self._check_origins(folder, content, origins)

    def _fidelity_facts(self) -> dict[str, Any]:
        """Returns what the journal's first line says of the forms: the cheaper one, and the inputs of the full one."""
        fidelity = self.config.fidelity
        if fidelity is None:
            return {}
        return {"fidelity": {**fidelity.form, "rescore": fidelity.rescore, "full_inputs": self.parts.batch.fingerprint}}

    def _check_origins(self, folder: RunFolder, content: JournalContent, origins: Mapping[str, str | None]) -> None:
        began = None if content.header is None else content.header.get("origins")
        for sentence in check_origins(began, origins, folder.path):
            say(f"warning: {sentence}")

    def _check_identity(self, folder: RunFolder, content: JournalContent) -> None:
        if content.header is not None and content.header.get("identity") != self._identity:
            raise RunError(
                f"{folder.journal} belongs to another configuration than {folder.config}; give the run another name, or remove "
                f"{folder.path}\nif config.yaml was edited, undo that; another budget: rbflex-evo resume {folder.path} --budget"
            )

    def _prepare(
        self,
        folder: RunFolder,
        content: JournalContent,
        journal: Journal,
        evaluator: EvaluatorLike,
        interrupt: Interrupt,
        *,
        in_full: bool = False,
    ) -> None:
        """Calibrates the scores, in each session of a run with the same result; each form has its own calibrations."""
        calibrated = evaluator if isinstance(evaluator, Calibrated) else None
        known = content.full_gammas if in_full else content.gammas
        if known is not None and calibrated is not None:
            calibrated.recall(known)
            return
        with self._progress("gammas", None, unit="network") as progress:
            evaluator.prepare(interrupt.after(progress.to))
        interrupt.check()
        if calibrated is not None and calibrated.provisional:
            if content.rescored if in_full else content.evaluations or content.references:
                names = ", ".join(sorted(calibrated.provisional))
                raise FailedError(
                    f"a network for the gammas of {names} died or took too long, but it did not when {folder.path} began; "
                    "make room (or raise timeout), and resume"
                )
            if in_full:
                content.full_gammas = calibrated.calibrations
            else:
                content.gammas = calibrated.calibrations
            journal.append(gammas_line(calibrated.calibrations, in_full=in_full))

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
        asked = self.parts.random_pairs(view.key, view.objective.sample, stream=1)
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

    def _rescored(
        self, folder: RunFolder, content: JournalContent, loop: Loop, interrupt: Interrupt, found: ResultDocument
    ) -> tuple[ResultDocument, ArchiveView | None]:
        """Scores the best candidates again in full; returns the result with them, and their view.

        Without a cheaper form, returns the given result and None.
        """
        fidelity = self.config.fidelity
        if fidelity is None:
            return found, None
        chosen = loop.view.best_first()[: fidelity.rescore]
        for known, cheap in zip(content.rescored, chosen, strict=False):
            check_answer(known, cheap.key, cheap.genotype, folder)
        searched, started = loop.seconds, time.monotonic()
        earlier = max(0.0, content.rescored_seconds - content.seconds)

        def seconds() -> float:
            return earlier + time.monotonic() - started

        facts: dict[str, Any] = {}
        if len(content.rescored) < len(chosen):
            with (
                Journal(folder.journal, folder.journal.stat().st_size) as journal,
                self.parts.measuring() as (evaluator, _),
            ):
                self._prepare(folder, content, journal, evaluator, interrupt, in_full=True)
                with self._progress("rescoring", len(chosen), initial=len(content.rescored), unit="candidate") as progress:

                    def step() -> None:
                        progress.advance()
                        interrupt.check()

                    rescore(chosen, evaluator, journal, content.rescored, lambda: searched + seconds(), step)
                journal.sync()
                facts = evaluator.facts()
        view = ArchiveView.among(self.parts.objective, content.rescored, self.parts.constraints.ordering)
        rescoring = RescoringFacts(
            form=fidelity.form,
            count=len(chosen),
            failed=sum(evaluation.failed for evaluation in content.rescored),
            time_seconds=round(seconds(), 3),
            agreement=agreements_of(loop.view, view),
            evaluator=facts,
        )
        return found.model_copy(update={**best_of(view, self.space), "rescoring": rescoring}), view

    def _finish(
        self, folder: RunFolder, view: ArchiveView, found: ResultDocument, table: Table | None, full: ArchiveView | None
    ) -> Result:
        # Only now, with nothing left to decide, is the table read.
        if table is not None and self.config.table is not None:
            source, best = self.config.table.name, found.best
            resume = f"rbflex-evo resume {folder.path}"
            facts = attempt("known accuracies", resume, lambda: table_facts(table, source, best))
            found = found.model_copy(update={"table": facts})
        write_result(folder.result, found)
        if self.report:
            self._write_report(folder)
        return self._result(folder, view, found, full)

    def _finished(self, folder: RunFolder, content: JournalContent, found: ResultDocument) -> Result:
        """Returns the result of a run that is over, with another table or a new report where one is asked for."""
        ordering = self.parts.constraints.ordering
        view = ArchiveView.of(self.parts.objective, content.evaluations, content.references, ordering)
        full = None if found.rescoring is None else ArchiveView.among(self.parts.objective, content.rescored, ordering)
        wanted = self.config.table
        another = own_config(folder.config).table != wanted
        table = self.parts.table if another else None
        if not another and found.table is None and wanted is not None:
            # It could not be read when the search ended.
            table = attempt("known accuracies", f"rbflex-evo resume {folder.path}", lambda: self.parts.table)
        if another or table is not None:
            folder.write_config(self.config)
            return self._finish(folder, view, found.model_copy(update={"table": None}), table, full)
        if self.report and not folder.report.is_file():
            self._write_report(folder)
        return self._result(folder, view, found, full)

    def _write_report(self, folder: RunFolder) -> None:
        """Writes the report, without which the result is complete."""

        def write() -> None:
            # Imported late: a run must not need what draws.
            from rbflex_evo.engine.report.report import write_report

            write_report(folder.path, space=self.space)

        attempt("report was written", f"rbflex-evo report {folder.path}", write)

    def _result(self, folder: RunFolder, view: ArchiveView, found: ResultDocument, full: ArchiveView | None) -> Result:
        return Result(folder.path, self.space, view.closed(), found, self.config.fitness.weights, full)

    def _progress(self, title: str, total: int | None, *, initial: int = 0, unit: str = "evaluation") -> Progress:
        return Progress(title, total, initial=initial, unit=unit, shown=not self.quiet)


class RunningSearch:
    """A run that is open: ask for genotypes, evaluate them, tell the strategy, until the search is finished.

    Use it as a context manager. Every evaluation is in the run's journal as soon as it is made, so a loop that is stopped anywhere
    resumes when the same configuration is opened again.

    Args:
        search: The search to open.

    Raises:
        RbflexEvoError: If anything about the folder, the data, the device or the table is wrong.
        Interrupted, Stopped: After Ctrl-C or another stop signal, everything saved.
    """

    @own_settings()
    def __init__(self, search: Search) -> None:
        self._search = search
        self._loop: Loop | None = None
        self._result: Result | None = None
        with ExitStack() as resources:
            self._folder = resources.enter_context(opened(search.config.folder))
            self._interrupt = interrupt = resources.enter_context(Interrupt())
            finish(self._folder)
            if search._other_budget:
                search._extend(self._folder, interrupt)
            self._folder.check_owner(search.config)
            content = self._content = read_journal(self._folder.journal)
            known = read_result(self._folder.result)
            check_journal(known, content, self._folder.path)
            if known is not None:
                search._check_identity(self._folder, content)
                search._check_origins(self._folder, content, search.parts.code())
                self._result = search._finished(self._folder, content, known)
                return
            self._table, book = search.parts.table, search.parts.book()
            # What it refuses is said before anything is written.
            search.parts.strategy()
            if not content.evaluations:
                book.check(search.space.encoding.sample(np.random.Generator(np.random.PCG64(0))))
                if search._given is None and search.config.scores is None:
                    search.space.check_network()
            resources.callback(search._callbacks.close)
            self._measuring = resources.enter_context(ExitStack())
            evaluator, inputs = self._measuring.enter_context(search._evaluator())
            interrupt.check()
            self._folder.write_config(search.config)
            with self._saving():
                journal = self._measuring.enter_context(Journal(self._folder.journal, content.end))
                self._loop = search._loop(self._folder, content, journal, evaluator, inputs, interrupt, book)
                self._measuring.callback(self._save)
                self._loop.callbacks = search._callbacks
                bar = search._progress("search", search.config.budget.evaluations, initial=len(self._loop.view))
                self._loop.progress = self._measuring.enter_context(bar)
            self._resources = resources.pop_all()

    @property
    def finished(self) -> bool:
        """True when the search is over, so that `result` can be called."""
        return self._loop is None or self._loop.finished

    def ask(self) -> list[Genotype]:
        """Returns the genotypes to evaluate next; none when the search is over.

        Raises:
            RuntimeError: If the genotypes of the last call were not evaluated and told.
            Interrupted, Stopped: After Ctrl-C or another stop signal, everything saved.
        """
        with self._saving():
            return [] if self._loop is None else self._loop.ask()

    def evaluate(self, genotypes: Sequence[Genotype]) -> list[Evaluation]:
        """Returns the evaluations of the genotypes that `ask` returned, in their order; new ones are written into the journal.

        Raises:
            RuntimeError: If `ask` was not called before, or `genotypes` are not those that it returned.
            Interrupted, Stopped: After Ctrl-C or another stop signal, everything saved.
        """
        with self._saving():
            return [] if self._loop is None else self._loop.evaluate(genotypes)

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Tells the strategy the evaluations that `evaluate` returned.

        Raises:
            RuntimeError: If `evaluate` was not called before, or `evaluations` are not those that it returned.
            Interrupted, Stopped: After Ctrl-C or another stop signal, everything saved.
        """
        with self._saving():
            if self._loop is not None:
                self._loop.tell(evaluations)

    @own_settings()
    def result(self) -> Result:
        """Writes the result and the report into the run's folder, closes the run and returns the result.

        If the search scored in a cheaper form (``fidelity``), its best candidates are scored again in full first.

        Raises:
            RuntimeError: If the search is not finished.
            Interrupted, Stopped: After Ctrl-C or another stop signal while candidates are scored again, everything saved.
            CallbackError: If a callback failed; the result is written, and a second call returns it.
        """
        if self._result is None:
            if self._loop is None or not self._loop.finished:
                raise RuntimeError(
                    "result() was called before the search was finished; ask, evaluate and tell until `finished` is true"
                )
            loop, search = self._loop, self._search
            found = search._document(loop)
            self._measuring.close()
            with self._saving():
                found, full = search._rescored(self._folder, self._content, loop, self._interrupt, found)
            self._result = search._finish(self._folder, loop.view, found, self._table, full)
            try:
                search._callbacks.on_end(self._result)
            finally:
                self.close()
        return self._result

    def close(self) -> None:
        """Saves what a later session needs, and stops the worker processes; `with` does this at its end."""
        if self._loop is not None:
            self._resources.close()

    def __enter__(self) -> RunningSearch:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @contextmanager
    def _saving(self) -> Iterator[None]:
        """Says in the exception of a stop how many evaluations are saved and how to continue."""
        try:
            with own_settings():
                yield
        except STOPS:
            raise self._stopped() from None
        except ExecutorLost as lost:
            # What stops a search may stop its workers first.
            if self._interrupt.requested:
                raise self._stopped() from None
            raise ExecutorLost(
                f"{lost}; {self._saved()}; go on with: rbflex-evo resume {self._folder.path}\n"
                "(on this machine alone: --set executor=local)"
            ) from None

    def _stopped(self) -> Interrupted | Stopped:
        path = self._folder.path
        return self._interrupt.stop(
            f"stopped after {self._saved()}; go on with: rbflex-evo resume {path}\n(a report of these: rbflex-evo report {path})"
        )

    def _saved(self) -> str:
        content = read_journal(self._folder.journal)
        rescored = f" and {counted(len(content.rescored), 'rescored candidate')}" if content.rescored else ""
        return f"{counted(len(content.evaluations), 'evaluation')}{rescored}, all saved"

    def _save(self) -> None:
        with self._interrupt.saving():
            if self._loop is not None:
                self._loop.close()


def open_search(
    config: Config | str | Path, overrides: Sequence[str] = (), *, quiet: bool = False, callbacks: Iterable[Callback] = ()
) -> RunningSearch:
    """Opens a search for a loop of the caller's own.

    Args:
        config: A configuration, or the path of a YAML file.
        overrides: ``key.sub=value`` changes to the YAML file.
        quiet: True shows no progress.
        callbacks: Told of evaluations, snapshots and the end; see `Callback`.

    Raises:
        RbflexEvoError: If the configuration, the folder, the data, the device or the table is wrong.
    """
    chosen = config if isinstance(config, Config) else load_config(config, overrides)
    return Search(chosen, quiet=quiet, callbacks=callbacks).open()


def _check_extensible(config: Config) -> None:
    """Makes sure that a run may have another budget.

    Raises:
        RunError: If it is part of a comparison, or its strategy plans with the budget.
    """
    if config.folder.parent.parent.name.endswith("-compare"):
        raise RunError(f"{config.folder} is a run of a comparison, whose runs have one budget; start another comparison")
    strategy = STRATEGIES.get(config.strategy.name)
    if strategy.depends_on_budget:
        raise RunError(
            f"the strategy {strategy.name!r} plans with its budget, so {config.folder} cannot have another one; start another run"
        )


def _origin_of(fingerprint: str | None) -> str:
    return "measured scores" if fingerprint is None else f"the table of scores {fingerprint}"
