"""Cost of a score: seconds a network in one process without a cache, and seconds before the first network."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from tqdm import tqdm

from rbflex_evo.fitness import PROXIES
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.evaluation import keyed
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import Evaluator

from .samples import sample
from .score_tables import Choice, Scores


@dataclass(frozen=True)
class Seconds:
    """Seconds before the first network (detection of gammas), and seconds a network."""

    before: float
    network: float

    def search(self, evaluations: int) -> float:
        """Returns the scoring time of a search."""
        return self.before + evaluations * self.network


def measure(scores: Scores, choices: Sequence[Choice], batch: Batch, networks: int) -> dict[str, Seconds]:
    """Times each choice on random networks; the members of a preset are scored together, as in a search.

    Scores use the parameters of the table.
    """
    chosen = [scores.space.at(int(index)) for index in sample(scores.space.name, networks + 1, seed=1)]
    config = scores.config
    parameters = {} if config is None else config.fitness.proxies
    found = {}
    for choice in tqdm(choices, f"seconds of scores on {scores.space.name}", disable=None):
        proxies = {name: PROXIES.get(name)(parameters.get(name)) for name in choice.members}
        with Evaluator(Conditions.of(scores.space, batch), proxies, workers=1) as evaluator:
            started = time.perf_counter()
            evaluator.prepare()
            before = time.perf_counter() - started
            # The first network also initialises libraries.
            list(evaluator.evaluate(keyed(evaluator, chosen[:1])))
            started = time.perf_counter()
            list(evaluator.evaluate(keyed(evaluator, chosen[1:])))
            found[choice.label] = Seconds(before, (time.perf_counter() - started) / networks)
    return found
