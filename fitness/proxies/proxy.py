"""A training-free score, in two halves: statistics (slow, cached) and a score computed from them (fast, pure).

`statistics` name all that a network has to be run for, so changing a hyperparameter that only `score` reads (a gamma, a
kernel) costs no forward. The evaluator groups proxies by what they need, so that all of those that watch a forward share one.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from rbflex_evo.fitness.passes.observer import CandidateFailed, Observer, Statistics
from rbflex_evo.spaces import Genotype, Registry, SearchSpace, parse
from rbflex_evo.spaces import Parameters as AnyParameters

if TYPE_CHECKING:
    from rbflex_evo.fitness.passes.subject import Subject

PROXIES = Registry("proxy")
PROXIES.register("rbflex", "rbflex_evo.fitness.proxies.rbflex.score:Rbflex")
PROXIES.register("naswot", "rbflex_evo.fitness.proxies.naswot:Naswot")
PROXIES.register("synflow", "rbflex_evo.fitness.proxies.synflow:Synflow")
PROXIES.register("az_expressivity", "rbflex_evo.fitness.proxies.az_nas:AzExpressivity")
PROXIES.register("az_progressivity", "rbflex_evo.fitness.proxies.az_nas:AzProgressivity")
PROXIES.register("az_trainability", "rbflex_evo.fitness.proxies.az_nas:AzTrainability")
PROXIES.register("zen", "rbflex_evo.fitness.proxies.zen:Zen")
PROXIES.register("ni", "rbflex_evo.fitness.proxies.noise_immunity:NoiseImmunity")
PROXIES.register("eproxy", "rbflex_evo.fitness.proxies.eproxy:Eproxy")
PROXIES.register("das", "rbflex_evo.fitness.proxies.das:Das")
PROXIES.register("swap", "rbflex_evo.fitness.proxies.swap:Swap")
PROXIES.register("meco", "rbflex_evo.fitness.proxies.meco:Meco")
PROXIES.register("linear_regions", "rbflex_evo.fitness.proxies.linear_regions:LinearRegions")
PROXIES.register("params", "rbflex_evo.fitness.proxies.counts:NumberOfParameters")
PROXIES.register("flops", "rbflex_evo.fitness.proxies.counts:NumberOfFlops")
PROXIES.register("depth", "rbflex_evo.fitness.proxies.counts:NetworkDepth")
PROXIES.register("n_conv", "rbflex_evo.fitness.proxies.counts:NumberOfConvolutions")
PROXIES.register("nn_mass", "rbflex_evo.fitness.proxies.topology:NnMass")
PROXIES.register("nn_degree", "rbflex_evo.fitness.proxies.topology:NnDegree")
PROXIES.register("logsynflow", "rbflex_evo.fitness.proxies.synflow:LogSynflow")
PROXIES.register("grad_norm", "rbflex_evo.fitness.proxies.gradients:GradNorm")
PROXIES.register("snip", "rbflex_evo.fitness.proxies.gradients:Snip")
PROXIES.register("grasp", "rbflex_evo.fitness.proxies.gradients:Grasp")
PROXIES.register("fisher", "rbflex_evo.fitness.proxies.gradients:Fisher")
PROXIES.register("gradsign", "rbflex_evo.fitness.proxies.gradsign:Gradsign")
PROXIES.register("jacob_cov", "rbflex_evo.fitness.proxies.jacob_cov:JacobCov")
PROXIES.register("zico", "rbflex_evo.fitness.proxies.zico:Zico")
PROXIES.register("ntk_cond", "rbflex_evo.fitness.proxies.ntk:NtkCond")
PROXIES.register("vkdnw", "rbflex_evo.fitness.proxies.vkdnw:Vkdnw")


class Proxy(ABC):
    """A score. Everything is maximised: a subclass returns it with the sign that makes higher better.

    Attributes:
        name: the registered name.
        version: raised when the statistics change meaning.
        needs: "forward" (an observer of a shared forward) or "network" (its own passes over one network).
        cost: "data-free" (no image is read), "forward" or "backward": the dearest pass that it takes.
        uses_labels: whether labels or targets decide the statistics.
        measured_by: names of the parameters that decide the statistics; the others are read by `score` alone.
        statistics_of: how batch normalisation sees the N images: each "image" alone, or the whole "batch".
        layers: "activations" (every activation layer), or "published" (the RBFleX code's choice, on the raw network).
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    description: ClassVar[str] = ""
    needs: ClassVar[Literal["forward", "network"]] = "forward"
    cost: ClassVar[Literal["data-free", "forward", "backward"]] = "forward"
    uses_labels: ClassVar[bool] = False
    measured_by: ClassVar[tuple[str, ...]] = ()
    Parameters: ClassVar[type[AnyParameters]] = AnyParameters

    def __init__(self, parameters: AnyParameters | None = None) -> None:
        self.parameters = self.Parameters() if parameters is None else parameters

    @property
    def statistics_of(self) -> Literal["image", "batch"]:
        return "image"

    @property
    def scores_raw_network(self) -> bool:
        """True if the score is of the raw network, with everything that its genotype names, as in the RBFleX code."""
        return False

    @property
    def layers(self) -> Literal["activations", "published"]:
        """The layers that observers see: every activation layer, or the RBFleX code's choice for a raw network."""
        return "published" if self.scores_raw_network else "activations"

    @property
    def identity(self) -> dict[str, object]:
        """All that the statistics depend on besides network, weights and inputs, as plain data; part of the cache key."""
        decisive = self.parameters.model_dump(mode="json", include=set(self.measured_by))
        return {"proxy": self.name, "version": self.version, "of": self.statistics_of, "layers": self.layers, **decisive}

    def for_space(self, space: SearchSpace) -> Proxy:
        """Returns this proxy as it scores networks of `space`; the default scores all spaces alike."""
        return self

    def check(self, space: SearchSpace) -> None:  # noqa: B027 (most scores take any space)
        """Called once before anything is measured.

        Raises:
            ConfigError: if the space cannot give what this score needs.
        """

    def facts(self, space: SearchSpace, genotype: Genotype) -> Statistics:
        """Returns statistics that need no forward, to join those of the observer (needs == "forward"); cheap, none by default."""
        return {}

    def observer(self) -> Observer:
        """Returns a new observer for one network (needs == "forward")."""
        raise NotImplementedError

    def measure(self, subject: Subject) -> Statistics:
        """Runs the candidate as the score wants and returns its statistics (needs == "network"); restores all it changes.

        Raises:
            CandidateFailed: if the network is dead.
        """
        raise NotImplementedError

    @property
    def calibration_networks(self) -> int:
        """How many networks of the space must be measured before anything can be scored, outside every budget."""
        return 0

    @property
    def calibration_identity(self) -> dict[str, object]:
        """All that a calibration depends on besides those networks' statistics, as plain data."""
        return {}

    def calibrate(self, samples: Sequence[Statistics], rng: np.random.Generator) -> dict[str, float]:
        """Returns what the score needs to know of the space (RBFleX: its gammas), as plain data."""
        return {}

    def calibrated(self, values: Mapping[str, float]) -> Proxy:
        """Returns this proxy with those calibration values set."""
        return self

    @abstractmethod
    def score(self, statistics: Statistics) -> float:
        """Returns the score, a finite float; higher is better.

        Raises:
            CandidateFailed: if there is none.
        """

    def score_many(self, statistics: Statistics) -> np.ndarray:
        """Returns the scores [M] of M candidates whose statistics are stacked [M, ...]; NaN where there is none."""
        count = len(next(iter(statistics.values())))
        scores = np.full(count, np.nan)
        for i in range(count):
            with contextlib.suppress(CandidateFailed):
                scores[i] = self.score({name: array[i] for name, array in statistics.items()})
        return scores


def create_proxy(name: str, **values: Any) -> Proxy:
    """Returns the registered proxy `name` with those parameters.

    Raises:
        UnknownNameError: if no proxy has that name.
        ConfigError: if a parameter is unknown or of a wrong type.
    """
    proxy: type[Proxy] = PROXIES.get(name)
    return proxy(parse(proxy.Parameters, values, f"fitness.proxies.{name}"))
