"""Time of scores that read gradients or the batch's statistics, beside public code for the same score.

    python -m benchmarks public_scores [--cells 12] [--rounds 3] [--images 16] [--scores NAME ...] [--quick]

    public    the score by the steps of public code in plain PyTorch (`public_forms`), including building the network with
              torch's own initialisation: of the cell as it is searched here (without dead edges), and of the raw cell
    ours      the score through the evaluator's measurer, including building the network and drawing its weights

    bounds    public code beside the convolutions alone that the score cannot leave out (`convolution_calls`): as torch's calls,
              which bound all code that calls torch, whatever it does around them, and as calls of our compiled kernels
    share     these calls of our kernels in our time

Random nats_tss cells that have a path, noise images, one thread, no cache of scores. Every score, cell and method takes turns, so
that drift of the machine affects all of them equally. The ratio is the median over cells of the medians over rounds; the range is
that of the middle half of the cells. Values are compared in float64 on the same weights, on as many cells as are timed, where
nothing random differs (zen draws its own weights and noise).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.machine.convolution_calls import calls_of, needs, seconds_of
from benchmarks.machine.public_forms import FORMS
from benchmarks.machine.speed_methods import networks, noise, scored, threads
from benchmarks.shared.output import markdown, write
from rbflex_evo.fitness import Proxy, create_proxy
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.measurer import Measurer
from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.spaces import Genotype, SearchSpace, create_space

SETTINGS: dict[str, dict[str, Any]] = {"naswot": {"statistics": "batch"}}
# Its own weights and noise differ from ours.
OWN_DRAWS = {"zen"}


def score_of(measurer: Measurer, proxy: Proxy, genotype: Genotype) -> float:
    """Returns the score of one genotype.

    Raises:
        RuntimeError: If the network has no score, because a failure may take almost no time.
    """
    (measured,) = measurer.measure([(genotype, {proxy.name: proxy})])
    if measured.failures:
        raise RuntimeError(f"{proxy.name}: {measured.failures[proxy.name]}")
    return proxy.score(measured.statistics[proxy.name])


def measurer_of(space: SearchSpace, batch: Batch, precision: str = "float32") -> Measurer:
    """Returns the measurer of our scores, with the backend that users get."""
    return Measurer(Conditions.of(space, batch, device="cpu", backend="auto", precision=precision))


def methods(space: SearchSpace, name: str, images: Tensor, labels: Tensor) -> dict[str, Callable[[Genotype], float]]:
    """Returns the timed calls of one score by their names."""
    proxy = create_proxy(name, **SETTINGS.get(name, {}))
    measurer = measurer_of(space, Batch(images, labels))

    def public(genotype: Genotype) -> float:
        return FORMS[name](space.build(genotype).train(), images, labels)  # type: ignore[arg-type]

    return {
        "public": lambda genotype: public(scored(space, genotype)),
        "public_raw": public,
        "ours": lambda genotype: score_of(measurer, proxy, scored(space, genotype)),
    }


def convolutions(space: SearchSpace, names: Sequence[str], cells: Sequence[Genotype], batch: Batch) -> dict[str, Any]:
    """Returns seconds [cells] of the convolutions that each score needs, by torch and by our kernels."""
    images, functions = batch.images, partial(measurer_of(space, batch).interpreter.backend.functions, lean=True)
    found: dict[str, dict[str, list[float]]] = {name: {"torch": [], "kernels": []} for name in names}
    for cell in cells:
        network = space.build(scored(space, cell)).eval()
        with torch.no_grad():
            classes = network(images[:1]).shape[1]
        calls = calls_of(network, images)
        for name, seconds in found.items():
            needed = needs(len(images), classes)[name]
            seconds["torch"].append(seconds_of(calls, needed, len(images)))
            seconds["kernels"].append(seconds_of(calls, needed, len(images), functions))
    return found


def seconds(space: SearchSpace, names: Sequence[str], cells: Sequence[Genotype], batch: Batch, rounds: int) -> dict[str, Any]:
    """Returns seconds [rounds][cells] by score and method, after one call of each on every cell that is not counted."""
    assert batch.labels is not None
    every = {name: methods(space, name, batch.images, batch.labels) for name in names}
    taken = {name: {method: np.zeros((rounds + 1, len(cells))) for method in found} for name, found in every.items()}
    for turn in range(rounds + 1):
        for i, cell in enumerate(cells):
            for name, found in every.items():
                for method, run in found.items():
                    started = time.process_time()
                    run(cell)
                    taken[name][method][turn, i] = time.process_time() - started
    return {name: {method: values[1:] for method, values in found.items()} for name, found in taken.items()}


def differences(space: SearchSpace, names: Sequence[str], cells: Sequence[Genotype], batch: Batch) -> dict[str, float]:
    """Returns the largest relative difference of our scores to the public form's, in float64 on the same weights."""
    assert batch.labels is not None
    images, found = batch.images.double(), {}
    measurer = measurer_of(space, batch, "float64")
    for name in names:
        proxy = create_proxy(name, **SETTINGS.get(name, {}))
        worst = 0.0
        for cell in cells:
            genotype = scored(space, cell)
            network = build_initialised(space, genotype, WeightParameters()).double().train()
            theirs = FORMS[name](network, images, batch.labels)  # type: ignore[arg-type]
            worst = max(worst, abs(score_of(measurer, proxy, genotype) / theirs - 1))
        found[name] = worst
    return found


