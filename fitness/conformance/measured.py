"""Checks of the measurements of a score on one space, run by `check_proxy`."""

from __future__ import annotations

import gc
import math
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.fitness.evaluation import keyed
from rbflex_evo.fitness.measuring.cache import decode, encode
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.evaluator import FAILED, Evaluator
from rbflex_evo.fitness.measuring.measurer import by_plan
from rbflex_evo.fitness.measuring.workers import as_in_a_worker
from rbflex_evo.fitness.passes.observer import CandidateFailed, Statistics
from rbflex_evo.fitness.passes.subject import Subject
from rbflex_evo.fitness.passes.weights import WeightParameters
from rbflex_evo.fitness.proxies.proxy import Proxy
from rbflex_evo.spaces.conformance.checking import CheckFailed, called, pure, require, shown

from .case import IMAGES, Case, StatisticsOrReason, check_plain, near, same
from .variants import variants

# Limit for the statistics of one network and 8 images, of which a cache may hold 10^6; ours take a few hundred bytes.
BYTES = 2**18
SOURCE = "subject.normal, subject.uniform or subject.signs, which are functions of a seed and a name"


def _check_statistics(case: Case) -> None:
    names: set[str] = set()
    for network, found in zip(case.networks, case.found, strict=True):
        what = case.of(network)
        if isinstance(found, str):
            require(found.strip() and "\n" not in found, f"{what} failed without a reason in one line; say why in CandidateFailed")
            continue
        require(found, f"{what} gave no statistics; return named arrays, or raise CandidateFailed with a reason")
        for name, array in found.items():
            require(type(name) is str and name != FAILED, f"{what} names a statistic {name!r}; give it a string, not {FAILED!r}")
            require(
                array.dtype.kind in "biuf",
                f"{what} gave the statistic {name!r} of type {array.dtype}; return plain arrays, as tensor.cpu().numpy()",
            )
        size = sum(array.nbytes for array in found.values())
        require(
            size <= BYTES,
            f"{what} gave {size:,} bytes of statistics; reduce them to what score() needs, at most {BYTES:,} for {IMAGES} images",
        )
        names = names or set(found)
        require(set(found) == names, f"{what} gave the statistics {sorted(found)}, but others had {sorted(names)}; name the same")
    reasons = [found for found in case.found if isinstance(found, str)]
    require(
        len(reasons) < len(case.found) or "draws random numbers" not in reasons[0],
        f"{case.name} draws from a global generator ({reasons[:1]}); draw from subject.normal, subject.uniform or subject.signs",
    )
    require(
        len(reasons) < len(case.found),
        f"{case.name} scores none of {len(reasons)} networks of {case.space.name}, the first because {shown(reasons[:1])}; "
        "fail only what is dead, or refuse the space in check()",
    )


def _check_pure(case: Case) -> None:
    what = f"measuring {case.of(case.networks[0])}"
    pure(lambda: case.measure(case.networks[:1]), what, same, SOURCE)


def _check_batch(case: Case) -> None:
    for size in (2, 5, len(case.networks)):
        # Reversed, so that the order differs as well.
        networks, alone = case.networks[:size][::-1], case.found[:size][::-1]
        for network, together, found in zip(networks, case.measure(networks), alone, strict=True):
            require(
                same([together], [found]),
                f"{case.of(network)} is {shown(together)} among {size} networks, but {shown(found)} alone; "
                "keep what was seen in the observer or in local variables, never in the proxy, the class or the module",
            )


