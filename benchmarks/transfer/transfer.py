"""Scores and presets on networks of known accuracy of unlike spaces: which of them transfer.

    python -m benchmarks transfer --benchdata FOLDER [--networks 300] [--minutes 60] [--seeds 0] [--workers 2]
                                  [--settings nats_tss darts] [--scores rbflex layered 'naswot_batch=naswot{"statistics":"batch"}']
    python -m benchmarks transfer --benchdata FOLDER --judge                 only reads transfer.npz and writes table and heat map
    python -m benchmarks transfer --benchdata FOLDER --time 5                seconds of each score on five networks of each setting

A fixed random sample of each setting's networks (`numpy.random.default_rng(--sample)`) is measured, with `--images` inputs each,
images or `--noise`, in chunks that take the settings in turn. Statistics go into the user's cache, so that the same command resumes
after any stop and a larger one measures only what is new. Accuracies are joined to finished scores when transfer.npz is written. It
holds everything that the judging and `choose_preset` read.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.shared.output import markdown, write
from benchmarks.shared.samples import run
from benchmarks.shared.score_tables import Choice
from rbflex_evo.engine.agreement.kendall import Statistic
from rbflex_evo.engine.run.environment import environment
from rbflex_evo.fitness import PROXIES, create_proxy
from rbflex_evo.spaces import ConfigError, Genotype
from rbflex_evo.spaces.errors import listed, near_name

from . import stored
from .judged import by_seed, choices, complete, families, figures
from .measuring import Chunk, Plan, Scored, Session, chunks, measured
from .picture import draw_heat_map
from .settings import SETTINGS, Setting

# A score that takes much longer than all others is measured only when it is named.
EXPENSIVE = ("eproxy",)
LABELLED = re.compile(r"(?:(?P<label>[\w.-]+)=)?(?P<name>\w+)(?P<parameters>\{.*\})?")
SAVED_EVERY = 60.0


def scores_of(texts: Sequence[str] | None) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Returns registered name and parameters by label from texts such as ``layered`` and ``nb=naswot{"statistics": "batch"}``.

    Raises:
        ConfigError: If a text is no such score, or a label occurs twice.
        UnknownNameError: If a score is not registered.
    """
    found: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for text in texts or [name for name in PROXIES.names() if name not in EXPENSIVE]:
        match = LABELLED.fullmatch(text)
        try:
            parameters = json.loads(match["parameters"] or "{}") if match else None
        except json.JSONDecodeError:
            parameters = None
        if match is None or parameters is None:
            raise ConfigError(f'{text!r} is no score; expected a name, or label=name{{"parameter": value}}')
        create_proxy(match["name"], **parameters)
        label = match["label"] or match["name"]
        if label in found:
            raise ConfigError(f"two scores are called {label!r}; give one of them another label: label={text}")
        found[label] = match["name"], parameters
    return found


def settings_of(names: Sequence[str] | None) -> list[Setting]:
    """Returns the settings of those names whose space exists; a line is printed for each other one.

    Raises:
        ConfigError: If a name is unknown or nothing is left.
    """
    for name in names or ():
        if name not in SETTINGS:
            raise ConfigError(f"no setting {name!r}{near_name(name, SETTINGS)}; known are {listed(list(SETTINGS))}")
    chosen = [SETTINGS[name] for name in names or SETTINGS]
    for setting in chosen:
        if not setting.exists:
            print(f"{setting.name} is left out: there is no space {setting.space!r}")
    found = [setting for setting in chosen if setting.exists]
    if not found:
        raise ConfigError("no setting is left; name one whose space exists")
    return found