def rows(taken: Mapping[str, Any], needed: Mapping[str, Any], differing: Mapping[str, float]) -> list[list[Any]]:
    """Returns a line for each score."""
    lines = []
    for name, found in taken.items():
        medians = {method: np.median(values, axis=0) for method, values in found.items()}
        ours, public = medians["ours"], medians["public"]
        low, high = np.quantile(public / ours, [0.25, 0.75])
        shown = f"{differing[name]:.0e}" if name in differing else ""
        ms = [1000 * float(np.median(medians[method])) for method in ("public_raw", "public", "ours")]
        alone = {kind: np.array(seconds) for kind, seconds in needed[name].items()}
        ratios = (medians["public_raw"] / ours, public / alone["torch"], public / alone["kernels"])
        raw, by_torch, by_kernels = (float(np.median(ratio)) for ratio in ratios)
        share = f"{np.median(alone['kernels'] / ours):.0%}"
        lines.append(
            [name, *ms, float(np.median(public / ours)), f"{low:.2f} .. {high:.2f}", raw, by_torch, by_kernels, share, shown]
        )
    return lines


def main(options: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=12, help="random cells")
    parser.add_argument("--rounds", type=int, default=3, help="timed calls of each method on each cell")
    parser.add_argument("--images", type=int, default=16, help="images")
    parser.add_argument("--scores", nargs="+", choices=FORMS, default=list(FORMS), help="scores to compare")
    parser.add_argument("--quick", action="store_true", help="one cell, one round, a narrow space")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results"), help="folder for the results")
    given = parser.parse_args(options)
    space = create_space("nats_tss", channels=4, cells=1) if given.quick else create_space("nats_tss")
    cells = networks(space, 1 if given.quick else given.cells, seed=1)
    images = torch.from_numpy(noise(4 if given.quick else given.images, 32))
    batch = Batch(images, torch.from_numpy(np.random.default_rng(1).integers(0, 10, len(images))))
    with threads(1):
        taken = seconds(space, given.scores, cells, batch, 1 if given.quick else given.rounds)
        needed = convolutions(space, given.scores, cells, batch)
        differing = differences(space, [name for name in given.scores if name not in OWN_DRAWS], cells, batch)
    columns = ["score", "public, raw cell, ms", "public, ms", "ours, ms", "times as fast", "middle half", "beside raw"]
    columns += ["bound by torch", "bound by kernels", "share", "differs"]
    title = f"Scores beside public code: {len(cells)} nats_tss cells, {len(images)} images of noise, one thread, float32"
    content = {
        "seconds": {name: {method: v.tolist() for method, v in found.items()} for name, found in taken.items()},
        "convolutions": needed,
        "differences": differing,
    }
    write(given.folder, "public_scores", title, markdown(columns, rows(taken, needed, differing)), content)


if __name__ == "__main__":
    main()
