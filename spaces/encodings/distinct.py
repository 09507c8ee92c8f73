"""Distinct genotypes of a stream, by key: samples without duplicates."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

import numpy as np

from .encoding import Encoding, Genotype

Key = TypeVar("Key", bound=Hashable)


def draws(encoding: Encoding, rng: np.random.Generator) -> Iterator[Genotype]:
    """Yields random genotypes without end."""
    while True:
        yield encoding.sample(rng)


def is_small(encoding: Encoding, most: int) -> bool:
    """Returns whether an encoding is known to have at most `most` genotypes, and can be enumerated."""
    size = encoding.size
    return size is not None and size <= most and type(encoding).enumerate is not Encoding.enumerate


def listed(encoding: Encoding, most: int) -> Iterator[Genotype]:
    """Yields every genotype of an encoding that has at most `most`, and none of a larger one; nothing is counted before."""
    if is_small(encoding, most):
        yield from encoding.enumerate()


def distinct(
    genotypes: Iterable[Genotype], key_of: Callable[[Genotype], Key], idle: int | None = None
) -> Iterator[tuple[Key, Genotype]]:
    """Yields (key, genotype) for the first genotype of each key.

    Args:
        genotypes: Genotypes in any order, possibly without end; no more of them are taken than needed.
        key_of: Returns the key of a genotype.
        idle: Number of genotypes in a row without a new key after which to stop; None for no limit.
    """
    seen: set[Key] = set()
    known = 0
    for genotype in genotypes:
        key = key_of(genotype)
        if key not in seen:
            seen.add(key)
            known = 0
            yield key, genotype
            continue
        known += 1
        if known == idle:
            return
