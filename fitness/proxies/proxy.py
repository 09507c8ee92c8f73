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

from spaces import Genotype, Registry, SearchSpace, parse
from spaces import Parameters as AnyParameters

from .observer import CandidateFailed, Observer, Statistics

if TYPE_CHECKING:
    from .subject import Subject

PROXIES = Registry("proxy")
PROXIES.register("rbflex", "fitness.proxies.rbflex:Rbflex")
PROXIES.register("naswot", "fitness.proxies.naswot:Naswot")
PROXIES.register("synflow", "fitness.proxies.synflow:Synflow")
PROXIES.register("az_expressivity", "fitness.proxies.az_nas:AzExpressivity")
PROXIES.register("az_progressivity", "fitness.proxies.az_nas:AzProgressivity")
PROXIES.register("az_trainability", "fitness.proxies.az_nas:AzTrainability")
PROXIES.register("zen", "fitness.proxies.zen:Zen")
PROXIES.register("ni", "fitness.proxies.noise_immunity:NoiseImmunity")
PROXIES.register("eproxy", "fitness.proxies.eproxy:Eproxy")
PROXIES.register("das", "fitness.proxies.das:Das")
PROXIES.register("swap", "fitness.proxies.swap:Swap")
PROXIES.register("meco", "fitness.proxies.meco:Meco")
PROXIES.register("linear_regions", "fitness.proxies.linear_regions:LinearRegions")
PROXIES.register("params", "fitness.proxies.counts:Params")
PROXIES.register("flops", "fitness.proxies.counts:Flops")
PROXIES.register("depth", "fitness.proxies.counts:Depth")
PROXIES.register("n_conv", "fitness.proxies.counts:NumberOfConvolutions")
PROXIES.register("nn_mass", "fitness.proxies.topology:NnMass")
PROXIES.register("nn_degree", "fitness.proxies.topology:NnDegree")
PROXIES.register("logsynflow", "fitness.proxies.synflow:LogSynflow")
PROXIES.register("grad_norm", "fitness.proxies.gradients:GradNorm")
PROXIES.register("snip", "fitness.proxies.gradients:Snip")
PROXIES.register("grasp", "fitness.proxies.gradients:Grasp")
PROXIES.register("fisher", "fitness.proxies.gradients:Fisher")
PROXIES.register("gradsign", "fitness.proxies.gradsign:Gradsign")
PROXIES.register("jacob_cov", "fitness.proxies.jacob_cov:JacobCov")
PROXIES.register("zico", "fitness.proxies.zico:Zico")
PROXIES.register("ntk_cond", "fitness.proxies.ntk:NtkCond")
PROXIES.register("vkdnw", "fitness.proxies.vkdnw:Vkdnw")


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
    def layers(self) -> Literal["activations", "published"]:
        return "activations"

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
    proxy = PROXIES.get(name)
    return proxy(parse(proxy.Parameters, values, f"fitness.proxies.{name}"))
