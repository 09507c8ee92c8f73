"""An encoding of networks in stages of variable depth, with one genotype for each network.

    genotype = plain genes, then max_depth block genes for each stage: 0 is an empty place, 1 .. choices is a block

The blocks of a stage come first and its empty places last, so that genotypes have a fixed length and are unique. The depth of a
stage is an implicit gene: the number of places before the first 0.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rbflex_evo.spaces.errors import GenotypeError

from .domain import Bond, Domain
from .encoding import Encoding, Genotype, Variable, check_genes, check_length, hamming_distance

EMPTY = 0


@dataclass(frozen=True)
class StageRange:
    """The depths that a stage may have, and the number of blocks to choose from.

    Attributes:
        min_depth: Smallest number of blocks.
        max_depth: Largest number of blocks.
        choices: Number of kinds of blocks.
        step: Difference between two depths that follow each other.
    """

    min_depth: int
    max_depth: int
    choices: int
    step: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.min_depth <= self.max_depth or self.choices < 1:
            raise ValueError(f"expected 1 <= min_depth <= max_depth and at least one choice, but it is {self}")
        if self.step < 1 or (self.max_depth - self.min_depth) % self.step:
            raise ValueError(f"expected whole steps from min_depth to max_depth, but it is {self}")

    @property
    def depths(self) -> range:
        """Allowed numbers of blocks."""
        return range(self.min_depth, self.max_depth + 1, self.step)


class StagedEncoding(Encoding):
    """Plain categorical genes, and stages of blocks.

    `sample` draws every plain gene, every depth and every block uniformly. This is not uniform over genotypes, nearly all of which
    have the largest depth in every stage.

    Args:
        plain: Number of values of each plain gene; gene i takes 0 .. plain[i] - 1.
        stages: The stages in the order of the network.
        names: Name of each plain gene in errors and reports.
    """

    def __init__(self, plain: Sequence[int], stages: Sequence[StageRange], names: Sequence[str] | None = None) -> None:
        self.plain = tuple(int(count) for count in plain)
        self.stages = tuple(stages)
        if not self.stages or any(count < 1 for count in self.plain):
            raise ValueError(f"expected at least one stage and one value a gene, but it is {self.plain}, {self.stages}")
        blocks = [f"stage {i + 1} block {j + 1}" for i, stage in enumerate(self.stages) for j in range(stage.max_depth)]
        plain_names = tuple(names) if names else tuple(f"gene {i}" for i in range(len(self.plain)))
        if len(plain_names) != len(self.plain):
            raise ValueError(f"{len(plain_names)} names for {len(self.plain)} plain genes")
        self.names = (*plain_names, *blocks)

    @property
    def size(self) -> int:
        """Number of valid genotypes."""
        return math.prod([*self.plain, *(sum(stage.choices**depth for depth in stage.depths) for stage in self.stages)])

    def split(self, genotype: Genotype) -> tuple[Genotype, list[Genotype]]:
        """Returns the plain genes, and the blocks of each stage without its empty places."""
        start = len(self.plain)
        stages = []
        for stage in self.stages:
            places = genotype[start : start + stage.max_depth]
            stages.append(tuple(gene for gene in places if gene != EMPTY))
            start += stage.max_depth
        return genotype[: len(self.plain)], stages

    def join(self, plain: Sequence[int], stages: Sequence[Sequence[int]]) -> Genotype:
        """Returns the genotype of plain genes and the blocks of each stage.

        Raises:
            GenotypeError: If the number of stages, a depth or a gene is invalid.
        """
        if len(stages) != len(self.stages):
            raise GenotypeError(f"expected {len(self.stages)} stages, but there are {len(stages)}")
        genes = [int(gene) for gene in plain]
        for i, (stage, blocks) in enumerate(zip(self.stages, stages, strict=True)):
            if len(blocks) not in stage.depths:
                raise GenotypeError(f"stage {i + 1} must have {_written(stage)} blocks, but it has {len(blocks)}")
            genes += [*map(int, blocks), *[EMPTY] * (stage.max_depth - len(blocks))]
        genotype = tuple(genes)
        self.validate(genotype)
        return genotype

    def validate(self, genotype: Genotype) -> None:
        """Checks the range of each gene, and that the empty places of a stage come last."""
        check_genes(genotype, self.names, self._ranges())
        start = len(self.plain)
        for i, stage in enumerate(self.stages):
            places = genotype[start : start + stage.max_depth]
            if any(a == EMPTY and b != EMPTY for a, b in itertools.pairwise(places)):
                raise GenotypeError(f"stage {i + 1} of {genotype} has a block after an empty place; put empty places last")
            depth = sum(gene != EMPTY for gene in places)
            if depth not in stage.depths:
                raise GenotypeError(f"stage {i + 1} of {genotype} has {depth} blocks; it must have {_written(stage)}")
            start += stage.max_depth

    def _ranges(self) -> list[range]:
        """Returns the allowed values of each gene."""
        ranges = [range(count) for count in self.plain]
        for stage in self.stages:
            for place in range(stage.max_depth):
                ranges.append(range(1 if place < stage.min_depth else EMPTY, stage.choices + 1))
        return ranges

    def sample(self, rng: np.random.Generator) -> Genotype:
        """Draws every plain gene, every depth and every block uniformly."""
        plain = [int(rng.integers(count)) for count in self.plain]
        stages = [_blocks(stage, stage.depths[int(rng.integers(len(stage.depths)))], rng) for stage in self.stages]
        return self.join(plain, stages)

    def mutate(self, genotype: Genotype, rng: np.random.Generator, probability: float | None = None) -> Genotype:
        """Changes each plain gene, depth and block with `probability`; None, or a draw that changes nothing, changes one of them.

        A new depth is uniform among the other depths: blocks are removed from or drawn for the end of the stage. A single change
        is of a gene drawn uniformly, where a depth changes by one step.
        """
        if self.size == 1:
            return genotype
        mutated = self._mutate_each(genotype, rng, probability) if probability else genotype
        return self._mutate_one(genotype, rng) if mutated == genotype else mutated

    def _mutate_each(self, genotype: Genotype, rng: np.random.Generator, probability: float) -> Genotype:
        plain, stages = self.split(genotype)
        genes = [
            _other(gene, 0, count, rng) if count > 1 and rng.random() < probability else gene
            for gene, count in zip(plain, self.plain, strict=True)
        ]
        changed = []
        for stage, old in zip(self.stages, stages, strict=True):
            blocks = [
                _other(gene, 1, stage.choices, rng) if stage.choices > 1 and rng.random() < probability else gene for gene in old
            ]
            depths = stage.depths
            if len(depths) > 1 and rng.random() < probability:
                depth = depths[_other(depths.index(len(blocks)), 0, len(depths), rng)]
                blocks = (blocks + _blocks(stage, max(0, depth - len(blocks)), rng))[:depth]
            changed.append(blocks)
        return self.join(genes, changed)

    def _mutate_one(self, genotype: Genotype, rng: np.random.Generator) -> Genotype:
        by_gene: dict[tuple[int, bool], list[Genotype]] = {}
        for gene, is_depth, neighbour in self._steps(genotype):
            by_gene.setdefault((gene, is_depth), []).append(neighbour)
        choices = list(by_gene.values())
        chosen = choices[int(rng.integers(len(choices)))]
        return chosen[int(rng.integers(len(chosen)))]

    def crossover(self, first: Genotype, second: Genotype, rng: np.random.Generator) -> tuple[Genotype, Genotype]:
        """Swaps each plain gene, depth and block with probability 1/2; a place that only one parent fills comes from it."""
        one, two = list(first), list(second)
        for i in range(len(self.plain)):
            if rng.random() < 0.5:
                one[i], two[i] = two[i], one[i]
        pairs = zip(self.split(first)[1], self.split(second)[1], strict=True)
        blocks: tuple[list[list[int]], list[list[int]]] = ([], [])
        for a, b in pairs:
            depths = (len(a), len(b)) if rng.random() < 0.5 else (len(b), len(a))
            shorter = min(len(a), len(b))
            swapped = [bool(rng.random() < 0.5) for _ in range(shorter)]
            rest = list((a if len(a) > len(b) else b)[shorter:])
            mixed = (
                [b[i] if swap else a[i] for i, swap in enumerate(swapped)],
                [a[i] if swap else b[i] for i, swap in enumerate(swapped)],
            )
            for child, common, depth in zip(blocks, mixed, depths, strict=True):
                child.append((common + rest)[:depth])
        plain = len(self.plain)
        return self.join(one[:plain], blocks[0]), self.join(two[:plain], blocks[1])

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """Yields every genotype that differs in one plain gene, in one block, or by one step of blocks at the end of a stage."""
        return (neighbour for *_, neighbour in self._steps(genotype))

    def _steps(self, genotype: Genotype) -> Iterator[tuple[int, bool, Genotype]]:
        """Yields (position of the gene, or of the first gene of the stage; whether the depth changes; the neighbour)."""

        def changed(place: int, *genes: int) -> Genotype:
            return (*genotype[:place], *genes, *genotype[place + len(genes) :])

        for i, count in enumerate(self.plain):
            yield from ((i, False, changed(i, gene)) for gene in range(count) if gene != genotype[i])
        start = len(self.plain)
        for stage in self.stages:
            places = range(start, start + stage.max_depth)
            depth = sum(genotype[i] != EMPTY for i in places)
            for i in places[:depth]:
                yield from ((i, False, changed(i, gene)) for gene in range(1, stage.choices + 1) if gene != genotype[i])
            if depth > stage.min_depth:
                yield start, True, changed(places[depth - stage.step], *[EMPTY] * stage.step)
            if depth < stage.max_depth:
                added = itertools.product(range(1, stage.choices + 1), repeat=stage.step)
                yield from ((start, True, changed(places[depth], *blocks)) for blocks in added)
            start += stage.max_depth

    def distance(self, first: Genotype, second: Genotype) -> float:
        """Returns the number of plain genes and places that differ; a place that only one of them fills differs."""
        return hamming_distance(first, second)

    def repair(self, genotype: Sequence[int]) -> Genotype:
        """Returns the genotype with genes in their ranges, empty places last in a stage, and depths cut to allowed ones."""
        check_length(genotype, len(self.names))
        ranges = self._ranges()
        clipped = [min(max(int(gene), allowed.start), allowed.stop - 1) for gene, allowed in zip(genotype, ranges, strict=True)]
        plain, stages = self.split(tuple(clipped))
        depths = [max(depth for depth in stage.depths if depth <= len(of)) for stage, of in zip(self.stages, stages, strict=True)]
        return self.join(plain, [blocks[:depth] for blocks, depth in zip(stages, depths, strict=True)])

    def domain(self) -> Domain:
        """Returns the values of each gene; each place of a stage but the first is bound to the place before it."""
        bonds = []
        start = len(self.plain)
        for stage in self.stages:
            for place in range(1, stage.max_depth):
                bonds.append(Bond((start + place - 1, start + place), _follows(place in stage.depths)))
            start += stage.max_depth
        return Domain(tuple(map(tuple, self._ranges())), tuple(bonds), self.names)

    @property
    def variables(self) -> tuple[Variable, ...]:
        """One variable for each plain gene, and for each stage its depth followed by one variable for each place."""
        found = list(map(Variable, self.names, self.plain))
        names = iter(self.names[len(self.plain) :])
        for i, stage in enumerate(self.stages):
            found.append(Variable(f"stage {i + 1} depth", len(stage.depths), ordered=True))
            found += [Variable(next(names), stage.choices) for _ in range(stage.max_depth)]
        return tuple(found)

    def decode(self, value_of: Callable[[int], int]) -> Genotype:
        """Returns the genotype of plain genes, depths and blocks; the blocks of empty places are not read."""
        start = len(self.plain)
        blocks = []
        for stage in self.stages:
            depth = stage.depths[value_of(start)]
            blocks.append([1 + value_of(start + 1 + place) for place in range(depth)])
            start += 1 + stage.max_depth
        return self.join([value_of(i) for i in range(len(self.plain))], blocks)

    def encode(self, genotype: Genotype) -> list[int | None]:
        """Returns plain genes, depths and blocks as values, None for empty places."""
        plain, stages = self.split(genotype)
        values: list[int | None] = list(plain)
        for stage, blocks in zip(self.stages, stages, strict=True):
            values += [stage.depths.index(len(blocks)), *(block - 1 for block in blocks)]
            values += [None] * (stage.max_depth - len(blocks))
        return values

    def enumerate(self) -> Iterator[Genotype]:
        """Yields every genotype once, in lexicographic order."""
        parts: list[list[Genotype]] = [[(gene,) for gene in range(count)] for count in self.plain]
        for stage in self.stages:
            parts.append(
                [
                    (*blocks, *(EMPTY,) * (stage.max_depth - depth))
                    for depth in stage.depths
                    for blocks in itertools.product(range(1, stage.choices + 1), repeat=depth)
                ]
            )
        for combination in itertools.product(*parts):
            yield tuple(itertools.chain.from_iterable(combination))


def _follows(may_end: bool) -> Callable[[int, int], bool]:
    """Returns the rule of a place of a stage and the one before it; the stage may end between them if `may_end`."""
    return lambda before, gene: before != EMPTY or gene == EMPTY if may_end else (before == EMPTY) == (gene == EMPTY)


def _written(stage: StageRange) -> str:
    """Returns the allowed depths of a stage as text."""
    if stage.step == 1:
        return f"{stage.min_depth}..{stage.max_depth}"
    return f"{', '.join(map(str, stage.depths[:-1]))} or {stage.max_depth}" if len(stage.depths) > 1 else str(stage.max_depth)


def _blocks(stage: StageRange, depth: int, rng: np.random.Generator) -> list[int]:
    return [int(gene) for gene in rng.integers(1, stage.choices + 1, size=depth)]


def _other(value: int, lowest: int, count: int, rng: np.random.Generator) -> int:
    """Draws another value of lowest .. lowest + count - 1, uniformly."""
    return lowest + (value - lowest + int(rng.integers(1, count))) % count
