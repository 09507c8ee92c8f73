"""A Ray cluster of three machines, all of them this one, and what happens to searches on it. Run it in a network of its own.

python -m benchmarks.shared.loopback python -m tests.support.ray_scenes FOLDER     prints a JSON object with what was seen
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.shared import loopback
from rbflex_evo.engine import Callback, Search, parse_config
from rbflex_evo.engine.configuration.assembly import Assembly
from rbflex_evo.fitness import create_batch, create_proxy
from rbflex_evo.fitness.evaluation import keyed
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import Evaluator
from rbflex_evo.fitness.measuring.executors.executor import Executor, ExecutorLost, WorkerError
from rbflex_evo.fitness.measuring.executors.local import Local
from rbflex_evo.fitness.measuring.executors.ray import Ray, RayParameters, RayPool
from rbflex_evo.fitness.measuring.executors.station import Surroundings
from rbflex_evo.fitness.measuring.whole_space import score_with
from rbflex_evo.fitness.passes.device import Card
from rbflex_evo.spaces import SPACES, create_space
from tests.support.instant import journal_without_times
from tests.support.interrupted import spawn, wait_for_bytes
from tests.support.perilous import Perilous

EVALUATIONS = 16
MANY = {"space": {"name": "nats_tss", "channels": 4, "cells": 1}, "budget": {"evaluations": 1000}}
# A killed machine is noticed in a second, and a killed head in some more.
IMPATIENT = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 200,
    "health_check_failure_threshold": 3,
    "gcs_rpc_server_reconnect_timeout_s": 1,
}


def settings(runs: Path, name: str, **changes: Any) -> dict[str, Any]:
    values = {
        "name": name,
        "space": {"name": "perilous", "fate": "SIGKILL"},
        "data": {"source": "noise", "shape": [3, 8, 8], "n": 4},
        "fitness": {"proxies": {"naswot": {}}},
        "strategy": "random",
        "budget": {"evaluations": EVALUATIONS},
        "micro_batch": 1,
        "cache": "off",
        "runs": str(runs),
    }
    return {**values, **changes}


class At(Callback):
    """Does something after a number of evaluations."""

    def __init__(self, evaluations: int, act: Callable[[], Any]) -> None:
        self.evaluations, self.act = evaluations, act

    def on_evaluation(self, evaluation: Any, progress: Any) -> None:
        if progress.evaluations == self.evaluations:
            self.act()


def run(values: dict[str, Any], *callbacks: Callback) -> dict[str, Any]:
    result = Search(parse_config(values), quiet=True, report=False, callbacks=callbacks).run()
    return {"journal": journal(result.folder), "facts": result.document["evaluator"]}


def run_on(values: dict[str, Any], changes: dict[int, tuple[Callable[[], Any], int]]) -> dict[str, Any]:
    """Runs a search whose machines change.

    Args:
        values: Settings of the search.
        changes: By a number of evaluations, what changes the machines then, and the number of workers that is awaited.
    """
    config = parse_config(values)
    with Assembly(config).measuring() as (evaluator, provenance):
        assert isinstance(evaluator, Evaluator)

        def change(act: Callable[[], Any], workers: int) -> None:
            act()
            deadline = time.monotonic() + 60
            while evaluator.workers != workers and time.monotonic() < deadline:
                os.sched_yield()
            counts.append(evaluator.workers)

        counts: list[int] = []
        callbacks = [At(evaluations, partial(change, *given)) for evaluations, given in changes.items()]
        result = Search(config, evaluator, provenance=provenance, quiet=True, report=False, callbacks=callbacks).run()
    return {"journal": journal(result.folder), "facts": result.document["evaluator"], "workers": counts}


def journal(folder: Path) -> list[Any]:
    return [{k: v for k, v in line.items() if k != "crc"} for line in journal_without_times(folder)]


def kill(node: Any) -> None:
    """Kills the processes of a machine, and their children, at once."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    chosen = {one.process.pid for group in node.all_processes.values() for one in group}
    while more := {pid for pid, parent in parents.items() if parent in chosen} - chosen:
        chosen |= more
    for pid in chosen:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def refusal(address: str, **changes: Any) -> str:
    """Returns why a pool of other settings does not begin."""
    pool = Ray(RayParameters(address=address)).open(print, [], count=1, cards=[Card(torch.device("cpu"))])
    try:
        RayPool(replace(pool.job, **changes)).begin()
    except WorkerError as error:
        return str(error)
    return "none"


