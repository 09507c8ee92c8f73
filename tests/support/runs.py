"""Folders of small runs that are written by hand."""

import json

import yaml

from rbflex_evo.engine.run.journal import encode, evaluation_line, header_line
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import create_space

CELLS = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|",
    "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|avg_pool_3x3~2|",
    "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
)
DEAD = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
SCORES = ({"rbflex": -8000.5, "naswot": 790.25}, {"rbflex": -8500.0, "naswot": 810.0}, {"rbflex": -9000.0, "naswot": 640.0})
ACCURACIES = (94.25, 91.5, 85.0)


def evaluations():
    space = create_space("nats_tss")
    scored = [(space.parse(cell), scores, {}) for cell, scores in zip(CELLS, SCORES, strict=True)]
    dead = (space.parse(DEAD), {}, dict.fromkeys(SCORES[0], "no path from input to <output>"))
    return [Evaluation(g, space.key(g), scores, failures, 0.1) for g, scores, failures in (*scored, dead)]


def write_run(folder, told, *, finished=True, table=True, name="quick", **config):
    """Writes a run's folder as the engine leaves it; the first of `told` is the found one."""
    folder.mkdir(exist_ok=True)
    values = {
        "name": name,
        "space": "nats_tss",
        "data": {"source": "noise", "n": 16},
        "fitness": {"proxies": {"rbflex": {}, "naswot": {}}, "objective": {"rank": ["rbflex", "naswot"], "rule": "log"}},
        "strategy": {"name": "genetic", "population": 50},
        "budget": {"evaluations": 4},
        "seed": 7,
    }
    if table:
        lines = [f"{cell},{accuracy}" for cell, accuracy in zip(CELLS, ACCURACIES, strict=True)]
        (folder / "known.csv").write_text("\n".join(["notation,accuracy", *lines]), encoding="utf-8")
        values["table"] = {"source": "csv", "path": str(folder / "known.csv"), "dataset": "cifar10"}
    (folder / "config.yaml").write_text(yaml.safe_dump({**values, **config}, sort_keys=False), encoding="utf-8")
    lines = [header_line(identity="1"), *(evaluation_line("evaluation", i, e, i / 2 + 1) for i, e in enumerate(told))]
    (folder / "journal.jsonl").write_bytes(b"".join(map(encode, lines)))
    if finished:
        (folder / "result.json").write_text(json.dumps(result_of(told, table)), encoding="utf-8")
    return folder


def result_of(told, table):
    space = create_space("nats_tss")
    top = [
        {"genotype": list(e.genotype), "notation": space.notation(e.genotype), "key": e.key, "scores": dict(e.scores)}
        for e in told
        if not e.failures
    ]
    known = {"name": "csv", "dataset": "cifar10", "accuracy": 94.25, "percentile": 98.76}
    known |= {"best": 94.5, "best_notation": CELLS[1], "mean": 87.125}
    return {
        "version": 1,
        "name": "quick",
        "space": "nats_tss",
        "stop_reason": "the budget of 4 evaluations is spent",
        "finished": True,
        "best": top[0] if top else None,
        "top": top,
        "counts": {"unique": len(told), "failed": len(told) - len(top), "proposed": 9, "known": 5},
        "time_seconds": 12.5,
        "evaluator": {"device": "cpu", "workers": 2, "gammas": {"k": 2.5e-10, "q": 3.25e-09}, "from_cache": 3},
        "table": known if table and top else None,
        "environment": {"python": "3.12.1", "torch": "2.9.0", "machine": "a machine"},
    }