class Matrix:
    """Scores that arrive in chunks, and the file that they are written to.

    Args:
        options: Options of the command.
        scores: Registered name and parameters by label.
        settings: Settings that are measured.
    """

    def __init__(self, options: argparse.Namespace, scores: Mapping[str, Any], settings: Sequence[Setting]) -> None:
        self.options, self.proxies, self.labels, self.seeds = options, scores, tuple(scores), tuple(options.seeds)
        self.settings = {setting.name: setting for setting in settings}
        self.spaces = {setting.name: setting.create(options.quick) for setting in settings}
        self.samples: dict[str, list[Genotype]] = {}
        self.positions: dict[str, list[int]] = {}
        self.refused: dict[str, dict[str, int]] = {}
        for name, setting in self.settings.items():
            found = setting.sample(options.benchdata, self.spaces[name], options.networks, options.sample)
            self.positions[name], self.samples[name], self.refused[name] = found.positions, found.genotypes, found.refused
        shape = len(self.seeds), len(self.labels)
        self.scores = {name: np.full((shape[0], len(one), shape[1]), np.nan) for name, one in self.samples.items()}
        self.measured = {name: np.zeros((shape[0], len(one)), dtype=bool) for name, one in self.samples.items()}
        self.reasons: dict[str, dict[str, Counter[str]]] = {name: {} for name in self.samples}
        self.seconds: dict[str, list[float]] = {name: [] for name in self.samples}
        self.costs: dict[str, np.ndarray] = {}

    def take(self, chunk: Chunk, scored: Scored) -> None:
        """Keeps the scores of a chunk."""
        name, seed = chunk.setting, self.seeds.index(chunk.seed)
        for i, (values, failures) in enumerate(zip(scored.values, scored.failures, strict=True), start=chunk.start):
            self.measured[name][seed, i] = True
            self.scores[name][seed, i] = [values.get(label, np.nan) for label in self.labels]
            for label, why in failures.items():
                self.reasons[name].setdefault(label, Counter())[why] += 1
        self.seconds[name] += [each for each in scored.seconds if each]

    def write(self, path: Path) -> stored.Transfer:
        """Joins the known accuracies and writes the file."""
        found = stored.Transfer(self.labels, self.seeds, {name: self._joined(name) for name in self.settings}, self.document())
        stored.write(path, found)
        return found

    def document(self) -> dict[str, Any]:
        """Returns the conditions as plain data."""
        quick = self.options.quick
        return {
            "settings": {
                name: {
                    "family": one.family,
                    "space": one.space,
                    "form": {**one.form, **(one.small if quick else {})},
                    "pixels": one.side,
                    "note": one.note,
                    "choosing": one.choosing,
                    "refused": self.refused[name],
                    "seconds": float(np.mean(self.seconds[name])) if self.seconds[name] else None,
                }
                for name, one in self.settings.items()
            },
            "scores": {label: [name, dict(parameters)] for label, (name, parameters) in self.proxies.items()},
            "inputs": 4 if quick else self.options.images,
            "noise": self.options.noise,
            "sample": self.options.sample,
            "environment": environment(),
        }

    def _joined(self, name: str) -> stored.Measurements:
        space, genotypes = self.spaces[name], self.samples[name]
        if name not in self.costs:
            costs = [space.costs(genotype) for genotype in genotypes]
            self.costs[name] = np.array([[cost.params, cost.flops] for cost in costs], dtype=np.float64).reshape(-1, 2)
        positions = np.array(self.positions[name], dtype=np.int64)
        known = self.settings[name].accuracies(self.options.benchdata, space)
        return stored.Measurements(
            positions,
            np.array([space.notation(genotype) for genotype in genotypes]),
            self.scores[name],
            self.costs[name][:, 0],
            self.costs[name][:, 1],
            np.array(list(known)),
            np.array([values[positions] for values in known.values()]),
            self.measured[name],
            {label: dict(why) for label, why in self.reasons[name].items()},
        )


