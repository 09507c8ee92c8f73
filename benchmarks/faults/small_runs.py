"""Small searches for the campaigns: their configurations, their reference journals, and their resumption."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from .children import Ended, calling, command, problem, run
from .trials import Found, Outcome, Place

SPACES: tuple[dict[str, Any], ...] = ({"name": "toy", "genes": 12, "choices": 5}, {"name": "nats_tss"})
STRATEGIES: tuple[dict[str, Any], ...] = (
    {"name": "genetic", "population": 20},
    {"name": "regularised_evolution", "population": 20, "tournament": 5},
    {"name": "random"},
)
RESUMPTIONS = 5


def configuration(rng: np.random.Generator, evaluations: int = 100, **changes: Any) -> dict[str, Any]:
    """Returns a random one of a few configurations, so that few reference runs are needed."""
    return {
        "name": "run",
        "space": SPACES[rng.integers(len(SPACES))],
        "data": {"source": "noise", "shape": [3, 8, 8], "n": 6, "seed": 0},
        "fitness": {
            "proxies": {"rbflex": {"gamma": "hda", "networks": 3}, "naswot": {}},
            "objective": {"rank": ["rbflex", "naswot"]},
        },
        "strategy": STRATEGIES[rng.integers(len(STRATEGIES))],
        "budget": {"evaluations": evaluations},
        "seed": int(rng.integers(2)),
        "device": "cpu",
        "workers": 1,
        "cache": "off",
        "runs": "runs",
        **changes,
    }


def written(values: Mapping[str, Any], folder: Path, runs: Path | None = None) -> Path:
    """Writes a configuration into a folder, whose run is in `runs` or by default in the same folder, and returns its path."""
    path = folder / "search.yaml"
    path.write_text(yaml.safe_dump({**values, "runs": str(runs or folder)}, sort_keys=False), encoding="utf-8")
    return path


def searching(config: Path, report: bool = False) -> Callable[[], int]:
    """Returns the work of the command `search`; without its report, it takes a tenth of the time."""
    if report:
        return command("search", str(config))

    def work() -> None:
        from rbflex_evo.engine.search.search import Search

        search = Search.from_yaml(config, quiet=True)
        search.report = False
        search.run()

    return calling(work)


def resuming(folder: Path, config: Path, report: bool = False) -> Callable[[], int]:
    """Returns the work of the command `resume`, or of `search` if the run has no journal yet."""
    if not (folder / "journal.jsonl").exists() or not (folder / "config.yaml").exists():
        return searching(config, report)
    if report:
        return command("resume", str(folder))

    def work() -> None:
        from rbflex_evo.engine.search.search import Search

        search = Search.from_folder(folder, quiet=True)
        search.report = False
        search.run()

    return calling(work)


def journal(folder: Path) -> list[dict[str, Any] | str]:
    """Returns the lines of a run's journal without their times; a line that is damaged as it is."""
    path = folder / "journal.jsonl"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    return [_timeless(line) for line in lines]


def _timeless(line: str) -> dict[str, Any] | str:
    try:
        return {name: value for name, value in json.loads(line).items() if not name.startswith("time_")}
    except (ValueError, AttributeError):
        return line


def reference(values: Mapping[str, Any], place: Place) -> list[dict[str, Any] | str]:
    """Returns the journal of an undisturbed run; it is made once for each configuration of a campaign."""
    values = {**values, "workers": 1, "cache": "off"}
    name = hashlib.sha256(json.dumps({**values, "runs": ""}, sort_keys=True).encode()).hexdigest()[:16]
    folder = place.shared / f"reference-{name}"
    if not (folder / "run" / "result.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        ended = run(searching(written(values, folder)), folder, 300)
        if ended.code != 0:
            raise RuntimeError(f"the undisturbed run {folder} failed: {ended.errors}")
    return journal(folder / "run")


def first_difference(found: list[dict[str, Any] | str], expected: list[dict[str, Any] | str]) -> str:
    """Returns where two journals part, or an empty text if they are equal."""
    for number, (mine, other) in enumerate(zip(found, expected, strict=False), start=1):
        if mine != other:
            return f"line {number}: {mine!r:.300} instead of {other!r:.300}"
    return "" if len(found) == len(expected) else f"{len(found)} lines instead of {len(expected)}"


def resumed(
    folder: Path, expected: list[dict[str, Any] | str], work: Path, detail: str, faults: int = 1, report: bool = False
) -> Found:
    """Resumes a run until it ends well, at most a few times, and compares its journal with the expected one.

    The configuration is `search.yaml` in the folder `work`.
    """
    ended = Ended(None, "")
    for _ in range(RESUMPTIONS):
        ended = run(resuming(folder, work / "search.yaml", report), work, 120)
        wrong = problem(ended)
        if wrong is not None:
            return Found(wrong.outcome, f"{detail}; resumed: {wrong.detail}", faults)
        if ended.code == 0:
            break
    if ended.code != 0:
        return Found(Outcome.LOST, f"{detail}; {RESUMPTIONS} times resumed: {ended.errors.strip()[-500:]}", faults)
    difference = first_difference(journal(folder), expected)
    return Found(Outcome.OTHER_JOURNAL if difference else Outcome.SAME, f"{detail}; {difference}" if difference else detail, faults)
