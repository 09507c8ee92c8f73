"""Conformance tests for authors of encodings; `rbflex_evo.engine.conformance` has all of them.

from rbflex_evo.engine.conformance import check_encoding
check_encoding(MyEncoding())
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from rbflex_evo.spaces.encodings.encoding import Encoding, Genotype
from rbflex_evo.spaces.encodings.vector import VectorEncoding
from rbflex_evo.spaces.errors import GenotypeError

from .checking import CheckFailed, called, pure, require

# Largest number of genotypes or keys that are enumerated, and of neighbours of one genotype that are checked.
ENUMERABLE = 20_000
NEIGHBOURS = 40
# A gene that is out of range in every encoding.
ABSURD = 10**18


def check_encoding(encoding: Encoding, *, samples: int = 20, seed: int = 0) -> None:
    """Checks that an encoding satisfies the contract of `Encoding`.

    Args:
        encoding: The encoding to check.
        samples: Number of genotypes that are drawn.
        seed: Seed of the random generators.

    Raises:
        CheckFailed: At the first violation.
    """
    name = type(encoding).__name__
    require(
        isinstance(encoding, Encoding),
        f"{name} is no Encoding; derive it from rbflex_evo.spaces.Encoding, "
        "or use a VectorEncoding of the number of choices of each gene",
    )
    size = encoding.size
    require(
        size is None or (type(size) is int and size > 0),
        f"{name}.size is {size!r}; give the number of valid genotypes, or None where it is not known",
    )
    genotypes = sampled(encoding, name, samples, seed)
    _check_refuses(encoding, name, genotypes[0])
    for genotype in genotypes:
        with called(f"{name}, varying {genotype},", "every operator takes every valid genotype"):
            _check_repair(encoding, name, genotype)
            _check_variables(encoding, name, genotype)
            _check_mutate(encoding, name, genotype, seed)
            _check_neighbours(encoding, name, genotype)
    _check_varied(encoding, name, genotypes[0])
    for first, second in itertools.pairwise([*genotypes, genotypes[0]]):
        with called(f"{name}, combining {first} and {second},", "every operator takes every valid genotype"):
            _check_crossover(encoding, name, first, second, seed)
            _check_distance(encoding, name, first, second)
    _check_enumerate(encoding, name, genotypes)


def sampled(encoding: Encoding, name: str, samples: int, seed: int) -> list[Genotype]:
    """Returns the distinct genotypes among `samples` draws, in the order in which they were drawn.

    Args:
        encoding: The encoding to sample from.
        name: Its name in messages.
        samples: Number of draws.
        seed: Seed of the random generator.

    Raises:
        CheckFailed: If sampling violates the contract.
    """

    def draw() -> list[Genotype]:
        rng = rng_of(seed)
        with called(f"{name}.sample()", "it must draw a valid genotype from any state of the generator"):
            # A single draw cannot show that all draws are equal.
            return [encoding.sample(rng) for _ in range(max(samples, 20))]

    genotypes = pure(draw, f"{name}.sample()")
    for genotype in genotypes:
        check_valid(encoding, genotype, f"{name}.sample()")
    distinct = list(dict.fromkeys(genotypes))
    require(
        len(distinct) > 1 or (encoding.size is not None and encoding.size < 4),
        f"{name}.sample() drew {genotypes[0]} {len(genotypes)} times in a row; draw from the whole space",
    )
    return list(dict.fromkeys(genotypes[:samples]))


def rng_of(seed: int) -> np.random.Generator:
    """Returns a random generator to pass to an operator."""
    return np.random.Generator(np.random.PCG64(seed))


def check_valid(encoding: Encoding, genotype: Any, what: str) -> None:
    """Checks that `what` returned a valid genotype.

    Raises:
        CheckFailed: If it is not a tuple of integers, or the encoding rejects it.
    """
    require(
        isinstance(genotype, tuple) and all(type(gene) is int for gene in genotype),
        f"{what} gave {genotype!r}; a genotype is a tuple of Python integers",
    )
    try:
        encoding.validate(genotype)
    except GenotypeError as error:
        raise CheckFailed(f"{what} gave a genotype that validate() refuses ({error}); return valid ones only") from None


def _check_refuses(encoding: Encoding, name: str, genotype: Genotype) -> None:
    wrong: list[tuple[int, ...]] = [(ABSURD,) * len(genotype), (-ABSURD,) * len(genotype)]
    if isinstance(encoding, VectorEncoding):
        wrong += [(*genotype, 0), (-1, *genotype[1:]), (encoding.categories[0], *genotype[1:])]
    for genes in wrong:
        with called(f"{name}.validate({genes})", "raise GenotypeError, which says what is wrong with a genotype", GenotypeError):
            try:
                encoding.validate(genes)
            except GenotypeError:
                continue
        raise CheckFailed(f"{name}.validate() accepts {genes}, which is no genotype; raise GenotypeError")


def _check_repair(encoding: Encoding, name: str, genotype: Genotype) -> None:
    repaired = encoding.repair(list(genotype))
    require(
        repaired == genotype,
        f"{name}.repair({genotype}) gave {repaired}; a genotype that is valid is already its own nearest valid one",
    )
    for genes in ([*genotype, genotype[-1]], [gene + 1 for gene in genotype], list(genotype[:-1])):
        try:
            repaired = encoding.repair(genes)
        except GenotypeError:
            continue
        check_valid(encoding, repaired, f"{name}.repair({genes})")


def _check_variables(encoding: Encoding, name: str, genotype: Genotype) -> None:
    variables = encoding.variables
    if variables is None:
        return
    values = encoding.encode(genotype)
    require(
        len(values) == len(variables)
        and all(value is None or 0 <= value < variable.count for value, variable in zip(values, variables, strict=True)),
        f"{name}.encode({genotype}) gave {values}; give 0 .. count - 1 or None for each of the {len(variables)} variables",
    )

    def value_of(i: int) -> int:
        value = values[i]
        if value is None:
            raise CheckFailed(f"{name}.decode() reads variable {i}, for which encode({genotype}) gave None; None is not read")
        return value

    decoded = encoding.decode(value_of)
    require(decoded == genotype, f"{name}.decode() of encode({genotype}) gave {decoded}; the one must undo the other")


def _check_mutate(encoding: Encoding, name: str, genotype: Genotype, seed: int) -> None:
    for probability in (None, 0.0, 0.5, 1.0):
        what = f"{name}.mutate({genotype}, probability={probability})"
        mutated = pure(partial(_mutated, encoding, genotype, seed, probability), what)
        check_valid(encoding, mutated, what)
        require(
            mutated != genotype or encoding.size == 1,
            f"{what} changed nothing; change one gene where the draw changes none",
        )
        if isinstance(encoding, VectorEncoding) and probability is None and encoding.size > 1:
            changes = sum(a != b for a, b in zip(genotype, mutated, strict=True))
            require(changes == 1, f"{what} gave {mutated} and changed {changes} genes; None changes exactly one")


def _mutated(encoding: Encoding, genotype: Genotype, seed: int, probability: float | None) -> Genotype:
    return encoding.mutate(genotype, rng_of(seed), probability)


def _check_varied(encoding: Encoding, name: str, genotype: Genotype) -> None:
    """Checks that operators reach more than one genotype, if there are more."""
    near = list(itertools.islice(encoding.neighbours(genotype), 2))
    require(near or encoding.size == 1, f"{name}.neighbours({genotype}) yields nothing; a local search could never leave it")
    mutants = {_mutated(encoding, genotype, seed, None) for seed in range(20)}
    require(
        len(mutants) > 1 or len(near) < 2,
        f"{name}.mutate({genotype}) gave {min(mutants)} from each of 20 generators; draw what changes from the one passed in",
    )


def _check_crossover(encoding: Encoding, name: str, first: Genotype, second: Genotype, seed: int) -> None:
    what = f"{name}.crossover({first}, {second})"
    children = pure(lambda: encoding.crossover(first, second, rng_of(seed)), what)
    require(isinstance(children, tuple) and len(children) == 2, f"{what} gave {children!r}; return two children")
    for child in children:
        check_valid(encoding, child, what)
        if isinstance(encoding, VectorEncoding):
            require(
                all(gene in genes for gene, *genes in zip(child, first, second, strict=True)),
                f"{what} gave {child}, which has a gene of neither parent; take each gene from one of them",
            )


def _check_neighbours(encoding: Encoding, name: str, genotype: Genotype) -> None:
    what = f"{name}.neighbours({genotype})"
    near = list(itertools.islice(encoding.neighbours(genotype), NEIGHBOURS))
    again = list(itertools.islice(encoding.neighbours(genotype), NEIGHBOURS))
    require(again == near, f"{what} yields other genotypes the second time; it draws nothing and keeps one order")
    require(len(set(near)) == len(near), f"{what} yields a genotype twice; yield each neighbour once")
    require(genotype not in near, f"{what} yields the genotype itself; a neighbour differs from it")
    for neighbour in near:
        check_valid(encoding, neighbour, what)
        require(
            genotype in encoding.neighbours(neighbour),
            f"{what} yields {neighbour}, whose neighbours do not hold {genotype}; a step must lead back",
        )


def _check_distance(encoding: Encoding, name: str, first: Genotype, second: Genotype) -> None:
    there, back = encoding.distance(first, second), encoding.distance(second, first)
    require(
        isinstance(there, float | int) and math.isfinite(there),
        f"{name}.distance({first}, {second}) is {there!r}; return a finite number",
    )
    require(
        encoding.distance(first, first) == 0,
        f"{name}.distance({first}, {first}) is {encoding.distance(first, first)}; a genotype is 0 away from itself",
    )
    require(
        first == second or there > 0,
        f"{name}.distance({first}, {second}) is {there}; the distance of different genotypes is positive",
    )
    require(
        there == back,
        f"{name}.distance({first}, {second}) is {there}, but {back} the other way round; make it symmetric",
    )


def _check_enumerate(encoding: Encoding, name: str, genotypes: Sequence[Genotype]) -> None:
    if encoding.size is None or encoding.size > ENUMERABLE:
        return
    try:
        every = list(itertools.islice(encoding.enumerate(), ENUMERABLE + 1))
    except NotImplementedError:
        return
    require(
        len(every) == encoding.size,
        f"{name}.enumerate() yields {len(every)} genotypes, but size is {encoding.size}; make them agree",
    )
    again = list(itertools.islice(encoding.enumerate(), len(every)))
    require(again == every, f"{name}.enumerate() yields another order the second time; keep one, as a seed must lead to one walk")
    distinct = set(every)
    require(len(distinct) == len(every), f"{name}.enumerate() yields a genotype twice; yield each once")
    for genotype in genotypes:
        require(genotype in distinct, f"{name}.enumerate() leaves out {genotype}, which sample() gives; yield every one")
    for genotype in every:
        check_valid(encoding, genotype, f"{name}.enumerate()")