def measure(options: argparse.Namespace) -> stored.Transfer:
    """Measures until everything is done or the minutes are over, and writes transfer.npz every minute and at the end."""
    scores = scores_of(options.scores)
    matrix = Matrix(options, scores, settings_of(options.settings))
    plan = Plan(options.benchdata, scores, options.quick, images=options.images, noise=options.noise)
    wanted = list(chunks(matrix.samples, matrix.seeds, options.chunk))
    total = sum(len(chunk.genotypes) for chunk in wanted)
    until = time.monotonic() + 60 * options.minutes
    path = options.folder / "transfer.npz"
    saved = time.monotonic()
    try:
        with (
            tqdm(total=total, desc="networks", disable=None) as shown,
            closing(measured(plan, iter(wanted), options.workers, until)) as arriving,
        ):
            for chunk, scored in arriving:
                matrix.take(chunk, scored)
                shown.update(len(chunk.genotypes))
                if time.monotonic() - saved > SAVED_EVERY:
                    matrix.write(path)
                    saved = time.monotonic()
    finally:
        found = matrix.write(path)
        print(f"scores are in {path}")
    return found


def report_seconds(options: argparse.Namespace) -> None:
    """Measures the processor time of every score alone and of all together, without a cache, and writes the table."""
    scores = scores_of(options.scores)
    rows: dict[str, dict[str, float]] = {label: {} for label in ("all together", *scores)}
    settings = settings_of(options.settings)
    for setting in settings:
        space = setting.create(options.quick)
        genotypes = setting.sample(options.benchdata, space, options.time + 2, options.sample).genotypes
        for label in tqdm(rows, f"seconds on {setting.name}", disable=None):
            chosen = scores if label == "all together" else {label: scores[label]}
            with closing(Session(Plan(options.benchdata, chosen, options.quick, None, options.images, options.noise))) as session:
                # The first networks pay for the start of libraries and the calibration.
                session.score(Chunk(setting.name, 0, 0, tuple(genotypes[:2])))
                started = time.process_time()
                session.score(Chunk(setting.name, 0, 2, tuple(genotypes[2:])))
                rows[label][setting.name] = (time.process_time() - started) / max(1, len(genotypes) - 2)
                if label in session.refused[setting.name]:
                    rows[label][setting.name] = float("nan")
    table = markdown(["score", *(s.name for s in settings)], [[label, *one.values()] for label, one in rows.items()])
    title = f"Processor seconds a network, {options.time} networks of each setting, one process, no cache; nan: not served"
    write(options.folder, "transfer_seconds", title, table, {"seconds": rows})


def report(found: stored.Transfer, folder: Path) -> None:
    """Judges every score and preset, and writes the table, its JSON and the heat map.

    Raises:
        ConfigError: If no setting has two measured networks.
    """
    if not families(found, choosing=False):
        raise ConfigError("no setting has two measured networks; give the command more --minutes")
    judged = {choice: figures(found, choice) for choice in choices(found)}
    # Presets first; each group in the order of its mean.
    order = sorted(judged, key=lambda choice: (not choice.preset, -judged[choice].mean))
    columns = list(judged[order[0]].by_task)
    names = [f"{setting}, {task}" if len(found.settings[setting].tasks) > 1 else setting for setting, task in columns]
    of_families = list(judged[order[0]].by_family)
    labels = [f"preset {choice.label}" if choice.preset else choice.label for choice in order]
    values = np.array([[judged[choice].by_task[column] for column in columns] for choice in order])
    summary = np.array([[judged[choice].mean, judged[choice].worst] for choice in order])
    rows = [
        [label, *_shown(summary[i]), *_shown([judged[choice].by_family[family] for family in of_families])]
        for i, (label, choice) in enumerate(zip(labels, order, strict=True))
    ]
    tasks = [[label, *_shown(values[i])] for i, label in enumerate(labels)]
    failed = [
        [name, label, count, why]
        for name, one in found.settings.items()
        for label, of in one.reasons.items()
        for why, count in of.items()
    ]
    seeds = _seeds(found, dict(zip(labels, order, strict=True)))
    text = "\n\n".join(
        (
            markdown(["Kendall", "mean", "worst", *of_families], rows),
            markdown(["Kendall", *names], tasks),
            *(
                [markdown(["setting", "Kendall", *(f"seed {seed}" for seed in found.seeds), "mean of seeds"], seeds)]
                if seeds
                else []
            ),
            markdown(["setting", "networks", "seconds a network", "size"], _sizes(found)),
            markdown(["setting", "score", "networks", "why they have no score"], failed),
        )
    )
    inputs = f"{found.document['inputs']} {'noise inputs' if found.document['noise'] else 'images'}"
    title = f"Scores and presets by setting: {inputs}, weight seeds {', '.join(map(str, found.seeds))}"
    content = {
        choice.label: {
            "mean": judged[choice].mean,
            "worst": judged[choice].worst,
            "families": judged[choice].by_family,
            "tasks": {name: _known(judged[choice].by_task[column]) for name, column in zip(names, columns, strict=True)},
        }
        for choice in order
    }
    write(folder, "transfer", title, text, {"figures": content, "conditions": found.document})
    draw_heat_map(values, labels, names, summary, ["mean", "worst"], folder / "transfer", title)


