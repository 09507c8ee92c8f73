"""How well cheaper forms of a configuration keep the order of networks, and how much faster they are.

    draw networks at random; score all of them in full, then in every form with one change
    score them in pairs of the forms that are good enough
    time some of the networks in all forms, one form after the other for each network

    runs/<name>-fidelity/   config.yaml · FORM.jsonl (the scores of one form) · fidelity.json, .html

The scores of a form are in a journal, so that a stopped measurement resumes with the network that is missing.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from contextlib import ExitStack

from rbflex_evo.engine.configuration.assembly import Assembly
from rbflex_evo.engine.configuration.config import Config, identity
from rbflex_evo.engine.configuration.selection import read_choice
from rbflex_evo.engine.run.environment import environment
from rbflex_evo.engine.run.folder import RunFolder, opened
from rbflex_evo.engine.run.journal import Journal, evaluation_line, gammas_line, header_line, read_journal
from rbflex_evo.engine.run.result_document import Agreement
from rbflex_evo.engine.terminal.interrupt import STOPS, Interrupt
from rbflex_evo.engine.terminal.messages import attempt
from rbflex_evo.engine.terminal.progress import Progress
from rbflex_evo.fitness.evaluation import Evaluation, evaluate
from rbflex_evo.fitness.measuring.executors.executor import EXECUTORS
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.fitness.objective.objective import Objective
from rbflex_evo.spaces import ConfigError, Genotype, RunError
from rbflex_evo.spaces.isolation.settings import own_settings

from .agreements import agreements
from .document import Fidelity, FidelityDocument, FormFacts, deciding, least, write_document
from .forms import FULL, Form, pairs_of, single_forms

NETWORKS, AT_LEAST = 200, 0.98
FEWEST = 3
TIMED = 12
# Stream of random numbers: 1 is the reference sample of ranks, 2 an estimate.
STREAM = 3

Pairs = Sequence[tuple[str, Genotype]]


def measure(
    config: Config, *, networks: int = NETWORKS, at_least: float = AT_LEAST, quiet: bool = False, page: bool = True
) -> Fidelity:
    """Scores networks in every form, or resumes, and writes fidelity.json and its page.

    Args:
        config: The configuration; its ``fidelity`` is left out.
        networks: Number of networks.
        at_least: Kendall with the full form from which a form is good enough.
        quiet: Whether to hide the progress bars.
        page: Whether to write the page.

    Raises:
        ConfigError: If the configuration names a table of scores, or has no cheaper form, or a number is wrong.
        RunError: If the folder holds the measurement of another configuration.
        Interrupted, Stopped: After a stop signal; the same call resumes.
    """
    _check(config, networks, at_least)
    base = config.model_copy(update={"fidelity": None})
    with Interrupt() as interrupt, own_settings():
        try:
            return _measure(base, networks, at_least, interrupt, quiet, page)
        except STOPS:
            raise interrupt.stop("stopped; what is scored is kept, the same command resumes") from None


def _check(config: Config, networks: int, at_least: float) -> None:
    if config.scores is not None:
        raise ConfigError("'scores' names a table of one form; leave it out to measure several")
    if networks < FEWEST:
        raise ConfigError(f"an order needs at least {FEWEST} networks, but {networks} were asked for")
    if not 0 < at_least <= 1:
        raise ConfigError(f"--at-least is a Kendall of more than 0 and at most 1, but it is {at_least}")


def _measure(config: Config, networks: int, at_least: float, interrupt: Interrupt, quiet: bool, page: bool) -> Fidelity:
    singles, left_out = single_forms(config)
    if not singles:
        raise ConfigError(f"{config.space.name} has no cheaper form with data source {config.data.name!r}")
    parts = Assembly(config)
    key_of = parts.space.notation if parts.raw else parts.space.key
    with opened(config.folder.with_name(f"{config.folder.name}-fidelity")) as folder:
        folder.check_owner(config)
        folder.write_config(config)
        pairs = parts.random_pairs(key_of, networks, STREAM)
        scores = Scores(config, folder, pairs, interrupt, quiet)
        full = scores.of(FULL)
        ranked = parts.objective.ranks
        decides = deciding(parts.objective.scores, parts.objective.ranked)
        found = {form.name: _compared(ranked, scores.of(form), full) for form in singles}
        good = [form for form in singles if (least(found[form.name], decides) or 0.0) >= at_least]
        tried = [*singles, *pairs_of(good)]
        for form in tried[len(singles) :]:
            found[form.name] = _compared(ranked, scores.of(form), full)
        timed = pairs[:TIMED]
        seconds = _seconds(config, [FULL, *tried], timed, interrupt, quiet)
        facts = [
            FormFacts(
                name=form.name,
                values=dict(form.values),
                agreement=found.get(form.name, {}),
                failed=sum(evaluation.failed for evaluation in scores.of(form)),
                milliseconds=1000 * took,
                speed_up=seconds[0] / took,
            )
            for form, took in zip([FULL, *tried], seconds, strict=True)
        ]
        document = FidelityDocument(
            name=config.name,
            space=config.space.name,
            networks=len(pairs),
            timed=len(timed),
            decides=decides,
            at_least=at_least,
            full=facts[0],
            forms=facts[1:],
            left_out=left_out,
            environment=environment(),
        )
        write_document(folder, document)
        result = Fidelity(folder.path, document)
        if page:
            from .page import write_page

            attempt("page was written", "the same command", lambda: write_page(result))
    return result


def _compared(ranked: Objective | None, form: Sequence[Evaluation], full: Sequence[Evaluation]) -> dict[str, Agreement]:
    """Returns the agreement of a form with the full one, of each score and of a rank aggregate.

    A network that fails in both forms has no place in either order, and is left out.
    """
    kept = [pair for pair in zip(form, full, strict=True) if not all(evaluation.failed for evaluation in pair)]
    first, second = [one for one, _ in kept], [other for _, other in kept]
    if ranked is None:
        return agreements(first, second)
    one, other = (ArchiveView.among(ranked, told).utility([e.key for e in told]) for told in (first, second))
    return agreements(first, second, (one, other))


class Scores:
    """The scores of the same networks in several forms, each from its journal as far as it reaches.

    Args:
        config: The configuration of the full form.
        folder: Takes the journals.
        pairs: (key, genotype) pairs of the networks.
        interrupt: Checked after every network.
        quiet: Whether to hide the progress bars.
    """

    def __init__(self, config: Config, folder: RunFolder, pairs: Pairs, interrupt: Interrupt, quiet: bool) -> None:
        self._config, self._folder, self._pairs = config, folder, list(pairs)
        self._interrupt, self._quiet = interrupt, quiet
        self._known: dict[str, list[Evaluation]] = {}

    def of(self, form: Form) -> list[Evaluation]:
        """Returns the evaluations of all networks in a form, in order.

        Raises:
            RunError: If the journal of the form is of other networks, inputs or settings.
        """
        if form.name not in self._known:
            self._known[form.name] = self._scored(form)
        return self._known[form.name]

    def _scored(self, form: Form) -> list[Evaluation]:
        config = form.config(self._config)
        path = self._folder.path / f"{form.stem}.jsonl"
        content = read_journal(path)
        parts = Assembly(config)
        told = content.evaluations
        facts = {"identity": identity(config), "space": config.space.name, "inputs": parts.batch.fingerprint, "form": form.values}
        began = content.header or facts
        asked = [key for key, _ in self._pairs]
        if {name: began.get(name) for name in facts} != facts or [e.key for e in told] != asked[: len(told)]:
            raise RunError(f"{path} is of other networks, inputs or settings; remove it, or set another name (--set name=...)")
        if len(told) >= len(asked):
            return told[: len(asked)]
        with parts.evaluator() as evaluator, Journal(path, content.end) as journal:
            if content.header is None:
                journal.append(header_line(**facts))
            if content.gammas is not None:
                evaluator.recall(content.gammas)
            with self._progress(f"gammas, {form.name}", None) as progress:
                evaluator.prepare(self._interrupt.after(progress.to))
            if content.gammas is None and evaluator.provisional:
                journal.append(gammas_line(evaluator.calibrations))
            with self._progress(form.name, len(asked), initial=len(told)) as progress:
                for evaluation in evaluate(evaluator, self._pairs[len(told) :]):
                    journal.append(evaluation_line("evaluation", len(told), evaluation, 0.0))
                    told.append(evaluation)
                    progress.advance()
                    self._interrupt.check()
        return told

    def _progress(self, title: str, total: int | None, *, initial: int = 0) -> Progress:
        return Progress(title, total, initial=initial, unit="network", shown=not self._quiet)


def _seconds(config: Config, forms: Sequence[Form], pairs: Pairs, interrupt: Interrupt, quiet: bool) -> list[float]:
    """Returns the median seconds of a network in each form, in one process, without the cache.

    Each network is measured in all forms before the next one is, so that a machine that becomes slower slows all forms.
    """
    alone = {"workers": 1, "timeout": None, "executor": read_choice("local", "executor", "name", EXECUTORS)}
    found: list[list[float]] = [[] for _ in forms]
    with ExitStack() as stack, Progress("timing", len(pairs), unit="network", shown=not quiet) as progress:
        evaluators = [
            stack.enter_context(Assembly(form.config(config).model_copy(update=alone)).evaluator(cached=False)) for form in forms
        ]
        first = pairs[0][0]
        for evaluator in evaluators:
            # The first network also pays for what a process does once.
            next(evaluator.statistics([first]))
        for key, _ in pairs:
            for seconds, evaluator in zip(found, evaluators, strict=True):
                seconds.append(next(evaluator.statistics([key])).seconds)
                interrupt.check()
            progress.advance()
    return [statistics.median(seconds) for seconds in found]
