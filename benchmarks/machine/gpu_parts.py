"""Parts of `gpu`: each measures on one device until its time is over, and says what it left out."""

from __future__ import annotations

import contextlib
import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import kendalltau

from rbflex_evo.fitness import Proxy, create_proxy
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.evaluation import six_digits
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import score_block
from rbflex_evo.fitness.measuring.measurer import Measured, Measurer
from rbflex_evo.fitness.measuring.workers import Workers
from rbflex_evo.fitness.objective.presets import PRESETS
from rbflex_evo.fitness.passes.chains.stacked_forward import stackable
from rbflex_evo.fitness.passes.device import wait_for
from rbflex_evo.spaces import SPACES, ConfigError, Genotype, SearchSpace, create_space
from rbflex_evo.spaces.architecture.chain import chain_of

from .agreement import candidates, space_of
from .price import SHARED, proxies_of
from .speed_methods import PROXIES, noise, published, published_as_written

N = 16
COUNTS = (1, 4, 16, 64, 256)
# Networks of a space whose stages are counted.
CHAINS = 64
# Networks on which all numbers of candidates a call are compared that are not larger.
NETWORKS = 16
# Candidates of a space that are compared, by the time that there is.
LEAST, MOST = 3, 32
# Spaces of which throughput is measured, the most important first, with the pixels of their images.
MEASURED = {"nats_tss": 32, "mobilenet": 224, "autoformer_tiny": 224, "nasbench_macro": 32, "nats_sss": 32, "darts": 32}
COMPARED: dict[str, dict[str, Any]] = {
    "rbflex": {"gamma": "flat"}, "layered": {}, "naswot": {}, "naswot, batch": {"statistics": "batch"},
}  # fmt: skip
SINGLE: dict[str, dict[str, Any]] = {
    "rbflex": {}, "layered": {}, "naswot": {}, "az_expressivity": SHARED, "az_progressivity": SHARED, "synflow": {}, "swap": {},
    "az_trainability": {}, "meco": {}, "zen": {}, "jacob_cov": {}, "grad_norm": {}, "snip": {}, "zico": {}, "near": {}, "dextr": {},
    "intrain": {}, "l_swag": {}, "ni": {}, "fisher": {}, "grasp": {}, "gradsign": {}, "ntk_cond": {}, "vkdnw": {}, "eproxy": {},
}  # fmt: skip
PREFERRED = ("rbflex_robust", "rbflex_rank", "rbflex_search")


class Clock:
    """Time of a part.

    Args:
        seconds: The time.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Returns the seconds that are left, 0 if the time is over."""
        return max(0.0, self._end - time.monotonic())


