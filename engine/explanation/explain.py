"""What can be said of one candidate of a finished run: its layers, its ranks, and how much of its scores is chance.

    layers    each activation layer's part of the distances that RBFleX reads
    ranks     of each score among the candidates of the run
    spread    the same scores of the same architecture under other weight seeds, at the run's own calibration (gammas)
    ties      the candidates of the run whose scores lie within one standard deviation of the candidate's, in every member

The spread is of one candidate. The difference of two varies up to sqrt(2) times as much where a seed moves their scores
independently, and less where it moves them together, so a tie is a statement about the candidate, not a test of two. The table of
known accuracies is read last.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rbflex_evo.engine.configuration.assembly import Assembly
from rbflex_evo.engine.configuration.config import Config
from rbflex_evo.engine.run.folder import find_run, replace_text
from rbflex_evo.engine.run.record import RunRecord, read_run, why_nothing
from rbflex_evo.engine.terminal.progress import Progress
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import ConfigError, Genotype, RbflexEvoError, RunError, SearchSpace

from .document import FILE, VERSION, Explanation, LayerRecord, Rank, ScoreLayers, Spread, Tied, Ties

if TYPE_CHECKING:
    from rbflex_evo.fitness.data.batch import Batch
    from rbflex_evo.fitness.measuring.evaluator import Evaluator

SEEDS = 8
TIED_SHOWN = 10
# A replay's own score, measured again, may differ from the table's by so much of it.
REPLAY_TOLERANCE = 0.01


def explain(folder: str | Path, architecture: str | None = None, *, seeds: int = SEEDS, quiet: bool = False) -> Explanation:
    """Explains a candidate of a finished run, the found one by default, and writes explain.json into the run's folder.

    Args:
        architecture: in the space's notation; one that the run did not come across is scored as the run would have.
        seeds: how many other weight seeds it is scored with; statistics come from the cache where it has them.
        quiet: shows no progress.

    Raises:
        RunError: if the run has no result or found nothing, this candidate failed, or the run's inputs are gone.
        GenotypeError: if the architecture is not of the space.
        ConfigError: if fewer than two seeds are asked for.
        DataError, DeviceError: if the images or the device of the run are not there.
    """
    if seeds < 2:
        raise ConfigError(f"a spread needs at least 2 other weight seeds, but {seeds} was asked for")
    # One candidate at a time gains nothing from several processes.
    config = find_run(folder).model_copy(update={"workers": 1})
    run = read_run(config.folder)
    if run.outcome is None:
        raise RunError(f"{folder} has no result yet; go on with: rbflex-evo resume {folder}")
    if run.outcome.best is None:
        raise RunError(f"{folder} has nothing to explain: {why_nothing(run)}")
    parts = Assembly(config)
    space = parts.space
    genotype = tuple(run.outcome.best.genotype) if architecture is None else space.parse(architecture)
    _check_inputs(run, parts.batch)
    with parts.evaluator() as evaluator:
        with Progress("gammas", None, unit="network", shown=not quiet) as progress:
            evaluator.prepare(progress.to)
        own = _own(run, evaluator, genotype, config)
        others = _other_seeds(config.fitness.weights.seed, seeds)
        scored = _under_seeds(parts, evaluator, own, others, quiet)
        layers = _layers(evaluator, own, config)
    spread = {name: spread_of(own.scores[name], [e.scores.get(name) for e in scored]) for name in run.proxies if name in own.scores}
    explanation = Explanation(
        version=VERSION,
        notation=space.notation(genotype),
        key=own.key,
        evaluation=next((i + 1 for i, e in enumerate(run.evaluations) if e.key == own.key), None),
        found=own.key == run.outcome.best.key,
        scores={name: own.scores[name] for name in spread},
        ranks={name: rank_of(own.scores[name], scores_of_others(run, name, own.key)) for name in spread},
        seed=config.fitness.weights.seed,
        seeds=others,
        spread=spread,
        ties=ties_of(run, space, own, spread),
        layers=layers,
    )
    explanation = _with_accuracies(explanation, parts)
    replace_text(config.folder / FILE, explanation.model_dump_json(indent=2) + "\n")
    return explanation


def scores_of_others(run: RunRecord, name: str, key: str) -> np.ndarray:
    """Returns the raw scores of the run's candidates, that of `key` apart, which have all of the objective's members."""
    there = [e for e in run.evaluations if e.key != key and _has_members(run, e) and name in e.scores]
    return np.array([e.scores[name] for e in there], dtype=np.float64)


def rank_of(score: float, others: np.ndarray) -> Rank:
    """Returns a score's place among itself and `others`."""
    higher, equal, lower = (int(np.sum(compared)) for compared in (others > score, others == score, others < score))
    return Rank(place=1 + higher + equal / 2, of=len(others) + 1, below=lower / len(others) if len(others) else 0.0)


def spread_of(own: float, values: Sequence[float | None]) -> Spread:
    """Returns the mean, standard deviation and range of a score under other seeds, failures left out."""
    there = [value for value in values if value is not None]
    if len(there) < 2:
        return Spread(values=list(values))
    mean, deviation = statistics.fmean(there), statistics.stdev(there)
    return Spread(
        values=list(values),
        mean=mean,
        deviation=deviation,
        least=min(there),
        most=max(there),
        shift=(own - mean) / deviation if deviation else None,
    )


