"""Conformance tests of observers: layers of one candidate and of several candidates give the same statistics."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from rbflex_evo.fitness.passes.observer import CandidateFailed, Observer, Statistics
from rbflex_evo.spaces.conformance.checking import CheckFailed, called, require

from .case import check_plain

# Shapes [channels, height, width] of synthetic layers.
LAYERS = ((4, 8, 8), (6, 5, 5), (12,))
CANDIDATES, IMAGES, FEATURES = 5, 8, 24
ROUNDING = 1e-4


def check_made(make: Callable[[], Observer], name: str) -> None:
    """Checks that each call creates a new observer.

    Args:
        make: Returns a new observer.
        name: Name of the score, for the message.

    Raises:
        CheckFailed: If it does not.
    """
    observer = make()
    require(
        isinstance(observer, Observer), f"{name}.observer() gave {type(observer).__name__}; return a rbflex_evo.fitness.Observer"
    )
    require(make() is not observer, f"{name}.observer() gave the same observer twice; make a new one for each network")


def check_observer(make: Callable[[], Observer], name: str) -> None:
    """Checks that observers fulfil the contract of `Observer`.

    Args:
        make: Returns a new observer.
        name: Name of the score, for the message.

    Raises:
        CheckFailed: At the first violation.
    """
    kind = f"{name}'s {type(make()).__name__}"
    with called(
        f"{kind}, on synthetic layers,", "activation() takes [N, ...] of any shape, features() [N, length]", CandidateFailed
    ):
        outputs = _layers()
        before = [output.clone() for output in outputs]
        alone = [_observed(make(), [output[k] for output in outputs]) for k in range(CANDIDATES)]
        require(
            all(torch.equal(a, b) for a, b in zip(outputs, before, strict=True)),
            f"{kind} changes the layer that it is shown, and with it the network's forward; work on a copy",
        )
        _check_multiplicity(make, kind, [output[0] for output in outputs])
        _check_fork(make, kind, [output[0] for output in outputs], alone[0])
        _check_reduce(make, kind, outputs, alone)


def _layers() -> list[torch.Tensor]:
    """Returns activations [candidates, N, ...], half of them zero as after a ReLU, and the features of the candidates."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(CANDIDATES, IMAGES, *layer) for layer in LAYERS]
    return [torch.randn(shape, generator=generator).relu() for shape in [*shapes, (CANDIDATES, IMAGES, FEATURES)]]


def _observed(observer: Observer, layers: Sequence[torch.Tensor], times: int = 1, multiplicity: int = 1) -> Statistics:
    for i, layer in enumerate(layers[:-1]):
        for _ in range(times):
            _show(observer, i, layer, multiplicity)
    return _finished(observer, layers[-1])


def _show(observer: Observer, position: int, layer: torch.Tensor, multiplicity: int = 1) -> None:
    """Shows one layer, which is also the output of a primary block."""
    observer.activation(f"layer {position}", layer, multiplicity)
    if observer.reads_blocks:
        observer.block(layer, multiplicity)


def _finished(observer: Observer, features: torch.Tensor) -> Statistics:
    observer.features(features, features.abs().max())
    try:
        found = observer.finish()
    except CandidateFailed as failed:
        raise CheckFailed(
            f"{type(observer).__name__} fails a lively network, random layers of {IMAGES} images, because {str(failed)!r}; "
            "fail only what is dead"
        ) from failed
    check_plain(found, f"{type(observer).__name__}.finish()")
    return {name: np.asarray(array, float) for name, array in found.items()}


def _check_multiplicity(make: Callable[[], Observer], kind: str, layers: Sequence[torch.Tensor]) -> None:
    twice, counted = _observed(make(), layers, times=2), _observed(make(), layers, multiplicity=2)
    require(
        _near(twice, counted),
        f"{kind}.activation(..., multiplicity=2) is not the same as two calls; a planned forward shows a map once "
        "and passes the number of layers that it represents",
    )


def _check_fork(make: Callable[[], Observer], kind: str, layers: Sequence[torch.Tensor], whole: Statistics) -> None:
    observer = make()
    _show(observer, 0, layers[0])
    other = observer.fork()
    # Activations that the first observer sees from here on must not reach the second.
    _show(observer, 0, layers[1] + 1)
    for i, layer in enumerate(layers[1:-1], start=1):
        _show(other, i, layer)
    require(
        _near(_finished(other, layers[-1]), whole),
        f"{kind}.fork() shares what it has seen with the observer it came from; copy lists and arrays",
    )


def _check_reduce(make: Callable[[], Observer], kind: str, outputs: Sequence[torch.Tensor], alone: Sequence[Statistics]) -> None:
    for size in (1, 2, CANDIDATES):
        observers = [make() for _ in range(size)]
        for i, output in enumerate(outputs[:-1]):
            reduced = observers[0].reduce(output[:size])
            blocks = observers[0].reduce_block(output[:size]) if observers[0].reads_blocks else None
            for name, part in (("reduce", reduced), ("reduce_block", blocks)):
                require(
                    part is None or len(part) == size,
                    f"{kind}.{name}() of {size} candidates gave {[] if part is None else list(part.shape)}; "
                    "return one part for each, [K, ...]",
                )
            for k, observer in enumerate(observers):
                if reduced is None:
                    observer.activation(f"layer {i}", output[k])
                else:
                    observer.take(reduced[k], output[k, 0].numel())
                if blocks is not None:
                    observer.take_block(blocks[k])
                elif observer.reads_blocks:
                    observer.block(output[k])
        for k, observer in enumerate(observers):
            require(
                _near(_finished(observer, outputs[-1][k]), alone[k]),
                f"{kind}.reduce() and take() of {size} candidates give another result than activation() of each; "
                "they are two ways to the same statistics",
            )


def _near(first: Statistics, second: Statistics) -> bool:
    return first.keys() == second.keys() and all(
        first[name].shape == array.shape
        and np.allclose(first[name], array, rtol=ROUNDING, atol=ROUNDING * np.abs(array).max(initial=0.0), equal_nan=True)
        for name, array in second.items()
    )
