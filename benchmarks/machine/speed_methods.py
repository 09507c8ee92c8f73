"""The ways to score one network that `speed` compares, and the interleaved timing of them.

    for each round: for each network: for each method: run it once      any drift of the machine affects all methods equally
                    for each pool of workers: all networks, in micro-batches as a search submits them

The rate of a method in a round is networks / seconds; the median over the rounds is reported.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rbflex_evo.fitness import create_proxy
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import score_block
from rbflex_evo.fitness.measuring.measurer import Measured, Measurer
from rbflex_evo.fitness.measuring.workers import Workers
from rbflex_evo.fitness.passes.device import PRECISIONS
from rbflex_evo.fitness.planned.backends import create_backend
from rbflex_evo.fitness.proxies.rbflex.score import PUBLISHED_GAMMAS
from rbflex_evo.spaces import ConfigError, Genotype, SearchSpace

RBFLEX = create_proxy("rbflex", gamma="flat")
PROXIES = {"rbflex": RBFLEX}
WORKERS = 2
# Candidates that a worker takes at once, as in a search (`Evaluator`).
MICRO_BATCH = 8
# Times that a pool measures every network in a round. More passes reduce the effect of the last micro-batch, when one worker idles.
PASSES = 8


@dataclass(frozen=True)
class Method:
    """One way to score a network on a number of torch threads."""

    threads: int
    run: Callable[[Genotype], float]


class Unplanned:
    """A space without plans, so that the general path is used, as for any plug-in."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space

    def __getattr__(self, name: str) -> Any:
        return getattr(self._space, name)

    def plan(self, genotype: Genotype, input_shape: Sequence[int]) -> None:
        """Returns None always."""


def noise(n: int, size: int, seed: int = 0) -> np.ndarray:
    """Returns N(0, 1) images, float32 [n, 3, size, size]."""
    return np.random.default_rng(seed).standard_normal((n, 3, size, size), dtype=np.float32)


def networks(space: SearchSpace, count: int, seed: int = 0) -> list[Genotype]:
    """Returns random genotypes, as a search proposes them, that have a path from input to output."""
    rng = np.random.default_rng(seed)
    found: list[Genotype] = []
    while len(found) < count:
        genotype = space.encoding.sample(rng)
        if any(scored(space, genotype)):
            found.append(genotype)
    return found


def scored(space: SearchSpace, genotype: Genotype) -> Genotype:
    """Returns the representative of the genotype's key, which a search measures. The published procedure uses the raw genotype."""
    return space.representative(space.key(genotype))


def published(space: SearchSpace, images: Tensor, genotype: Genotype) -> float:
    """Returns N (log|K| + log|Q|) (eq. 1-7) as the published code computes it, in its fastest form.

    The raw network in training mode, one image after another; the outputs of modules whose class name contains "ReLU" and the
    classifier's input as float64 matrices N x L. Each row is written once and normalised in place.
    """
    network = space.build(genotype).to(images.device).train()
    outputs: list[Tensor] = []
    features: list[Tensor] = []
    for module in network.modules():
        if "ReLU" in type(module).__name__:
            module.register_forward_hook(lambda m, i, output: outputs.append(output.flatten()))
    space.classifier(network).register_forward_pre_hook(lambda m, i: features.append(i[0].flatten()))
    x = y = torch.empty(0)
    with torch.no_grad():
        for i, image in enumerate(images):
            outputs.clear()
            features.clear()
            network(image[None])
            if i == 0:
                sizes = (sum(map(len, rows)) for rows in (outputs, features))
                x, y = (torch.empty(len(images), size, dtype=torch.float64, device=images.device) for size in sizes)
            x[i] = torch.cat(outputs)
            y[i] = torch.cat(features)
    return len(images) * sum(log_determinant(rows, gamma) for rows, gamma in zip((x, y), PUBLISHED_GAMMAS, strict=True))


