"""An evaluator whose scores are a hash of the key: real, deterministic and instant. As a program, it runs one search with it."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rbflex_evo.engine.configuration.config import Config, parse_config
from rbflex_evo.engine.search.search import Search
from rbflex_evo.fitness.evaluation import Evaluation, six_digits
from rbflex_evo.spaces import Genotype, SearchSpace, create_space


class InstantEvaluator:
    """Scores a key by hashing it `rounds` times; one key in 16 fails. Counts what it was asked."""

    def __init__(self, space: SearchSpace, rounds: int = 1) -> None:
        self.space, self.rounds = space, rounds
        self.asked: list[str] = []
        self.prepared = 0

    def key(self, genotype: Genotype) -> str:
        return self.space.key(genotype)

    def prepare(self, progress: Callable[[int, int], None] | None = None) -> None:
        self.prepared += 1

    def evaluate(self, pairs: Sequence[tuple[str, Genotype]]) -> Iterator[Evaluation]:
        for key, genotype in pairs:
            self.asked.append(key)
            digest = key.encode()
            for _ in range(self.rounds):
                digest = hashlib.blake2b(digest, digest_size=8).digest()
            if digest[0] % 16 == 0:
                yield Evaluation(genotype, key, {}, {"naswot": "no path", "synflow": "no path"})
                continue
            first, second = int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:], "big")
            yield Evaluation(genotype, key, {"naswot": six_digits(first / 1e6), "synflow": six_digits(-second / 1e7)})

    def check_whole(self) -> None:
        """Does nothing: every architecture has a score."""

    def facts(self) -> dict[str, Any]:
        return {"device": "hash", "workers": 1, "measured": len(self.asked), "from_cache": 0}


def toy_config(runs: Path, **changes: Any) -> Config:
    """Returns a configuration over the toy space that any evaluator of naswot and synflow can serve."""
    values: dict[str, Any] = {
        "name": "run",
        "space": {"name": "toy", "genes": 12, "choices": 4},
        "data": {"source": "noise", "shape": [3, 8, 8], "n": 4},
        "fitness": {"proxies": {"naswot": {}, "synflow": {}}, "objective": {"rank": ["naswot", "synflow"]}},
        "strategy": {"name": "genetic", "population": 20},
        "budget": {"evaluations": 200},
        "workers": 1,
        "cache": "off",
        "runs": str(runs),
    }
    return parse_config({**values, **changes})


def instant_search(config: Config, rounds: int = 1) -> tuple[Search, InstantEvaluator]:
    """Returns a search without a report, and its evaluator."""
    evaluator = InstantEvaluator(create_space(config.space.name, **config.space.values), rounds)
    return Search(config, evaluator, quiet=True, report=False), evaluator


def journal_without_times(folder: Path) -> list[dict[str, Any]]:
    """Returns the lines of a run's journal without the fields that hold times."""
    lines = (folder / "journal.jsonl").read_bytes().split(b"\n")[:-1]
    return [{k: v for k, v in json.loads(line).items() if not k.startswith("time_")} for line in lines]


if __name__ == "__main__":
    # instant.py RUNS ROUNDS CHANGES: searches in this process until it is done or killed.
    search, _ = instant_search(toy_config(Path(sys.argv[1]), **json.loads(sys.argv[3])), int(sys.argv[2]))
    try:
        search.run()
    except KeyboardInterrupt as stopped:
        print(stopped)
        sys.exit(130)
