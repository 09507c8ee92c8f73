"""Warnings of the conformance kit that cost time but give no wrong number.

A space or a score whose code cannot be identified is measured anew in every run. Two keys of one network are measured and shown
twice.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rbflex_evo.spaces.encodings.encoding import Genotype
from rbflex_evo.spaces.fingerprint import Known, Unsure, fingerprint, strangers
from rbflex_evo.spaces.space import SearchSpace

from .check_encoding import rng_of

if TYPE_CHECKING:
    from torch import nn


class ConformanceWarning(UserWarning):
    """Warns of something that is no violation of a contract, but makes searches slower or fronts repetitive."""


def check_identified(thing: object, name: str) -> None:
    """Warns if a component that is not of this package has no fingerprint, so that the cache keeps nothing of it."""
    strange = strangers(thing)
    if not strange:
        return
    try:
        fingerprint(*strange)
    except Unsure as unsure:
        _warn(f"what is measured with {name} is not kept in the cache, because its code cannot be identified: {unsure}")


def check_networks(space: SearchSpace, name: str, genotypes: Sequence[Genotype], seed: int) -> None:
    """Warns if two keys stand for one network, or if a network has no fingerprint.

    Args:
        space: The space to check.
        name: Its name in messages.
        genotypes: Genotypes whose networks are compared, with one neighbour each, since equal networks have similar genotypes.
        seed: Seed of the random generator.
    """
    import torch

    rng = rng_of(seed)
    near = [space.encoding.mutate(genotype, rng) for genotype in genotypes]
    chosen = {space.key(genotype): space.representative(space.key(genotype)) for genotype in [*genotypes, *near]}
    known = Known()
    found: dict[str, str] = {}
    for key, genotype in chosen.items():
        with torch.device("meta"):
            network = space.build(genotype)
        try:
            other = found.setdefault(fingerprint(network, known=known), key)
            # On the meta device, values of buffers and vectors are not compared.
            if other == key or _built(space, genotype) != _built(space, chosen[other]):
                continue
        except Unsure as unsure:
            _warn(f"what is measured with {name} is not kept in the cache: {name}.build({genotype}) cannot be identified: {unsure}")
            return
        _warn(
            f"the keys {other!r} and {key!r} of {name} stand for one network, which is measured and shown twice; "
            "give both genotypes the same key()"
        )
        return


def _built(space: SearchSpace, genotype: Genotype) -> str:
    import torch

    torch.manual_seed(0)
    network: nn.Module = space.build(genotype)
    return fingerprint(network)


def _warn(message: str) -> None:
    warnings.warn(message, ConformanceWarning, stacklevel=4)
