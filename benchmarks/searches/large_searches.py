"""Searches of up to 100,000 evaluations in large spaces, killed and resumed on the way, and strategies at 10,000.

    python -m benchmarks large_searches [PART ...] [--spaces mobilenet darts autoformer_small] [--minutes 60] [--run FOLDER ...]

Parts, in this order; each goes on where it was stopped, and the same command continues with the next one:

    search    one search in each space under the limits of its worked configuration, by a preset and in a cheaper form (see
              `PRESETS` and `FORMS`; --preset and --fidelity name others). It is killed twice, and stopped when the time is over
    check     the same search without an interruption, as far as 2,000 evaluations, whose journal is compared
    compare   five strategies at 10,000 evaluations in a cheap form (see `COMPARED`)
    table     the table of the runs so far, and of runs that --run names: large_searches.md and .json

`--minutes` is the time of this call. A part takes what is left of it, so name a later one to begin it before. Reports evaluations
per second and resident memory of each process over the run, restarts, and the regret of the first 1,000, 10,000 and 100,000
evaluations: the utility of the best of them beside the best of the whole run, both ranked among the whole run. Strategies are
ranked among all that any of them evaluated. Nothing is kept in the cache. `--quick` is a smoke test.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.shared.output import markdown, write
from benchmarks.shared.watched import samples_of, sessions_of, watch
from rbflex_evo.engine.configuration.assembly import Assembly
from rbflex_evo.engine.configuration.config import Config, as_values, load_config
from rbflex_evo.engine.configuration.form import cheap_form
from rbflex_evo.engine.configuration.yaml_reader import write_value
from rbflex_evo.engine.run.folder import own_config, replace_text
from rbflex_evo.engine.run.journal import read_journal
from rbflex_evo.engine.run.result_document import read_result
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.objective.archive import ArchiveView
from rbflex_evo.fitness.objective.objective import Objective

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("search", "check", "compare", "table")
EVALUATIONS, CHECKED, COMPARISON = 100_000, 2_000, 10_000
REGRETS = (1_000, 10_000, 100_000)
KILLS = 2
WINDOWS = 5
REGRET_COLUMNS = ("regret_at_tenth", "regret")
# Presets and forms of the long search; `rbflex-evo fidelity` says what a form keeps of the order in full.
PRESETS = {"mobilenet": "rbflex_naswot", "darts": "rbflex_robust", "autoformer_small": "rbflex_robust"}
FORMS: dict[str, dict[str, Any]] = {
    "mobilenet": {"size": 64},
    "darts": {"space": {"channels": 18}},
    "autoformer_small": {"size": 112},
}
# Cheap forms in which strategies are compared.
COMPARED: dict[str, dict[str, Any]] = {
    "mobilenet": {"size": 32, "n": 8},
    "darts": {"size": 16, "n": 8, "space": {"channels": 8, "layers": 8}},
    "autoformer_small": {"size": 32, "n": 8},
}
# Settings of the smoke test.
SMALL = {"space.size": 64, "data.shape": [3, 64, 64]}
STRATEGIES = ("large_space_evolution", "regularised_evolution", "annealing", "genetic", "random")
STRATEGY = "large_space_evolution"


def configured(space: str, options: argparse.Namespace, name: str, form: dict[str, Any], strategy: str, budget: int) -> Config:
    """Returns a search of a space in a form, with everything else as in its worked configuration."""
    chosen = {
        "name": name,
        "runs": options.runs.as_posix(),
        "cache": "off",
        "strategy": strategy,
        "budget": {"evaluations": budget},
        "fitness.preset": options.preset or PRESETS[space],
        "fidelity": {**form, "rescore": options.rescore},
        "workers": options.workers or "auto",
        **(SMALL if options.quick else {}),
    }
    return load_config(ROOT / "configs" / f"{space}_search.yaml", [f"{key}={_yaml(value)}" for key, value in chosen.items()])


def _yaml(value: Any) -> str:
    # JSON is YAML, but a name is read as it is written.
    return value if isinstance(value, str) else json.dumps(value)


def written(config: Config) -> Path:
    """Writes a configuration beside its run's folder and returns the path."""
    path = config.folder.with_name(f"{config.name}.yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, write_value(as_values(config)))
    return path


def searched(space: str, options: argparse.Namespace, name: str = "") -> Config:
    """Returns the long search of a space."""
    form = options.fidelity or FORMS[space]
    return configured(space, options, name or space, form, options.strategy, options.evaluations)


def compared(space: str, options: argparse.Namespace, strategy: str) -> Config:
    """Returns the search of one strategy in the cheap form; nothing is scored again in full."""
    name = f"{space}-{strategy}"
    return cheap_form(configured(space, options, name, COMPARED[space], strategy, options.comparison))


def done(config: Config) -> bool:
    """Returns whether a search is finished."""
    return read_result(config.folder / "result.json") is not None


def run_search(config: Config, seconds: float) -> None:
    """Runs or resumes the long search for so long; it is killed twice in equal distances, and stopped at the end."""
    path, deadline = written(config), time.monotonic() + seconds
    for left in range(KILLS, -1, -1):
        if done(config):
            return
        share = max(0.0, deadline - time.monotonic()) / (left + 1)
        print(f"{config.name}: {watch(path, config.folder, share, 'killed' if left else 'stopped')}", flush=True)


def run_plain(config: Config, deadline: float, most: int | None = None) -> bool:
    """Runs or resumes a search until it is finished, has so many evaluations, or the time is over; returns whether it got there."""
    if done(config) or (most is not None and len(read_journal(config.folder / "journal.jsonl").evaluations) >= most):
        return True
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        return False
    session = watch(written(config), config.folder, seconds, "stopped", most)
    print(f"{config.name}: {session}", flush=True)
    return session.ending == "finished" or (most is not None and session.ended_with >= most)


def same_lines(one: Path, other: Path, count: int) -> tuple[int, bool]:
    """Returns how many of the first evaluations of two journals were compared, and whether these are equal but for times."""
    told = [read_journal(path / "journal.jsonl").evaluations[:count] for path in (one, other)]
    number = min(map(len, told))
    lines = [[(e.genotype, e.key, dict(e.scores), dict(e.failures), dict(e.costs)) for e in each[:number]] for each in told]
    return number, lines[0] == lines[1]


def regrets(objective: Objective, told: Sequence[Evaluation], counts: Sequence[int]) -> list[dict[str, float]]:
    """Returns for each count the regret of the best of the first evaluations, ranked among all, and its place among all."""
    whole = ArchiveView.among(objective, told)
    order = {key: place for place, key in enumerate(whole.ranking(), 1)}
    best = float(whole.utility([whole.ranking()[0]])[0])
    found = []
    for count in counts:
        first = ArchiveView.among(objective, told[:count]).incumbent()
        if first is not None:
            utility = float(whole.utility([first.key])[0])
            found.append({"evaluations": count, "regret": best - utility, "place": order[first.key]})
    return found


def windows(run: Path, arrivals: Sequence[float]) -> Iterator[dict[str, Any]]:
    """Yields evaluations per second in equal parts of a run, and the largest resident memory in each of them.

    Args:
        run: Folder of the run.
        arrivals: Seconds of searching until each evaluation, without the time between sessions.
    """
    samples = [sample for sample in samples_of(run) if sample.resident]
    size = max(1, -(-len(arrivals) // WINDOWS))
    for start in range(0, len(arrivals), size):
        end = min(start + size, len(arrivals))
        seconds = arrivals[end - 1] - (arrivals[start - 1] if start else 0.0)
        held = [sample.resident for sample in samples if start < sample.evaluations <= end]
        yield {
            "evaluations": end,
            "per_second": (end - start) / seconds if seconds else 0.0,
            "search_mib": max((each[0] for each in held), default=None),
            "worker_mib": max((max(each[1:]) for each in held if each[1:]), default=None),
        }


def facts_of(run: Path) -> dict[str, Any]:
    """Returns how far a long search came.

    Args:
        run: Folder of the run.
    """
    config, content = own_config(run / "config.yaml"), read_journal(run / "journal.jsonl")
    told, sessions = content.evaluations, sessions_of(run)
    # Without a record of sessions, the seconds of searching are known, but not those of starting again.
    seconds = sum(session.seconds for session in sessions) or content.seconds
    counts = [count for count in REGRETS if count < len(told)] + [len(told)]
    result = read_result(run / "result.json")
    rescoring = None if result is None or result.rescoring is None else result.rescoring.model_dump(mode="json")
    return {
        "run": run.name,
        "space": config.space.name,
        "strategy": config.strategy.name,
        "scores": list(Assembly(config).objective.scores),
        "fidelity": None if config.fidelity is None else config.fidelity.form,
        "budget": config.budget.evaluations,
        "evaluations": len(told),
        "seconds": seconds,
        "per_second": len(told) / seconds if seconds else 0.0,
        "sessions": [session.ending for session in sessions],
        "windows": list(windows(run, content.arrivals)),
        "regrets": regrets(Assembly(config).objective, told, counts) if told else [],
        "rescoring": rescoring,
    }


def checked(space: str, options: argparse.Namespace) -> str:
    """Returns how the long search compares with one that was not interrupted, as a sentence."""
    number, same = same_lines(searched(space, options).folder, searched(space, options, f"{space}-whole").folder, options.checked)
    if not number:
        return "Not yet compared with an uninterrupted run."
    return f"The first {number:,} evaluations are {'equal to' if same else 'DIFFERENT FROM'} those of an uninterrupted run."


def compared_facts(space: str, options: argparse.Namespace) -> dict[str, Any]:
    """Returns how far the strategies came in one space."""
    configs = {name: compared(space, options, name) for name in STRATEGIES}
    runs = {name: read_journal(config.folder / "journal.jsonl").evaluations for name, config in configs.items()}
    objective = Assembly(configs[STRATEGY]).objective
    return {"space": space, "form": COMPARED[space], "strategies": _strategies(objective, runs)}


def _strategies(objective: Objective, runs: dict[str, list[Evaluation]]) -> list[dict[str, Any]]:
    """Returns for each strategy the regret of its best, after a tenth of its evaluations and after all, ranked among all runs."""
    pool = {evaluation.key: evaluation for told in runs.values() for evaluation in told}
    if not pool:
        return []
    view = ArchiveView.among(objective, pool.values())
    best = float(view.utility([view.ranking()[0]])[0])
    found = []
    for name, told in runs.items():
        ends = dict(zip(REGRET_COLUMNS, (len(told) // 10, len(told)), strict=True))
        chosen = {label: ArchiveView.among(objective, told[:count]).incumbent() for label, count in ends.items() if count}
        found.append(
            {"strategy": name, "evaluations": len(told)}
            | {label: best - float(view.utility([e.key])[0]) for label, e in chosen.items() if e is not None}
        )
    return found


def table(options: argparse.Namespace) -> None:
    """Writes the tables of all runs so far."""
    mine = {space: searched(space, options).folder for space in options.spaces}
    known = {space: run for space, run in mine.items() if (run / "journal.jsonl").exists()}
    long = [facts_of(run) for run in (*known.values(), *options.run)]
    checks = [checked(space, options) for space in known] + [""] * len(options.run)
    strategies = [compared_facts(space, options) for space in options.spaces]
    texts = []
    for facts, check in zip(long, checks, strict=True):
        texts += _long_text(facts, check)
    for facts in strategies:
        rows = [[s["strategy"], s["evaluations"], *(s.get(name, "") for name in REGRET_COLUMNS)] for s in facts["strategies"]]
        if rows:
            head = ["strategy", "evaluations", "regret of the first tenth", "regret"]
            texts += [f"{facts['space']}: strategies in the form {facts['form']}", markdown(head, rows)]
    write(options.folder, "large_searches", "Large searches", "\n\n".join(texts), {"long": long, "strategies": strategies})


def _long_text(facts: dict[str, Any], check: str) -> list[str]:
    sessions = f" in {len(facts['sessions'])} sessions ({', '.join(facts['sessions'])})" if facts["sessions"] else ""
    head = (
        f"{facts['space']}, {' + '.join(facts['scores'])}, {facts['strategy']}, form {facts['fidelity'] or 'full'}: "
        f"{facts['evaluations']:,} of {facts['budget']:,} evaluations, {facts['per_second']:.2f} per second over "
        f"{facts['seconds'] / 60:.1f} minutes{sessions}. {check}"
    )
    rows = [[part["evaluations"], part["per_second"], *_memory(part)] for part in facts["windows"]]
    places = [[f"{each['evaluations']:,}", each["regret"], each["place"]] for each in facts["regrets"]]
    return [
        head.strip(),
        markdown(["evaluations", "per second", "search MiB", "largest worker MiB"], rows),
        markdown(["best of the first", "regret", "place in the run"], places),
    ]


def _memory(part: dict[str, Any]) -> list[Any]:
    return ["" if part[name] is None else part[name] for name in ("search_mib", "worker_mib")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the parts that are asked for; returns 1 if time was over before all of them were done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--spaces", nargs="+", choices=list(FORMS), default=list(FORMS))
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--strategy", default=STRATEGY, choices=STRATEGIES)
    parser.add_argument("--fidelity", type=json.loads, help="another form of the long search, as JSON: '{\"size\": 96}'")
    parser.add_argument("--rescore", type=int, default=100)
    parser.add_argument("--evaluations", type=int, default=EVALUATIONS)
    parser.add_argument("--checked", type=int, default=CHECKED)
    parser.add_argument("--comparison", type=int, default=COMPARISON)
    parser.add_argument("--preset", help="another preset of the searches")
    parser.add_argument("--workers", type=int, help="number of workers; one a core by default")
    parser.add_argument("--run", type=Path, nargs="+", default=[], help="folders of other runs that the table has, too")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--runs", type=Path, default=Path("runs/large_searches"))
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(arguments)
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"no part {unknown[0]!r}; choose from {', '.join(PARTS)}")
    if options.quick:
        options.spaces, options.fidelity = ["mobilenet"], {"size": 32, "n": 2}
        options.evaluations, options.checked, options.comparison, options.rescore = 40, 20, 10, 3
    parts = options.parts or PARTS
    deadline = time.monotonic() + 60 * options.minutes
    complete = True
    for space in options.spaces if "search" in parts else ():
        left = [one for one in options.spaces[options.spaces.index(space) :] if not done(searched(one, options))]
        if space in left:
            run_search(searched(space, options), (deadline - time.monotonic()) / len(left))
            complete &= done(searched(space, options))
    for space in options.spaces if "check" in parts else ():
        complete &= run_plain(searched(space, options, f"{space}-whole"), deadline, options.checked)
    for space in options.spaces if "compare" in parts else ():
        for strategy in STRATEGIES:
            complete &= run_plain(compared(space, options, strategy), deadline)
    if "table" in parts:
        table(options)
    return 0 if complete else 1


if __name__ == "__main__":
    raise SystemExit(main())