def of_functions(executor: Executor) -> list[Any]:
    """Returns scores of a space and by a score that only this function knows."""
    shift = 0.5

    class Here(Perilous):
        pass

    class Shifted(type(create_proxy("naswot"))):  # type: ignore[misc]
        def score(self, statistics: Any) -> float:
            return float(super().score(statistics) + shift)

    conditions = Conditions.of(Here(Perilous.Parameters()), create_batch("noise", shape=[3, 8, 8], n=4), device="cpu")
    with Evaluator(conditions, {"naswot": Shifted()}, workers=2, executor=executor) as one:
        return [evaluation.scores for evaluation in one.evaluate(keyed(one, [(0, 0), (0, 1)]))]


def of_a_walk(executor: Executor) -> list[float]:
    """Returns the scores of a subtree of a whole space."""
    score = create_proxy("naswot")
    conditions = Conditions.of(create_space("nats_tss", channels=4, cells=1), create_batch("noise", shape=[3, 8, 8], n=4))
    done = set(itertools.product(range(5), repeat=4)) - {(1, 2, 3, 4)}
    with Evaluator(conditions, {"naswot": score}, workers=1, executor=executor) as one:
        (subtree,) = score_with(one.pool, conditions.space, {"naswot": score}, done=done, genes=4)
    return [round(float(value), 9) for value in subtree.scores("naswot", score)]


def stopped(values: dict[str, Any], number: int, before: Callable[[], Any] = list, size: int = 20_000) -> dict[str, Any]:
    """Returns how a search ends that gets a signal, and its journal when it was resumed with local workers.

    Args:
        values: The configuration.
        number: The signal.
        before: Called right before the signal is sent.
        size: Bytes of the journal when it is sent.
    """
    folder = Path(values["runs"]) / values["name"]
    file = folder.with_suffix(".yaml")
    file.write_text(json.dumps(values))
    process = spawn([sys.executable, "-m", "rbflex_evo", "search", str(file)])
    wait_for_bytes(process, folder / "journal.jsonl", size)
    before()
    os.killpg(process.pid, number)
    _, said = process.communicate()
    evaluations = len(journal(folder)) - 1
    return {"code": process.returncode, "said": said.splitlines()[-3:], "evaluations": evaluations, **resumed(folder)}


def resumed(folder: Path) -> dict[str, Any]:
    search = Search.from_folder(folder, overrides=["executor=local", "workers=1"], quiet=True)
    return {"resumed": journal(search.run().folder)}


def main(runs: Path) -> None:
    from ray.cluster_utils import Cluster

    SPACES._known["perilous"] = Perilous
    seen: dict[str, Any] = {
        "one process": run(settings(runs, "one", workers=1)),
        "two processes": run(settings(runs, "two", workers=2)),
        "many": run(settings(runs, "many", workers=1, **MANY)),
    }
    seen["functions"], seen["walk"] = [of_functions(Local())], [of_a_walk(Local())]
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, "_system_config": IMPATIENT})
    executor = {"executor": {"name": "ray", "address": cluster.address}}

    added: list[Any] = []

    def add() -> None:
        added.append(cluster.add_node())

    seen["one machine, then three"] = run_on(settings(runs, "grown", **executor), {3: (add, 2), 6: (add, 3)})
    seen["a machine of three is killed"] = run_on(settings(runs, "killed", **executor), {5: (lambda: kill(added[0]), 2)})

    there = Ray(RayParameters(address=cluster.address))
    seen["functions"].append(of_functions(there))
    seen["walk"].append(of_a_walk(there))
    surroundings = Surroundings.here()
    other = replace(surroundings, versions={**surroundings.versions, "torch": "1.0"})
    seen["another version"] = refusal(cluster.address, surroundings=other)
    seen["no room"] = refusal(cluster.address, num_cpus=64.0, patience=0.5)

    crowded = {"executor": {**executor["executor"], "num_cpus": 64}}
    seen["before the first worker"] = stopped(settings(runs, "crowded", **MANY, **crowded), signal.SIGTERM, size=1)
    other = cluster.add_node(resources={"other": 1})
    scarce = {"executor": {**executor["executor"], "resources": {"other": 1}}}
    seen["when all workers have gone"] = stopped(settings(runs, "left", **MANY, **scarce), signal.SIGTERM, lambda: kill(other))

    seen["Ctrl-C"] = stopped(settings(runs, "stopped", **MANY, **executor), signal.SIGINT)
    try:
        run(settings(runs, "headless", **MANY, **executor), At(60, lambda: kill(cluster.head_node)))
    except ExecutorLost as lost:
        evaluations = len(journal(runs / "headless")) - 1
        seen["the head is killed"] = {"error": str(lost), "code": lost.exit_code, "evaluations": evaluations}
    seen["the head is killed"] |= resumed(runs / "headless")
    print(json.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    sys.stdout.flush()
    loopback.end_neighbours()
    os._exit(0)
