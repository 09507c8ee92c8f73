"""Scores architectures once, into one npz file, so that comparisons and replays need no network.

    runs/<name>-table/  config.yaml · table.json (identity) · pieces/<score>/*.npz (finished parts) · scores.npz

The architectures are the whole space, a sample, or a list (`sample`). If the space plans its forwards, the whole space is walked
as a tree of the layers that its networks share (`fitness/measuring/whole_space.py`), for all scores that observe a planned
forward. Other scores, and samples, whose networks share little, are measured one by one through the cache. In both cases the
work is divided into pieces that are written atomically, one file per score. A table that was stopped is therefore resumed, and
adding a score to a finished table measures only that score.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rbflex_evo.engine.configuration.assembly import Assembly, check_code, recorded_code, score_code
from rbflex_evo.engine.configuration.config import Config, settings
from rbflex_evo.engine.run.folder import RunFolder, opened, own_config, replace_text
from rbflex_evo.engine.terminal.interrupt import STOPS, Interrupt
from rbflex_evo.engine.terminal.progress import Progress
from rbflex_evo.fitness.evaluation import keyed, six_digits
from rbflex_evo.fitness.measuring.evaluator import Evaluator
from rbflex_evo.fitness.measuring.tabulated import FAILURE, Arrays, load, score_names
from rbflex_evo.fitness.measuring.whole_space import score_with, subtrees
from rbflex_evo.spaces import Genotype, RunError
from rbflex_evo.spaces.isolation.settings import own_settings

from .sample import architectures_of
from .score_table import save

# The settings that determine the numbers of a table, in addition to the parameters of its scores.
LASTING = ("space", "data", "precision", "device", "backend")
# Number of networks in a piece if networks share nothing.
PIECE = 256

# One piece of each of several scores: notations, scores and failures of its networks.
Piece = Mapping[str, Arrays]
# Yields the names and pieces of the named scores, skips the finished pieces, and calls the function once per network.
Measure = Callable[[Sequence[str], set[str], Callable[[], None]], Iterator[tuple[str, Piece]]]


@own_settings()
def tabulate(config: Config, *, quiet: bool = False) -> Path:
    """Scores the selected architectures by the proxies of the configuration and returns the path of scores.npz.

    The format is described in `score_table`. Scores that are already in the table stay in it.

    Raises:
        ConfigError: If the space is too large and no sample is set, or the sample is larger than the space.
        RunError: If the folder holds a table of other architectures, other settings, or other parameters of a score.
        Interrupted, Stopped: After Ctrl-C or another stop signal; the same call resumes.
    """
    with Interrupt() as interrupt:
        try:
            return _tabulate(config, interrupt, quiet)
        except STOPS:
            # Pieces are written atomically, so nothing is left to save.
            raise interrupt.stop("stopped; what is done is kept, the same command resumes") from None


def _tabulate(config: Config, interrupt: Interrupt, quiet: bool) -> Path:
    parts = Assembly(config)
    architectures = architectures_of(config, parts.space)
    with opened(config.folder.with_name(f"{config.folder.name}-table")) as folder:
        _claim(folder, parts, [parts.space.notation(genotype) for genotype in architectures])
        path = folder.path / "scores.npz"
        known = load(path) or {}
        missing = [name for name in config.fitness.proxies if name not in known]
        if not missing:
            return path
        with parts.evaluator() as evaluator:
            with Progress("gammas", None, unit="network", shown=not quiet) as progress:
                evaluator.prepare(interrupt.after(progress.to))
            frame = _frame(evaluator, architectures)
            known = _aligned(known, frame["key"], path)
            planned = evaluator.planned() if config.sample is None else []
            for names, measure in (
                ([name for name in missing if name in planned], partial(_walked, evaluator)),
                ([name for name in missing if name not in planned], partial(_evaluated, evaluator, architectures)),
            ):
                known |= _complete(folder.path / "pieces", names, frame, measure, interrupt, quiet)
        save(path, {**frame, **known})
    return path


def _aligned(known: Arrays, keys: np.ndarray, path: Path) -> Arrays:
    """Returns the columns of scores of an existing table in the order of the keys.

    A table of an earlier version may have several keys of one network, with equal scores.

    Raises:
        RunError: If the table lacks a key.
    """
    rows = {key: row for row, key in enumerate(known["key"].tolist())} if known else {}
    columns = [column for name in score_names(known) for column in (name, f"{name}{FAILURE}")]
    missing = [key for key in keys.tolist() if key not in rows] if columns else []
    if missing:
        raise RunError(f"{path} has no row of {missing[0]!r}; tabulate under another name (--set name=...)")
    at = [rows[key] for key in keys.tolist()] if columns else []
    return {column: known[column][at] for column in columns}


def _claim(folder: RunFolder, parts: Assembly, architectures: Sequence[str]) -> None:
    """Writes the identity of the table into the folder, or checks the identity that is there.

    Raises:
        RunError: If the folder holds another table.
    """
    config = parts.config
    chosen = settings(config)
    proxies = chosen["fitness"]["proxies"]
    frame = [
        {name: chosen[name] for name in LASTING},
        chosen["fitness"]["weights"],
        # A score of the published kind has every genotype measured by itself, whatever its key.
        parts.raw,
        parts.batch.fingerprint,
        list(architectures),
    ]
    wanted = {"version": 2, "identity": _digest(frame)}
    scores = {name: _digest(values) for name, values in proxies.items()}
    path = folder.path / "table.json"
    try:
        found: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else dict(wanted)
        there: dict[str, str] = dict(found.pop("scores", {})) if found is not None else {}
        if found is not None:
            found.pop("code", None)
    except (ValueError, TypeError, AttributeError):
        found, there = None, {}
    what = None if found == wanted else "configuration"
    what = what or next((name for name in scores if there.get(name, scores[name]) != scores[name]), None)
    if what is not None:
        raise RunError(
            f"{folder.path} holds a table of another {what}; give this one another name (--set name=...), or remove {folder.path}"
        )
    # A score that is new in an existing table is recorded, and what was measured before is compared.
    code, recorded = parts.code(), recorded_code(path)
    new = {score_code(name) for name in scores.keys() - there.keys()} if path.exists() else set(code)
    check_code(path, recorded, {what: mark for what, mark in code.items() if what not in new})
    if not path.exists() or scores.keys() - there.keys():
        # The configuration in the folder holds the parameters of all scores of the table.
        before = own_config(folder.config).fitness.proxies if folder.config.exists() else {}
        fitness = config.fitness.model_copy(update={"proxies": {**before, **config.fitness.proxies}})
        folder.write_config(config.model_copy(update={"fitness": fitness}))
        code = {what: mark for what, mark in code.items() if what in new or what in recorded}
        replace_text(path, json.dumps({**wanted, "scores": there | scores, **({"code": recorded | code} if code else {})}) + "\n")


def _digest(content: Any) -> str:
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()


def _frame(evaluator: Evaluator, architectures: Sequence[Genotype]) -> Arrays:
    """Returns the arrays that describe the rows."""
    space = evaluator.space
    of = [evaluator.key(genotype) for genotype in architectures]
    keys = {key: i for i, key in enumerate(dict.fromkeys(of))}
    return {
        "space": np.array(space.name),
        "architecture": np.array([space.notation(genotype) for genotype in architectures]),
        "row": np.array([keys[key] for key in of]),
        "key": np.array(list(keys)),
        "notation": np.array([space.notation(evaluator.network_of(key)) for key in keys]),
    }


def _complete(folder: Path, names: Sequence[str], frame: Arrays, measure: Measure, interrupt: Interrupt, quiet: bool) -> Arrays:
    """Returns the columns of the named scores; pieces of an earlier session are read from their files."""
    pieces: dict[str, dict[str, Arrays]] = {}
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
        kept = {path.stem: load(path) for path in sorted((folder / name).glob("*.npz"))}
        # A damaged piece is measured again.
        pieces[name] = {stem: piece for stem, piece in kept.items() if piece is not None}
    # Scores that lack the same pieces are measured together; an interruption between two files makes them differ.
    groups: dict[frozenset[str], list[str]] = {}
    for name in names:
        groups.setdefault(frozenset(pieces[name]), []).append(name)
    networks = len(set(frame["notation"].tolist()))
    for done, group in groups.items():
        ready = sum(len(piece["notation"]) for piece in pieces[group[0]].values())
        title = ", ".join(group) if len(group) <= 3 else f"{len(group)} scores"
        with Progress(title, networks, initial=ready, unit="network", shown=not quiet) as progress:
            for stem, piece in measure(group, set(done), interrupt.after(progress.advance)):
                for name, arrays in piece.items():
                    save(folder / name / f"{stem}.npz", arrays)
                    pieces[name][stem] = arrays
    columns: Arrays = {}
    for name in names:
        columns |= _column(name, list(pieces[name].values()), frame["notation"])
    return columns


def _column(name: str, pieces: Sequence[Arrays], notations: np.ndarray) -> Arrays:
    """Returns one score for all keys, looked up by the notations of their networks."""
    joined = {part: np.concatenate([piece[part] for piece in pieces]) for part in ("notation", "score", "failure")}
    rows = {notation: row for row, notation in enumerate(joined["notation"].tolist())}
    at = [rows[notation] for notation in notations.tolist()]
    return {name: joined["score"][at], f"{name}{FAILURE}": joined["failure"][at]}


def _piece(notations: Sequence[str], found: Sequence[float | str]) -> Arrays:
    """Returns a piece from scores, and reasons where a score failed."""
    return {
        "notation": np.array(notations),
        "score": np.array([np.nan if isinstance(value, str) else six_digits(value) for value in found]),
        "failure": np.array([value if isinstance(value, str) else "" for value in found]),
    }


def _evaluated(
    evaluator: Evaluator, architectures: Sequence[Genotype], names: Sequence[str], done: set[str], step: Callable[[], None]
) -> Iterator[tuple[str, Piece]]:
    """Measures networks one by one through the cache, `PIECE` networks per piece."""
    space = evaluator.space
    # One genotype per network; several keys may build the same network.
    networks = {space.notation(evaluator.network_of(key)): (key, genotype) for key, genotype in keyed(evaluator, architectures)}
    notations = list(networks)
    for start in range(0, len(notations), PIECE):
        if f"{start:08d}" in done:
            continue
        chosen = notations[start : start + PIECE]
        evaluations = []
        for evaluation in evaluator.evaluate([networks[notation] for notation in chosen], names):
            evaluations.append(evaluation)
            step()
        found = {name: [one.failures[name] if name in one.failures else one.scores[name] for one in evaluations] for name in names}
        yield f"{start:08d}", {name: _piece(chosen, values) for name, values in found.items()}


def _walked(evaluator: Evaluator, names: Sequence[str], done: set[str], step: Callable[[], None]) -> Iterator[tuple[str, Piece]]:
    """Measures the whole space, one subtree per piece."""
    space = evaluator.space
    proxies = {name: evaluator.proxies[name] for name in names}
    finished = {prefix for prefix in subtrees(space) if _stem(prefix) in done}
    for subtree in score_with(evaluator.pool, space, proxies, done=finished):
        notations = [space.notation(tuple(int(gene) for gene in row)) for row in subtree.genotypes]
        yield _stem(subtree.prefix), {name: _piece(notations, subtree.values(name, proxies[name])) for name in names}
        for _ in notations:
            step()


def _stem(prefix: Genotype) -> str:
    return "-".join(map(str, prefix))