def _check_score(case: Case) -> None:
    """Checks scores of the measured statistics, and two evaluations with the same cache."""
    conditions = Conditions.of(case.space, Batch(case.images), device="cpu", backend="eager")
    runs: list[list[tuple[float | None, str | None]]] = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(2):
            cache = Path(folder) / "cache.sqlite"
            evaluator = Evaluator(conditions, {case.name: case.original}, workers=1, cache=cache, in_process=True)
            with evaluator, called(f"evaluating {case.name} on {case.space.name}", "try its methods one by one"):
                evaluator.prepare()
                if not runs:
                    _check_scores(case, evaluator.proxies[case.name])
                evaluations = list(evaluator.evaluate(keyed(evaluator, case.genotypes)))
                runs.append([(e.scores.get(case.name), e.failures.get(case.name)) for e in evaluations])
                measured = evaluator.counts["measured"]
    for network, fresh, cached in zip(case.networks, *runs, strict=True):
        require(fresh == cached, f"{case.of(network)} is {fresh} at first, but {cached} from the cache; use nothing but statistics")
    require(not measured, f"{case.name} was measured again though the cache knew it; its identity must be the same every time")


def _check_scores(case: Case, proxy: Proxy) -> None:
    for network, found in zip(case.networks, case.found, strict=True):
        if not isinstance(found, str):
            _check_score_of(proxy, found, f"the score of {case.of(network)}")
    _check_score_many(case, proxy)


def _check_score_of(proxy: Proxy, found: Statistics, what: str) -> None:
    # Read-only arrays, as from the cache.
    given = decode(encode(found))
    with called(what, "score() reads the statistics that were measured and writes into none"):
        value = _scored(proxy, given)
        require(isinstance(value, float | str), f"{what} is {shown(value)}; return a Python float")
        require(
            isinstance(value, str) or math.isfinite(value),
            f"{what} is {value}; a score is finite, or there is none: raise CandidateFailed with the reason",
        )
        require(not isinstance(value, str) or value.strip(), f"{what} failed without a reason; say why in CandidateFailed")
        pure(lambda: _scored(proxy, given), what, source="nothing at all")


def _scored(proxy: Proxy, found: Statistics) -> float | str:
    try:
        return proxy.score(found)
    except CandidateFailed as failed:
        return str(failed)


def _check_score_many(case: Case, proxy: Proxy) -> None:
    if type(proxy).score_many is Proxy.score_many:
        return
    there = [(network, f) for network, f in zip(case.networks, case.found, strict=True) if not isinstance(f, str)]
    with called(f"{case.name}.score_many()", "it takes the statistics of M networks, each stacked [M, ...]"):
        many = proxy.score_many({name: np.stack([found[name] for _, found in there]) for name in there[0][1]})
    for (network, found), value in zip(there, many, strict=True):
        one = _scored(proxy, found)
        require(
            math.isnan(value) if isinstance(one, str) else math.isclose(one, value, rel_tol=1e-9),
            f"{case.name}.score_many() gives {value} for {case.space.notation(network)!r}, but score() {one}; NaN where none is",
        )


def _check_launch(case: Case) -> None:
    """Checks planned forwards of several networks at once, as on an accelerator."""
    shape = tuple(case.images.shape[1:])
    plans = [case.space.plan(network, shape) for network in case.networks]
    if not by_plan(case.proxy) or any(plan is None for plan in plans):
        return
    for size in (2, 5):
        observers = [case.proxy.observer() for _ in range(size)]
        measurer = case.measurer()
        wanted = "reduce() takes outputs [K, N, ...] of K candidates"
        with as_in_a_worker(), called(f"{case.name}, {size} networks at once,", wanted):
            own = [[observer] for observer in observers]
            measurer.interpreter.run([p for p in plans[:size] if p], measurer.images, own, case.proxy.statistics_of)
        for network, observer, alone in zip(case.networks, observers, case.found, strict=False):
            try:
                together: StatisticsOrReason = observer.finish()
            except CandidateFailed as failed:
                together = str(failed)
            require(
                near(together, alone),
                f"{case.of(network)} is {shown(together)} beside {size - 1} others, but {shown(alone)} alone; "
                "reduce() must keep candidates apart, and give each what activation() gives it",
            )