@dataclass
class Part:
    """Rows of a table, each by column, and what was left out."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def trying(self, what: str) -> Iterator[None]:
        """Context in which an error becomes a row, so that the rest of a measurement that cannot be repeated goes on."""
        try:
            yield
        except Exception as error:
            self.rows.append({"what": what, "error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"})


def repeated(run: Callable[[], Any], device: torch.device, seconds: float, most: int = 5) -> float:
    """Returns the median seconds of calls within about so many seconds; the first one warms up if there is time for another."""

    def timed() -> float:
        wait_for(device)
        started = time.perf_counter()
        run()
        wait_for(device)
        return time.perf_counter() - started

    first = timed()
    times: list[float] = []
    while len(times) < most and first + sum(times) + first < seconds:
        times.append(timed())
    return float(np.median(times or [first]))


def measurer_of(space: SearchSpace, inputs: torch.Tensor, device: str, *, together: bool | None = None) -> Measurer:
    """Returns a measurer; `together` replaces whether the device computes candidates side by side."""
    measurer = Measurer(Conditions.of(space, Batch(inputs), device=device))
    measurer.together = measurer.together if together is None else together
    return measurer


def scores_by(proxies: Mapping[str, Proxy], found: Sequence[Measured]) -> dict[str, np.ndarray]:
    """Returns the scores [candidates] by name, NaN where a candidate failed."""
    result = {}
    for name, proxy in proxies.items():
        scores = np.full(len(found), np.nan)
        there = [i for i, one in enumerate(found) if name in one.statistics]
        values = score_block(proxy, [found[i].statistics[name] for i in there])
        for i, value in zip(there, values, strict=True):
            scores[i] = np.nan if isinstance(value, str) else six_digits(value)
        result[name] = scores
    return result


def supported(space: SearchSpace, wanted: Mapping[str, Mapping[str, Any]]) -> dict[str, Proxy]:
    """Returns the scores that the space has, by label; a label is the name of a score, and after a comma its form."""
    found = {}
    for label, values in wanted.items():
        proxy = create_proxy(label.partition(",")[0], **values)
        with contextlib.suppress(ConfigError):
            proxy.check(space)
            found[label] = proxy.for_space(space)
    return found


def compared(there: np.ndarray, here: np.ndarray) -> tuple[float, float]:
    """Returns Kendall's tau and the largest relative difference of two rows of scores, over the candidates with both."""
    both = np.isfinite(there) & np.isfinite(here)
    a, b = there[both], here[both]
    if not len(a):
        return np.nan, np.nan
    tau = float(kendalltau(a, b).statistic) if len(set(a)) > 1 else float(np.array_equal(a, b))
    return tau, float((np.abs(a - b) / np.maximum(np.maximum(np.abs(a), np.abs(b)), 1e-30)).max())


def agreement(device: torch.device, clock: Clock) -> Part:
    """Compares the scores of every registered space, candidates side by side on the device, with those of each alone on the CPU."""
    part = Part()
    names = list(dict.fromkeys([*MEASURED, "nds_resnet", "nasbench101", "toy", *SPACES.names()]))
    for position, name in enumerate(names):
        if not clock.left():
            part.left_out.append(name)
            continue
        with part.trying(name):
            # Half of the time is for the device.
            space, half = space_of(name), Clock(clock.left() / (len(names) - position) / 2)
            proxies, inputs = supported(space, COMPARED), space.example_inputs(N)
            reference = measurer_of(space, inputs, "cpu")
            chosen: list[Genotype] = []
            alone: list[Measured] = []
            for genotype in candidates(space, MOST, 0):
                if len(chosen) >= LEAST and not half.left():
                    break
                chosen.append(genotype)
                alone += reference.measure([(genotype, proxies)])
            together = measurer_of(space, inputs, str(device), together=True).measure([(one, proxies) for one in chosen])
            row: dict[str, Any] = {"space": name, "candidates": len(chosen)}
            there, here = scores_by(proxies, alone), scores_by(proxies, together)
            row["failed in one only"] = sum(int((np.isnan(there[label]) != np.isnan(here[label])).sum()) for label in proxies)
            for label in proxies:
                tau, difference = compared(there[label], here[label])
                row |= {f"{label}: Kendall": tau, f"{label}: difference": difference}
            part.rows.append(row)
    return part


def requests_of(space: SearchSpace, count: int) -> list[tuple[Genotype, dict[str, Proxy]]]:
    """Returns requests to measure rbflex for random candidates; fewer are the first of more."""
    return [
        (genotype, {name: proxy.for_space(space) for name, proxy in PROXIES.items()}) for genotype in candidates(space, count, 0)
    ]


def in_calls(measurer: Measurer, requests: Sequence[tuple[Genotype, dict[str, Proxy]]], size: int) -> Callable[[], None]:
    """Returns a function that measures all requests in calls of so many.

    Raises:
        RuntimeError: When it is called, if a network has no score.
    """

    def run() -> None:
        for start in range(0, len(requests), size):
            found = measurer.measure(requests[start : start + size])
            scores = scores_by(requests[start][1], found)
            failures = [one.failures for one in found if one.failures]
            # A failure may take almost no time, so it must not be timed as a score.
            if failures or any(np.isnan(values).any() for values in scores.values()):
                raise RuntimeError(f"a network of {measurer.space.name} has no score: {failures}")

    return run