def _seeds(found: stored.Transfer, chosen: Mapping[str, Choice]) -> list[list[str]]:
    """Returns a row for each task and score: tau of every seed and of the mean over them; no row if there is one seed."""
    if len(found.seeds) < 2:
        return []
    rows = []
    for label, choice in chosen.items():
        for (setting, task), each in by_seed(found, choice).items():
            # Seeds that have not finished have no figure yet.
            shown = [_interval(one) for one in each[:-1]]
            missing = [""] * (len(found.seeds) - len(shown))
            rows.append([f"{setting}, {task}", label, *shown, *missing, _interval(each[-1])])
    return sorted(rows)


def _interval(found: Statistic) -> str:
    if found.value is None:
        return "-"
    return f"{found.value:.3f}" + ("" if found.low is None else f" ({found.low:.3f} .. {found.high:.3f})")


def _shown(values: Any) -> list[str]:
    return [f"{value:.3f}" if np.isfinite(value) else "-" for value in values]


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _sizes(found: stored.Transfer) -> list[list[Any]]:
    rows = []
    for name, one in found.settings.items():
        facts = found.document["settings"][name]
        seconds = "" if facts["seconds"] is None else f"{facts['seconds']:.2f}"
        form = ", ".join(f"{key} {value}" for key, value in facts["form"].items())
        rows.append([name, int(complete(one).sum()), seconds, "; ".join(filter(None, (form, facts["note"])))])
    return rows


def command(options: argparse.Namespace) -> None:
    if options.time:
        report_seconds(options)
        return
    report(stored.read(options.folder / "transfer.npz") if options.judge else measure(options), options.folder)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchdata", type=Path, required=True, help="folder of known accuracies and images")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results"), help="where transfer.npz and tables go")
    parser.add_argument("--settings", nargs="+", help=f"only these: {', '.join(SETTINGS)}")
    parser.add_argument("--scores", nargs="+", help="only these; every registered one but eproxy by default")
    parser.add_argument("--networks", type=int, default=300, help="networks of each setting")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="minutes after which no chunk is begun")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="seeds of the weights, one after the other")
    parser.add_argument("--images", type=int, default=16, help="inputs of each setting")
    parser.add_argument("--noise", action="store_true", help="N(0, 1) noise in place of images")
    parser.add_argument("--sample", type=int, default=0, help="seed of the sample of networks")
    parser.add_argument("--chunk", type=int, default=8, help="networks that are measured before the next setting's turn")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--judge", action="store_true", help="measure nothing; judge the scores that transfer.npz holds")
    parser.add_argument("--time", type=int, default=0, metavar="N", help="only time each score on N networks of each setting")
    parser.add_argument("--quick", action="store_true", help="smoke test with thin networks and four images")
    run(parser, command, arguments)


if __name__ == "__main__":
    main()
