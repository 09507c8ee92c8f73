"""The architectures that are tabulated and correlated: the whole space, a random sample of it, or a list in a file.

    (nothing)                            every genotype, if the space can be enumerated
    sample: {size: 2000, seed: 0}        2,000 distinct genotypes, uniform if the encoding samples uniformly
    sample: {file: architectures.txt}    one notation per line

Genotypes are sampled, not networks, as in the papers. Several genotypes may build the same network, which is measured once.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from rbflex_evo.engine.configuration.config import Config
from rbflex_evo.spaces import ConfigError, Genotype, GenotypeError, SearchSpace
from rbflex_evo.spaces.encodings.distinct import distinct, draws

# Largest number of genotypes of a whole space; a list of them still fits into memory.
LARGEST_WHOLE = 1_000_000
# Draws in a row without a new genotype after which a space of unknown size counts as exhausted.
IDLE_DRAWS = 10_000


def architectures_of(config: Config, space: SearchSpace) -> list[Genotype]:
    """Returns the distinct genotypes that the configuration selects.

    Raises:
        ConfigError: If the sample is larger than the space, the file cannot be read or lists nothing, or no sample is set and
            the space is too large or cannot be enumerated.
        GenotypeError: If a line of the file is not an architecture of the space.
    """
    sample = config.sample
    if sample is None:
        return _whole(space)
    if sample.file is not None:
        return _listed(Path(sample.file).expanduser(), space)
    assert sample.size is not None
    return _drawn(space, sample.size, np.random.Generator(np.random.PCG64(sample.seed)))


def _whole(space: SearchSpace) -> list[Genotype]:
    way_out = "set a sample: {size: 2000, seed: 0}"
    if space.encoding.size is not None and space.encoding.size > LARGEST_WHOLE:
        raise ConfigError(f"{space.name} has {space.encoding.size:,} genotypes, too many to score each; {way_out}")
    genotypes = []
    try:
        for genotype in space.encoding.enumerate():
            genotypes.append(genotype)
            if len(genotypes) > LARGEST_WHOLE:
                raise ConfigError(f"{space.name} has more than {LARGEST_WHOLE:,} genotypes, too many to score each; {way_out}")
    except NotImplementedError:
        raise ConfigError(f"{space.name} cannot be enumerated; {way_out}") from None
    return genotypes


def _drawn(space: SearchSpace, size: int, rng: np.random.Generator) -> list[Genotype]:
    known = space.encoding.size
    if known is not None and size > known:
        raise ConfigError(f"'sample.size' is {size:,}, but {space.name} has only {known:,} genotypes")
    if known is not None and size > known // 2 and known <= LARGEST_WHOLE:
        # Drawing the last few genotypes of a space one by one would take too long.
        genotypes = _whole(space)
        return [genotypes[i] for i in rng.choice(len(genotypes), size, replace=False)]
    drawn = [genotype for genotype, _ in islice(distinct(draws(space.encoding, rng), lambda genotype: genotype, IDLE_DRAWS), size)]
    if len(drawn) < size:
        raise ConfigError(f"'sample.size' is {size:,}, but only {len(drawn):,} genotypes of {space.name} were found")
    return drawn


def _listed(path: Path, space: SearchSpace) -> list[Genotype]:
    lines: dict[Genotype, int] = {}
    for number, text in _lines(path):
        try:
            genotype = space.genotype_of(text)
        except GenotypeError as error:
            raise GenotypeError(f"{str(path)!r}, line {number}: {error}") from None
        if genotype in lines:
            raise ConfigError(f"{str(path)!r} lists {text!r} in lines {lines[genotype]} and {number}; keep one of them")
        lines[genotype] = number
    if not lines:
        raise ConfigError(f"{str(path)!r} lists no architecture; expected one notation a line")
    return list(lines)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise ConfigError(f"'sample.file' {str(path)!r} cannot be read: {reason}") from None
    return ((number, line.strip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip())