def ties_of(run: RunRecord, space: SearchSpace, own: Evaluation, spread: Mapping[str, Spread]) -> Ties:
    """Compares the members' scores of every other candidate with the candidate's own, in deviations of its spread."""
    others = [e for e in run.evaluations if e.key != own.key and _has_members(run, e)]
    away = {}
    for name in run.members:
        deviation = spread[name].deviation
        if deviation is not None:
            scores = np.array([e.scores[name] for e in others], dtype=np.float64)
            away[name] = _in_deviations(np.abs(scores - own.scores[name]), deviation)
    members = {name: int(np.sum(away[name] <= 1)) if name in away else None for name in run.members}
    if None in members.values():
        return Ties(of=len(others), members=members, count=None, nearest=[])
    largest = np.max(list(away.values()), axis=0)
    order = [i for i in np.argsort(largest, kind="stable") if largest[i] <= 1]
    nearest = [Tied(notation=space.notation(others[i].genotype), scores=dict(others[i].scores)) for i in order[:TIED_SHOWN]]
    return Ties(of=len(others), members=members, count=len(order), nearest=nearest)


def _in_deviations(distances: np.ndarray, deviation: float) -> np.ndarray:
    # A score that no seed moves ties with its equals only.
    return distances / deviation if deviation else np.where(distances == 0, 0.0, math.inf)


def _has_members(run: RunRecord, evaluation: Evaluation) -> bool:
    return all(name in evaluation.scores for name in run.members)


def _other_seeds(own: int, count: int) -> list[int]:
    return [own + 1 + i for i in range(count)]


def _check_inputs(run: RunRecord, batch: Batch) -> None:
    header = run.content.header or {}
    if header.get("inputs") not in (None, batch.fingerprint):
        raise RunError(f"the input images are not those that {run.folder} was scored with; restore them to explain it")


def _own(run: RunRecord, evaluator: Evaluator, genotype: Genotype, config: Config) -> Evaluation:
    """Returns the candidate's evaluation under the run's own weights, from the journal if it is there."""
    key = evaluator.key(genotype)
    own = next((e for e in run.evaluations if e.key == key), None)
    if own is None or config.scores is not None:
        (measured,) = evaluator.evaluate([(key, genotype)])
        own = own or measured
        _check_replay(run, own, measured)
    failed = [f"{name}: {own.failures[name]}" for name in run.members if name in own.failures]
    if failed:
        raise RunError(f"{evaluator.space.notation(genotype)} cannot be explained: it failed ({'; '.join(failed)})")
    return own


def _check_replay(run: RunRecord, own: Evaluation, measured: Evaluation) -> None:
    """Makes sure that the scores of a replayed run are those that its configuration describes."""
    for name, score in own.scores.items():
        again = measured.scores.get(name, math.nan)
        if not math.isclose(score, again, rel_tol=REPLAY_TOLERANCE):
            raise RunError(
                f"{run.folder} was replayed from scores that its configuration does not measure: {name} is {score:g} there, "
                f"but {again:g} when measured, so no spread can be given"
            )


def _under_seeds(parts: Assembly, evaluator: Evaluator, own: Evaluation, seeds: Sequence[int], quiet: bool) -> list[Evaluation]:
    """Scores the candidate under other weights. Gammas stay those of the run: its candidates share them, whatever the seed."""
    scored: list[Evaluation] = []
    with Progress("weight seeds", len(seeds), unit="seed", shown=not quiet) as progress:
        for seed in seeds:
            weights = parts.config.fitness.weights.model_copy(update={"seed": seed})
            with parts.evaluator(weights=weights, calibrations=evaluator.calibrations) as again:
                scored += again.evaluate([(own.key, own.genotype)])
            progress.advance()
    return scored


def _layers(evaluator: Evaluator, own: Evaluation, config: Config) -> list[ScoreLayers]:
    from rbflex_evo.fitness.proxies.rbflex.layers import layer_distances
    from rbflex_evo.fitness.proxies.rbflex.score import Rbflex

    found = []
    conditions = evaluator.conditions
    n = len(conditions.batch.images)
    for name, proxy in evaluator.proxies.items():
        if isinstance(proxy, Rbflex) and name in own.scores:
            genotype, images = evaluator.network_of(own.key), conditions.batch.images.to(conditions.device)
            parts, features = layer_distances(
                conditions.space, genotype, images, conditions.weights, precision=config.precision, layers=proxy.layers
            )
            layers = [LayerRecord(**asdict(part)) for part in parts]
            found.append(ScoreLayers(score=name, pairs=n * (n - 1) // 2, layers=layers, features=LayerRecord(**asdict(features))))
    return found


def _with_accuracies(explanation: Explanation, parts: Assembly) -> Explanation:
    try:
        table = parts.table
        if table is None:
            return explanation
        accuracy = table.accuracy(explanation.notation)
        nearest = [tied.model_copy(update={"accuracy": table.accuracy(tied.notation)}) for tied in explanation.ties.nearest]
    except RbflexEvoError as error:
        return explanation.model_copy(update={"notice": f"The table of known accuracies could not be read: {error}"})
    ties = explanation.ties.model_copy(update={"nearest": nearest})
    return explanation.model_copy(update={"ties": ties, "dataset": table.dataset, "accuracy": accuracy})
