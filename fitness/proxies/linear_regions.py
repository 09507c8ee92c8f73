"""Number of linear regions of the input space (TE-NAS: Chen et al., ICLR 2021, arXiv 2102.11535).

    pattern of an input = the units of all activation layers that it makes positive
    score               = number of distinct patterns among many random inputs, mean over initialisations      (survey eq. 16-17)

A network of full width distinguishes any two images, so the count on a batch of images would be N for nearly every network.
TE-NAS therefore counts 3,000 inputs of 3 x 3 pixels, through the network at width 1 with one cell per stage. This does the same,
in passes of its own with N(0, 1) inputs, and batch normalisation uses the statistics of a batch, as in the paper's code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from rbflex_evo.fitness.data.inputs import refuse_words
from rbflex_evo.fitness.passes.observer import NO_ACTIVATION, CandidateFailed, Observer, Statistics
from rbflex_evo.spaces import ConfigError, Parameters, SearchSpace

from .proxy import Proxy

if TYPE_CHECKING:
    import torch

    from rbflex_evo.fitness.passes.subject import Subject


class LinearRegionsParameters(Parameters):
    """Parameters of the count.

    Attributes:
        inputs: Number of random inputs in one batch.
        batches: Number of batches that are counted together.
        size: Height and width of an input, in pixels.
        initialisations: Number of sets of weights whose counts are averaged.
    """

    inputs: int = Field(default=1000, ge=2)
    batches: int = Field(default=3, ge=1)
    size: int = Field(default=3, ge=1)
    initialisations: int = Field(default=3, ge=1)


class LinearRegions(Proxy):
    """Mean number of distinct activation patterns of small random inputs; higher is better.

    Cost class: forward, in passes of its own over small networks and inputs. Pitfalls: the counted network is the thin form of the
    scored one, `SearchSpace.thin`. A space without thin networks is refused: every input would have a pattern of its own and all
    networks would tie (all of 3,000 on nats_sss, even with widths of 1 .. 8). Counts near the number of inputs are close to such a
    tie. Networks of one channel vary much with their weights, hence the mean over initialisations.
    """

    name = "linear_regions"
    description = "distinct activation patterns of many small random inputs, in a thin network"
    needs = "network"
    Parameters = LinearRegionsParameters
    measured_by = ("inputs", "batches", "size", "initialisations")
    parameters: LinearRegionsParameters

    def check(self, space: SearchSpace) -> None:
        """Refuses a space of words, and a space without thin networks.

        Raises:
            ConfigError: If the space is refused.
        """
        refuse_words(self.name, "counts regions of inputs of noise", space)
        if space.thin() is None:
            raise ConfigError(f"{self.name} counts on thin networks, and {space.name} has none (SearchSpace.thin); leave it out")

    def measure(self, subject: Subject) -> Statistics:
        """Returns ``regions`` [initialisations], the number of distinct patterns.

        Raises:
            CandidateFailed: If the space has no thin networks, or an activation is not finite.
        """
        from rbflex_evo.fitness.passes.watch import run_observed
        from rbflex_evo.fitness.passes.weights import build_initialised

        p = self.parameters
        space = subject.space.thin()
        if space is None:
            raise CandidateFailed(f"{subject.space.name} has no thin networks to count on")
        shape = (p.inputs, space.input_shape[0], p.size, p.size)
        batches = [subject.normal(f"linear regions {i}", shape) for i in range(p.batches)]
        counts = []
        for i in range(p.initialisations):
            weights = subject.weights.model_copy(update={"seed": subject.weights.seed + i})
            network = build_initialised(space, subject.genotype, weights).to(subject.images.device, subject.images.dtype)
            patterns = []
            for batch in batches:
                observer = PatternObserver()
                run_observed(network, batch, [observer], space.classifier(network), "batch")
                patterns.append(observer.finish()["patterns"])
            counts.append(len(np.unique(np.concatenate(patterns), axis=0)))
        return {"regions": np.array(counts)}

    def score(self, statistics: Statistics) -> float:
        """Returns the mean over initialisations.

        Raises:
            CandidateFailed: If all inputs have one activation pattern.
        """
        regions = statistics["regions"]
        if regions.max() < 2:
            raise CandidateFailed("all inputs have one activation pattern")
        return float(regions.mean())


class PatternObserver(Observer):
    """Observer that keeps each input's pattern: ``patterns`` [N, bytes], one bit per unit."""

    def __init__(self) -> None:
        self.bits: list[np.ndarray] = []

    def activation(self, name: str, output: torch.Tensor, multiplicity: int = 1) -> None:
        """Adds the bits of one activation layer."""
        values = output.flatten(1).cpu().numpy()
        if not np.isfinite(values).all():
            raise CandidateFailed("activations hold NaN or infinity")
        self.bits.append(np.packbits(values > 0, axis=1))

    def finish(self) -> Statistics:
        """Returns ``patterns`` [N, bytes], uint8."""
        if not self.bits:
            raise CandidateFailed(NO_ACTIVATION)
        return {"patterns": np.concatenate(self.bits, axis=1)}