def published_as_written(space: SearchSpace, images: Tensor, genotype: Genotype) -> float:
    """Returns the same by every step of the published script, with nothing done in place.

    One extra forward to find the length of a row; the outputs of an image appended one by one, in float64; minima and maxima with
    their positions; a new matrix for each step of the normalisation.
    """
    network = space.build(genotype).to(images.device).train()
    rows: dict[str, Tensor] = {}

    def append(part: str, output: Tensor) -> None:
        rows[part] = torch.cat([rows[part], output.flatten()])

    for module in network.modules():
        if "ReLU" in type(module).__name__:
            module.register_forward_hook(lambda m, i, output: append("k", output))
    space.classifier(network).register_forward_pre_hook(lambda m, i: append("q", i[0]))

    def run(image: Tensor) -> dict[str, Tensor]:
        rows.update({part: torch.empty(0, dtype=torch.float64, device=images.device) for part in "kq"})
        network(image[None])
        return dict(rows)

    with torch.no_grad():
        first = run(images[0])
        matrices = {part: row.new_zeros(len(images), len(row)) for part, row in first.items()}
        for i, image in enumerate(images):
            for part, row in run(image).items():
                matrices[part][i] = row
        total = 0.0
        for matrix, gamma in zip(matrices.values(), PUBLISHED_GAMMAS, strict=True):
            low, high = matrix.min(dim=0, keepdim=True).values, matrix.max(dim=0, keepdim=True).values
            width = high - low
            width[width == 0] = 1
            total += kernel_log_determinant((matrix - low) / width, gamma)
    return len(images) * total


def log_determinant(rows: Tensor, gamma: float) -> float:
    """Returns log|K| of raw rows [N, L], which are normalised in place."""
    low, high = rows.amin(dim=0), rows.amax(dim=0)
    width = high.sub_(low)
    return kernel_log_determinant(rows.sub_(low).div_(width.masked_fill_(width == 0, 1.0)), gamma)


def kernel_log_determinant(rows: Tensor, gamma: float) -> float:
    """Returns log|K| of normalised rows [N, L]."""
    gram = rows @ rows.T
    norms = gram.diagonal()
    distances = (norms[:, None] + norms[None, :] - 2 * gram).clamp_(min=0)
    return float(torch.linalg.slogdet(torch.exp(-gamma * distances)).logabsdet)


def plain(space: SearchSpace, images: Tensor, genotype: Genotype) -> float:
    """Builds the network and runs it once on all images in training mode, as a baseline for the cost of a network."""
    network = space.build(genotype).train()
    with torch.no_grad():
        network(images)
    return 0.0


def scores_of(measured: Sequence[Measured]) -> list[float]:
    """Returns the rbflex score of each network, including the determinants.

    Raises:
        RuntimeError: if a network has no score. A failure may take almost no time, so it must not be timed as a score.
    """
    failures = [one.failures for one in measured if one.failures]
    if failures:
        raise RuntimeError(f"a network of the benchmark cannot be scored: {dict(failures[0])}")
    scores = score_block(RBFLEX, [one.statistics["rbflex"] for one in measured])
    found = [score for score in scores if not isinstance(score, str)]
    if len(found) < len(scores):
        raise RuntimeError(f"a network of the benchmark cannot be scored: {scores}")
    return found


def ours(space: SearchSpace, images: Tensor, precision: str, backend: str, *, planned: bool = True) -> Method:
    """Returns this project's method in this process, on one thread."""
    measured_space: Any = space if planned else Unplanned(space)
    measurer = Measurer(Conditions.of(measured_space, Batch(images), device="cpu", precision=precision, backend=backend))
    return Method(1, lambda genotype: scores_of(measurer.measure([(scored(space, genotype), PROXIES)]))[0])


def backends() -> list[str]:
    """Returns the backends that are available on this machine."""
    try:
        create_backend("compiled", torch.device("cpu"), torch.float32, torch.float32)
    except ConfigError:
        return ["eager"]
    return ["eager", "compiled"]


def cores() -> int:
    """Returns the number of threads meant by "all cores": two if available, else one."""
    return min(2, torch.get_num_threads())


