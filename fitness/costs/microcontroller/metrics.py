"""SRAM and flash as costs, in bytes."""

from __future__ import annotations

from typing import Literal

from rbflex_evo.fitness.costs.metric import CostSubject, Metric
from rbflex_evo.fitness.passes.observer import CandidateFailed
from rbflex_evo.spaces import Parameters

from .layers import deployed
from .order import LIMIT, smallest_peak

BYTES = {"int8": 1, "float16": 2, "float32": 4}
# Biases of int8 networks have 32 bits.
BIAS_BYTES = {"int8": 4, "float16": 2, "float32": 4}


class PrecisionParameters(Parameters):
    """Parameters of memory on a microcontroller.

    Attributes:
        precision: Type of weights and activations.
    """

    precision: Literal["int8", "float16", "float32"] = "int8"


class Sram(Metric):
    """Peak memory of the activations in the best order of layers, for one input."""

    name = "sram"
    description = (
        "bytes of the activations at their peak, layers in the best order (SRAM of a microcontroller; weights not included)"
    )
    unit = "B"
    Parameters = PrecisionParameters
    parameters: PrecisionParameters

    def cost(self, architecture: CostSubject) -> float:
        """Returns the memory in bytes.

        Raises:
            CandidateFailed: If the network has too many orders of layers for the best one to be found.
        """
        network = deployed(self.space, architecture.genotype)
        peak = smallest_peak(network.layers, network.input_size, LIMIT)
        if peak is None:
            raise CandidateFailed(
                f"the best order of its {len(network.layers)} layers was not found among {LIMIT:,} partial orders; "
                "limit activation_memory, which takes the layers in the order of the network"
            )
        return float(peak * BYTES[self.parameters.precision])


class Flash(Metric):
    """Memory of the weights after folding normalisations into convolutions."""

    name = "flash"
    description = "bytes of the weights after folding normalisations (flash of a microcontroller); int8 has biases of 32 bits"
    unit = "B"
    Parameters = PrecisionParameters
    parameters: PrecisionParameters

    def cost(self, architecture: CostSubject) -> float:
        """Returns the memory in bytes."""
        weights, precision = deployed(self.space, architecture.genotype).weights, self.parameters.precision
        return float(weights.values * BYTES[precision] + weights.biases * BIAS_BYTES[precision])