def _check_untouched(case: Case) -> None:
    if case.proxy.needs != "network":
        return
    network = case.networks[0]
    labels = torch.zeros(IMAGES, dtype=torch.int64)
    subject = Subject(case.space, network, case.images.clone(), labels, WeightParameters())
    built = subject.network.train()
    for module in list(built.modules())[::2]:
        module.training = False
    before = _state(built)
    with as_in_a_worker():
        check_plain(case.proxy.measure(subject), case.of(network))
    after = _state(built)
    require(subject.network is built, f"{case.of(network)} replaces subject.network; other scores read it after this one")
    require(torch.equal(subject.images, case.images), f"{case.of(network)} changes the images; work on a copy")
    for part, value in before.items():
        require(
            after[part] == value,
            f"{case.of(network)} changes the network's {part}; other scores read it afterwards, so put it back "
            "(rbflex_evo.fitness.passes.backward.training and gradients do)",
        )


def _state(network: nn.Module) -> dict[str, object]:
    parts: dict[str, object] = {f"tensor {name!r}": value.numpy().tobytes() for name, value in network.state_dict().items()}
    parts["training modes"] = [module.training for module in network.modules()]
    parts["requires_grad"] = [parameter.requires_grad for parameter in network.parameters()]
    parts["gradients (.grad)"] = [parameter.grad is None for parameter in network.parameters()]
    parts["hooks"] = [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in network.modules()]
    return parts


def check_keeps_nothing(case: Case) -> None:
    """Checks that networks and tensors are released after a measurement.

    Raises:
        CheckFailed: If a network or a tensor is kept.
    """
    # The networks were measured before, so objects that are created only once exist already.
    before = _alive()
    case.measure(case.networks[:2])
    kept = _alive() - before
    require(
        kept <= 0,
        f"{case.name} keeps {kept} tensors or modules of the networks that it has measured; keep nothing but numbers",
    )


def _alive() -> int:
    gc.collect()
    kinds = Counter(map(type, gc.get_objects()))
    return sum(count for kind, count in kinds.items() if issubclass(kind, torch.Tensor | nn.Module))


def _check_labels(case: Case) -> None:
    if case.space.loss != "cross_entropy":
        return
    positions = torch.arange(IMAGES)
    one, other = (case.measure(case.networks, labels=labels) for labels in (positions % 2, positions // 2 % 2))
    if case.proxy.uses_labels:
        require(not same(one, other), f"{case.name}.uses_labels is True, but no label changes its statistics; set it to False")
        return
    for network, *found in zip(case.networks, one, other, case.found, strict=True):
        require(
            same(found[:1] * 2, found[1:]),
            f"{case.of(network)} depends on the labels, but uses_labels is False; set it to True, or the cache will mix them up",
        )


def _check_images(case: Case) -> None:
    if case.proxy.cost != "data-free":
        return
    other = case.space.example_inputs(IMAGES, seed=1)
    for network, found, again in zip(case.networks, case.found, case.measure(case.networks, images=other), strict=True):
        require(same([found], [again]), f"{case.of(network)} depends on the images, but cost is 'data-free'; set cost = 'forward'")


def _check_gradients(case: Case) -> None:
    # The forward passes that observers see record no gradients.
    if case.proxy.cost != "forward" or case.proxy.needs == "forward":
        return
    try:
        taken = not same(case.measure(case.networks, gradients=False), case.found)
    except CheckFailed as failed:
        taken = "grad" in str(failed)
    require(not taken, f"{case.name} takes gradients on {case.space.name}, but cost is 'forward'; set cost = 'backward'")


def _check_parameters(case: Case) -> None:
    for field, value, proxy in variants(case.original):
        chosen = proxy.for_space(case.space)
        known = chosen.identity == case.proxy.identity
        what = f"parameter {field!r} of {case.name}"
        require(not known or field not in proxy.measured_by, f"{what} is in measured_by, but identity does not show it")
        require(
            not known or same(case.measure(case.networks[:2], chosen), case.found[:2]),
            f"{what} changes the statistics when it is {value!r}, but is not in measured_by; name it there, "
            "or the cache will mix them up",
        )


CHECKS: tuple[Callable[[Case], None], ...] = (
    _check_statistics,
    _check_untouched,
    _check_pure,
    _check_batch,
    _check_score,
    _check_launch,
    _check_labels,
    _check_images,
    _check_gradients,
    _check_parameters,
)