def calls(device: torch.device, clock: Clock) -> Part:
    """Measures candidates/s and peak memory of rbflex by the number of candidates a call.

    Networks of a space differ in size by more than ten times, so all numbers up to `NETWORKS` are measured on the same ones.
    """
    part = Part()
    each: dict[str, float] = {}
    order = [(count, name) for count in COUNTS for name in MEASURED]
    for position, (count, name) in enumerate(order):
        if not clock.left():
            part.left_out.append(f"{name} {count}")
            continue
        with part.trying(f"{name} {count}"):
            space = create_space(name)
            measurer = measurer_of(space, torch.from_numpy(noise(N, MEASURED[name])), str(device))
            if name not in each:
                # The first networks start libraries and draw weights, and predict the time of the others.
                few = requests_of(space, NETWORKS)[:: NETWORKS // 2]
                each[name] = repeated(in_calls(measurer, few, 1), device, 0.0) / len(few)
            networks = max(count, NETWORKS)
            if networks * each[name] > clock.left():
                part.left_out.append(f"{name} {count} (about {networks * each[name]:.0f} s)")
                continue
            requests = requests_of(space, networks)
            seconds = repeated(in_calls(measurer, requests, count), device, clock.left() / (len(order) - position))
            each[name] = seconds / len(requests)
            row = {"space": name, "pixels": MEASURED[name], "a call": count, "networks": len(requests)}
            row |= {"candidates/s": 1 / each[name], "ms a candidate": 1e3 * each[name]}
            part.rows.append({**row, "peak MiB": measurer.capacity.peak / 2**20 or ""})
    return part


def published_procedure(device: torch.device, clock: Clock) -> Part:
    """Measures the published procedure, as written and in its fastest form, and ours on exactly the same networks."""
    part = Part()
    methods = {"as written": published_as_written, "made fast": published}
    order = [(name, label) for name in ("nats_tss", "nats_sss") for label in methods]
    for position, (name, label) in enumerate(order):
        if not clock.left():
            part.left_out.append(f"{name} {label}")
            continue
        with part.trying(f"{name} {label}"):
            space, images = create_space(name), torch.from_numpy(noise(N, 32))
            requests, theirs = requests_of(space, NETWORKS), images.to(device)
            run, seconds, count = methods[label], 0.0, 0
            limit = Clock(clock.left() / (len(order) - position) / 2)
            run(space, theirs, requests[0][0])  # libraries start
            while count < NETWORKS and (limit.left() or not count):
                genotype = requests[count][0]
                seconds += repeated(lambda r=run, s=space, i=theirs, g=genotype: r(s, i, g), device, 0.0)
                count += 1
            row: dict[str, Any] = {"space": name, "published procedure": label, "networks": count, "candidates/s": count / seconds}
            measurer = measurer_of(space, images, str(device))
            for what, size in (("one a call", 1), ("in one call", count)):
                ours = repeated(in_calls(measurer, requests[:count], size), device, limit.left() + 1.0) / count
                row |= {f"ours, {what}": 1 / ours, f"times, {what}": seconds / count / ours}
            part.rows.append(row)
    return part


def scores(device: torch.device, clock: Clock) -> Part:
    """Measures scores and presets on nats_tss, and compares the scores with those of the CPU."""
    part = Part()
    space = create_space("nats_tss")
    inputs = torch.from_numpy(noise(N, 32))
    sets = {name: {name: SINGLE[name]} for name in list(SINGLE)[:7]}
    sets |= {f"preset {name}": PRESETS.get(name).proxies for name in PREFERRED}
    sets |= {name: {name: values} for name, values in SINGLE.items() if name not in sets}
    sets |= {f"preset {name}": PRESETS.get(name).proxies for name in PRESETS.names() if name not in PREFERRED}
    genotypes = candidates(space, 4 if device.type == "cpu" else 64, 0)  # the same for each row
    for position, (label, members) in enumerate(sets.items()):
        if not clock.left():
            part.left_out.append(label)
            continue
        with part.trying(label):
            proxies = proxies_of(members, space)
            reference = measurer_of(space, inputs, "cpu").measure([(genotype, proxies) for genotype in genotypes[:4]])
            measurer, requests = measurer_of(space, inputs, str(device)), [(genotype, proxies) for genotype in genotypes]
            found = measurer.measure(requests[:4])
            there, here = scores_by(proxies, reference), scores_by(proxies, found)
            seconds = repeated(lambda m=measurer, r=requests: m.measure(r), device, clock.left() / (len(sets) - position), 3)
            row = {"scores": label, "a call": len(requests), "ms a candidate": 1e3 * seconds / len(requests)}
            row["largest difference from the CPU"] = max(compared(there[name], here[name])[1] for name in proxies)
            part.rows.append(row)
    return part


def stages(device: torch.device, clock: Clock) -> Part:
    """Counts the stages of random candidates, and how many of them are distinct, which no device changes."""
    part = Part()
    for name in SPACES.names():
        if not clock.left():
            part.left_out.append(name)
            continue
        with part.trying(name):
            space = space_of(name)
            genotypes = candidates(space, CHAINS, 0)
            if not stackable(space.build(genotypes[0])):
                continue
            with torch.device("meta"):
                networks = [space.build(genotype) for genotype in genotypes]
            identities = [stage.identity for network in networks for stage in chain_of(network)]
            counts = {"stages one by one": len(identities), "distinct stages": len(set(identities))}
            part.rows.append({"space": name, "candidates": len(networks), **counts})
    return part


def workers(device: torch.device, clock: Clock) -> Part:
    """Measures candidates/s of several worker processes, which share the device, or all cards if it has no number."""
    part = Part()
    order = [(count, name) for count in (2, 4, 8) for name in ("mobilenet", "nats_tss")]
    for position, (count, name) in enumerate(order):
        # The start of a process on a card takes several seconds.
        if clock.left() < (3.0 if device.type == "cpu" else 15.0) or (device.type == "cpu" and count > 2):
            part.left_out.append(f"{name} {count}")
            continue
        with part.trying(f"{name} {count}"):
            pixels = MEASURED[name] if device.type == "cuda" else 32
            space = create_space(name)
            requests = requests_of(space, 16 * count)
            conditions = Conditions.of(space, Batch(torch.from_numpy(noise(N, pixels))), device=str(device))
            with contextlib.closing(Workers(conditions, count)) as pool:
                tiles = [requests[i : i + 8] for i in range(0, len(requests), 8)]

                def run(pool: Workers = pool, tiles: Sequence[Any] = tiles) -> None:
                    for future in as_completed([pool.submit(tile) for tile in tiles]):
                        future.result()

                started = time.perf_counter()
                run()
                start = time.perf_counter() - started
                seconds = repeated(run, torch.device("cpu"), clock.left() / (len(order) - position))
            row = {"space": name, "pixels": pixels, "workers": count, "candidates/s": len(requests) / seconds}
            part.rows.append({**row, "start and first pass, s": start})
    return part


def tests(device: torch.device, clock: Clock) -> Part:
    """Runs the tests that are marked gpu."""
    part = Part()
    if device.type != "cuda" or importlib.util.find_spec("pytest") is None:
        part.left_out.append(
            "the tests, because " + ("the device is no CUDA device" if device.type != "cuda" else "pytest is missing")
        )
        return part
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests/fitness"]
    try:
        done = subprocess.run(
            command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=max(1.0, clock.left()), check=False
        )
    except subprocess.TimeoutExpired:
        part.left_out.append("the tests, which took longer than their time")
        return part
    lines = [line for line in done.stdout.splitlines() if line.startswith("FAILED") or " in " in line]
    part.rows += [{"tests": line, "exit code": done.returncode} for line in lines]
    return part
