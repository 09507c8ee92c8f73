"""A whole space scored once, into one npz: later comparisons and replays then need no network.

    runs/<name>-table/  config.yaml · table.json (what it is a table of) · pieces/*.npz (what is done) · scores.npz (all of it)

Where the space plans its forwards and every score watches one, the space is walked as a tree of what its networks have in
common (`fitness.exhaustive`); else networks are evaluated one by one through the cache. Either way the work is cut into pieces
that are written whole, so a table that was stopped anywhere goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from fitness.evaluation import Evaluation, six_digits
from fitness.evaluator import Evaluator, score_block
from fitness.exhaustive import score_all, subtrees
from spaces import ConfigError, Genotype, RunError

from . import setup
from .config import Config, settings
from .folder import RunFolder, opened, replace_text
from .progress import Progress

# What decides the numbers of a table.
LASTING = ("space", "data", "fitness", "precision", "device", "backend")
# Networks of a piece where nothing is shared.
PIECE = 256

Arrays = dict[str, np.ndarray]


def tabulate(config: Config, *, quiet: bool = False) -> Path:
    """Scores every key of the configuration's space by its proxies and returns the path of scores.npz.

    It holds ``key`` [K], ``notation`` [K] of the network that was built for the key, for each proxy its scores [K], float64,
    NaN where it failed, and ``<proxy>_failure`` [K], the reasons.

    Raises:
        ConfigError: if the space cannot be enumerated.
        RunError: if the folder holds a table of something else.
    """
    space = setup.space_of(config)
    try:
        next(iter(space.encoding.enumerate()))
    except NotImplementedError:
        raise ConfigError(f"{space.name} cannot be enumerated, so it has no table; search it instead") from None
    batch = setup.batch_of(config)
    with opened(config.folder.with_name(f"{config.folder.name}-table")) as folder:
        _claim(folder, config, batch.fingerprint)
        done = folder.path / "scores.npz"
        if done.exists():
            return done
        with setup.evaluator_of(config, space, batch) as evaluator:
            with Progress("gammas", None, unit="network", shown=not quiet) as progress:
                evaluator.prepare(progress.to)
            networks = {key: space.notation(evaluator.network_of(key)) for key in map(evaluator.key, space.encoding.enumerate())}
            pieces = _pieces(folder.path / "pieces", evaluator, networks, quiet)
        _save(done, _join(pieces, networks, list(config.fitness.proxies)))
    return done


def _claim(folder: RunFolder, config: Config, inputs: str) -> None:
    """Makes the folder this table's own.

    Raises:
        RunError: if it is another's.
    """
    chosen = settings(config)
    content = json.dumps([{name: chosen[name] for name in LASTING if name in chosen}, inputs], sort_keys=True)
    wanted = {"version": 1, "identity": hashlib.blake2b(content.encode(), digest_size=16).hexdigest()}
    path = folder.path / "table.json"
    try:
        found = json.loads(path.read_text()) if path.exists() else None
    except ValueError:
        found = "damaged"
    if found is None:
        folder.write_config(config)
        (folder.path / "pieces").mkdir(exist_ok=True)
        replace_text(path, json.dumps(wanted) + "\n")
    elif found != wanted:
        raise RunError(
            f"{folder.path} holds a table of another configuration; "
            f"give this one another name (--set name=...), or remove {folder.path}"
        )


def _pieces(folder: Path, evaluator: Evaluator, networks: Mapping[str, str], quiet: bool) -> list[Arrays]:
    """Returns all pieces, those of an earlier session from their files.

    Args:
        networks: the notation of the network that is built for each key.
    """
    kept = {path.stem: _load(path) for path in sorted(folder.glob("*.npz"))}
    found = {name: piece for name, piece in kept.items() if piece is not None}
    ready = sum(len(piece["notation"]) for piece in found.values())
    with Progress("table", len(set(networks.values())), initial=ready, unit="network", shown=not quiet) as progress:
        for name, piece in _measure(evaluator, networks, found):
            _save(folder / f"{name}.npz", piece)
            found[name] = piece
            for _ in piece["notation"]:
                progress.advance()
    return list(found.values())


def _measure(evaluator: Evaluator, networks: Mapping[str, str], done: Mapping[str, Arrays]) -> Iterator[tuple[str, Arrays]]:
    """Yields the pieces that are missing, by name."""
    if evaluator.plans_all():
        yield from _walked(evaluator, done)
        return
    keys = list({notation: key for key, notation in networks.items()}.values())
    genotypes = {evaluator.key(genotype): genotype for genotype in evaluator.space.encoding.enumerate()}
    for start in range(0, len(keys), PIECE):
        name = f"{start:08d}"
        if name not in done:
            chosen = keys[start : start + PIECE]
            evaluations = list(evaluator.evaluate([genotypes[key] for key in chosen]))
            yield name, _piece([networks[key] for key in chosen], evaluations, list(evaluator.proxies))


def _walked(evaluator: Evaluator, done: Mapping[str, Arrays]) -> Iterator[tuple[str, Arrays]]:
    space = evaluator.space
    skipped = {prefix for prefix in subtrees(space) if _name(prefix) in done}
    for subtree in score_all(
        space,
        evaluator.batch.images.numpy(),
        evaluator.proxies,
        weights=evaluator.weights,
        device=str(evaluator.device),
        precision=evaluator.precision,
        backend=evaluator.backend,
        workers=evaluator.workers,
        done=skipped,
    ):
        genotypes = [tuple(int(gene) for gene in row) for row in subtree.genotypes]
        piece: Arrays = {"notation": np.array([space.notation(genotype) for genotype in genotypes])}
        for name, proxy in evaluator.proxies.items():
            reasons = subtree.failures[name]
            there = [i for i in range(len(genotypes)) if i not in reasons]
            block = [{part: array[i] for part, array in subtree.statistics[name].items()} for i in there]
            values = {**reasons, **dict(zip(there, score_block(proxy, block), strict=True))}
            found = [values[i] for i in range(len(genotypes))]
            piece[name] = np.array([np.nan if isinstance(value, str) else six_digits(value) for value in found])
            piece[f"{name}_failure"] = np.array([value if isinstance(value, str) else "" for value in found])
        yield _name(subtree.prefix), piece


def _name(prefix: Genotype) -> str:
    return "-".join(map(str, prefix))


def _piece(notations: Sequence[str], evaluations: Sequence[Evaluation], proxies: Sequence[str]) -> Arrays:
    piece: Arrays = {"notation": np.array(notations)}
    for name in proxies:
        piece[name] = np.array([evaluation.scores.get(name, np.nan) for evaluation in evaluations])
        piece[f"{name}_failure"] = np.array([evaluation.failures.get(name, "") for evaluation in evaluations])
    return piece


def _join(pieces: Sequence[Arrays], networks: Mapping[str, str], proxies: Sequence[str]) -> Arrays:
    """Returns the whole table, a row a key."""
    whole = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    rows = {str(notation): row for row, notation in enumerate(whole["notation"])}
    at = [rows[notation] for notation in networks.values()]
    names = [column for name in proxies for column in (name, f"{name}_failure")]
    return {"key": np.array(list(networks)), **{name: whole[name][at] for name in ("notation", *names)}}


def _load(path: Path) -> Arrays | None:
    """Returns a piece, or None if its file is damaged: it is then measured again."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        path.unlink()
        return None


def _save(path: Path, arrays: Arrays) -> None:
    draft = path.with_name(f".{path.name}.new.npz")
    try:
        np.savez_compressed(draft, allow_pickle=False, **arrays)
        os.replace(draft, path)
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror or error}") from error