def methods(space: SearchSpace, images: Tensor) -> dict[str, Method]:
    """Returns all methods that run in this process, by their name in the JSON."""
    found = {
        "published": Method(cores(), partial(published, space, images)),
        "published_one_thread": Method(1, partial(published, space, images)),
        "published_as_written": Method(cores(), partial(published_as_written, space, images)),
        "plain": Method(cores(), partial(plain, space, images)),
        "plain_one_thread": Method(1, partial(plain, space, images)),
        "generic_float32": ours(space, images, "float32", "eager", planned=False),
    }
    for backend in backends():
        for precision in PRECISIONS:
            found[f"batched_{backend}_{precision}"] = ours(space, images, precision, backend)
    return found


@contextlib.contextmanager
def pools(space: SearchSpace, images: Tensor) -> Iterator[dict[str, Workers]]:
    """Provides a pool of two worker processes for each backend; the workers start with their first task."""
    with contextlib.ExitStack() as stack:
        found = {}
        for backend in backends():
            pool = Workers(Conditions.of(space, Batch(images), device="cpu", backend=backend), WORKERS)
            stack.callback(pool.close)
            found[f"batched_{backend}_float32_two_workers"] = pool
        yield found


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Sets the number of torch threads within the context."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def seconds_of(method: Method, genotype: Genotype) -> float:
    """Returns the seconds of one call."""
    with threads(method.threads):
        started = time.perf_counter()
        method.run(genotype)
        return time.perf_counter() - started


def seconds_of_pool(pool: Workers, space: SearchSpace, genotypes: Sequence[Genotype]) -> float:
    """Returns the seconds to score all networks, submitted in micro-batches and scored here as they arrive."""
    started = time.perf_counter()
    requests = [(scored(space, genotype), PROXIES) for genotype in genotypes]
    blocks = [requests[i : i + MICRO_BATCH] for i in range(0, len(requests), MICRO_BATCH)]
    for future in as_completed([pool.submit(block) for block in blocks]):
        scores_of(future.result())
    return time.perf_counter() - started


def interleaved(
    space: SearchSpace,
    methods: Mapping[str, Method],
    pools: Mapping[str, Workers],
    genotypes: Sequence[Genotype],
    rounds: int,
    said: Callable[[str], None] = lambda text: None,
) -> dict[str, list[float]]:
    """Returns candidates/s by method and round, after a warm-up over all networks.

    Args:
        said: Called with a line of text after each round.
    """
    warm_up(space, methods, pools, genotypes)
    rates: dict[str, list[float]] = {name: [] for name in (*methods, *pools)}
    for number in range(1, rounds + 1):
        seconds = dict.fromkeys(methods, 0.0)
        for genotype in genotypes:
            for name, method in methods.items():
                seconds[name] += seconds_of(method, genotype)
        for name, total in seconds.items():
            rates[name].append(len(genotypes) / total)
        for name, pool in pools.items():
            many = list(genotypes) * PASSES
            rates[name].append(len(many) / seconds_of_pool(pool, space, many))
        said(f"round {number} of {rounds}")
    return rates


def warm_up(space: SearchSpace, methods: Mapping[str, Method], pools: Mapping[str, Workers], genotypes: Sequence[Genotype]) -> None:
    """Starts the workers and fills the caches that persist between candidates: drawn weights and oneDNN's kernels."""
    for name, method in methods.items():
        # The published procedure caches only oneDNN's kernels and is by far the slowest, so one network is enough.
        for genotype in genotypes[:1] if name.startswith("published") else genotypes:
            seconds_of(method, genotype)
    for pool in pools.values():
        # Either worker may take a task, so repeat the networks until each worker has seen most of them.
        seconds_of_pool(pool, space, list(genotypes) * 2 * WORKERS)


def repeated(method: Method, genotype: Genotype, budget: float = 2.0, most: int = 5) -> float:
    """Returns the median seconds of up to `most` calls within about `budget` seconds; the first call warms up if it is short."""
    first = seconds_of(method, genotype)
    times = [first] if first > budget else []
    while len(times) < most and (not times or sum(times) + first < budget):
        times.append(seconds_of(method, genotype))
    return float(np.median(times))
