"""Costs that a fitted predictor gives, read from its file.

predicted: {max: 8.0, path: phone.npz}
predicted:energy: {max: 20.0, path: energy.npz}          any name after the colon, for a second predictor
"""

from __future__ import annotations

from rbflex_evo.spaces import Parameters, SearchSpace

from .metric import CostSubject, Metric


class PredictedParameters(Parameters):
    """Parameters of a predicted cost.

    Attributes:
        path: Path of a predictor that ``rbflex-evo latency fit`` has written.
    """

    path: str


class Predicted(Metric):
    """Cost that a predictor gives, in the unit that it was fitted in."""

    name = "predicted"
    description = "cost that a predictor of rbflex-evo latency fit gives, in the unit of its measurements"
    Parameters = PredictedParameters
    rounded = True
    parameters: PredictedParameters

    def __init__(self, parameters: PredictedParameters, space: SearchSpace, name: str | None = None) -> None:
        from .predictors.lookup import Lookup
        from .predictors.saved import digest, load_predictor

        super().__init__(parameters, space, name)
        self._predictor, self.provenance = load_predictor(parameters.path, space)
        self.file = digest(parameters.path)
        self.multiplies = isinstance(self._predictor, Lookup) and self._predictor.scale == "log"

    def cost(self, architecture: CostSubject) -> float:
        """Predicts the cost, to six digits."""
        from rbflex_evo.fitness.evaluation import six_digits

        return six_digits(self.summand(architecture))

    def summand(self, architecture: CostSubject) -> float:
        """Predicts the cost."""
        return float(self._predictor.predict([architecture.genotype])[0])


class NamedPredicted(Predicted):
    """Cost that one of several predictors gives."""

    name = "predicted:NAME"
    description = "the same under a name of its own, as predicted:energy, for several predictors"
