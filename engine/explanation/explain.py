"""The explanation of one candidate of a finished run: its layers, its ranks, and the random part of its scores.

    layers    the contribution of each activation layer to the distances that RBFleX reads
    ranks     the rank of each score among the candidates of the run
    spread    the scores of the same architecture under other weight seeds, with the calibration (gammas) of the run
    ties      the candidates whose scores lie within one standard deviation of this candidate's scores, in every member

The spread is that of one candidate. The difference of two candidates varies up to sqrt(2) times as much if a seed changes their
scores independently, and less if it changes them together. A tie is therefore a statement about the candidate, not a test of two
candidates. The table of known accuracies is read last.
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
from rbflex_evo.engine.configuration.resetting import with_settings
from rbflex_evo.engine.run.folder import find_run, replace_text
from rbflex_evo.engine.run.record import RunRecord, read_run, why_nothing
from rbflex_evo.engine.terminal.progress import Progress
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import ConfigError, Genotype, RbflexEvoError, RunError, SearchSpace
from rbflex_evo.spaces.isolation.settings import own_settings

from .document import FILE, VERSION, Calls, Explanation, LayerRecord, Rank, ScoreLayers, Spread, Tied, Ties

if TYPE_CHECKING:
    from rbflex_evo.fitness.data.batch import Batch
    from rbflex_evo.fitness.measuring.evaluator import Evaluator
    from rbflex_evo.fitness.passes.layout import Account

SEEDS = 8
TIED_SHOWN = 10
# Relative tolerance between a score of a replayed table and the same score measured again.
REPLAY_TOLERANCE = 0.01


@own_settings()
def explain(
    folder: str | Path,
    architecture: str | None = None,
    *,
    seeds: int = SEEDS,
    overrides: Sequence[str] = (),
    space: SearchSpace | None = None,
    quiet: bool = False,
) -> Explanation:
    """Explains a candidate of a finished run, by default the found one, and writes explain.json into the run's folder.

    Args:
        folder: The folder of the run.
        architecture: The candidate in the space's notation. If the run did not evaluate it, it is scored as in the run.
        seeds: Number of other weight seeds to score the candidate with; cached statistics are reused.
        overrides: Other settings of the machine, such as ``["executor=local"]``; see `resetting.with_settings`.
        space: Space of the run, if its networks are built by a function of a notebook or a script, which is not stored.
        quiet: Whether to hide the progress bars.

    Raises:
        RunError: If the run has no result or found nothing, the candidate failed, or the inputs of the run are missing.
        GenotypeError: If the architecture is not of the space.
        ConfigError: If `seeds` is less than two.
        DataError, DeviceError: If the images or the device of the run are not available.
    """
    if seeds < 2:
        raise ConfigError(f"a spread needs at least 2 other weight seeds, but {seeds} was asked for")
    # A single candidate does not benefit from several processes.
    config = find_run(folder)
    config = (with_settings(config, overrides) if overrides else config).model_copy(update={"workers": 1})
    run = read_run(config.folder)
    if run.outcome is None:
        raise RunError(f"{folder} has no result yet; go on with: rbflex-evo resume {folder}")
    if run.outcome.best is None:
        raise RunError(f"{folder} has nothing to explain: {why_nothing(run)}")
    parts = Assembly(config, space)
    space = parts.space
    genotype = tuple(run.outcome.best.genotype) if architecture is None else space.genotype_of(architecture)
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
    """Returns the raw scores of the other candidates that have all members of the objective; `key` is left out."""
    there = [e for e in run.judged if e.key != key and _has_members(run, e) and name in e.scores]
    return np.array([e.scores[name] for e in there], dtype=np.float64)


def rank_of(score: float, others: np.ndarray) -> Rank:
    """Returns the rank of a score among itself and `others`."""
    higher, equal, lower = (int(np.sum(compared)) for compared in (others > score, others == score, others < score))
    return Rank(place=1 + higher + equal / 2, of=len(others) + 1, below=lower / len(others) if len(others) else 0.0)


def spread_of(own: float, values: Sequence[float | None]) -> Spread:
    """Returns mean, standard deviation and range of a score under other seeds, without failures."""
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
    """Compares the member scores of every other candidate with those of this candidate, in deviations of its spread."""
    others = [e for e in run.judged if e.key != own.key and _has_members(run, e)]
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
    # A score that does not depend on the seed is tied only with equal scores.
    return distances / deviation if deviation else np.where(distances == 0, 0.0, math.inf)


def _has_members(run: RunRecord, evaluation: Evaluation) -> bool:
    return all(name in evaluation.scores for name in run.members)


def _other_seeds(own: int, count: int) -> list[int]:
    return [own + 1 + i for i in range(count)]


def _check_inputs(run: RunRecord, batch: Batch) -> None:
    header = run.content.header or {}
    # Of a search in a cheaper form, the rescored candidates are explained, in full.
    inputs = header.get("inputs") if run.form is None else header.get("fidelity", {}).get("full_inputs")
    if inputs not in (None, batch.fingerprint):
        raise RunError(f"the input images are not those that {run.folder} was scored with; restore them to explain it")


def _own(run: RunRecord, evaluator: Evaluator, genotype: Genotype, config: Config) -> Evaluation:
    """Returns the evaluation of the candidate with the weights of the run, from the journal if possible."""
    key = evaluator.key(genotype)
    own = next((e for e in run.judged if e.key == key), None)
    if own is None or config.scores is not None:
        (measured,) = evaluator.evaluate([(key, genotype)])
        own = own or measured
        _check_replay(run, own, measured)
    failed = [f"{name}: {own.failures[name]}" for name in run.members if name in own.failures]
    if failed:
        raise RunError(f"{evaluator.space.notation(genotype)} cannot be explained: it failed ({'; '.join(failed)})")
    return own


def _check_replay(run: RunRecord, own: Evaluation, measured: Evaluation) -> None:
    """Checks that the scores of a replayed run are those that its configuration measures."""
    for name, score in own.scores.items():
        again = measured.scores.get(name, math.nan)
        if not math.isclose(score, again, rel_tol=REPLAY_TOLERANCE):
            raise RunError(
                f"{run.folder} was replayed from scores that its configuration does not measure: {name} is {score:g} there, "
                f"but {again:g} when measured, so no spread can be given"
            )


def _under_seeds(parts: Assembly, evaluator: Evaluator, own: Evaluation, seeds: Sequence[int], quiet: bool) -> list[Evaluation]:
    """Scores the candidate with other weights. The gammas of the run are kept, since all its candidates share them."""
    scored: list[Evaluation] = []
    evaluator.rest()
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
        # The distances are those of a plain forward.
        if isinstance(proxy, Rbflex) and proxy.repair is None and name in own.scores:
            genotype, images = evaluator.network_of(own.key), conditions.batch.images.to(conditions.device)
            parts, features, account = layer_distances(
                conditions.space, genotype, images, conditions.weights, precision=config.precision, layers=proxy.layers
            )
            layers = [LayerRecord(**asdict(part)) for part in parts]
            found.append(
                ScoreLayers(
                    score=name,
                    pairs=n * (n - 1) // 2,
                    layers=layers,
                    features=LayerRecord(**asdict(features)),
                    calls=_calls(account),
                )
            )
    return found


def _calls(account: Account) -> Calls:
    return Calls(read=account.read, regrouped=[*account.regrouped], transposed=[*account.transposed], fixed=[*account.fixed])


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
