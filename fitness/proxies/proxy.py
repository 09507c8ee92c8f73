"""The contract of a training-free score: statistics (slow, cached) and a score computed from them (fast, pure).

Statistics hold everything that a network has to be run for, so that changing a parameter that only `score` reads (a gamma, a
kernel) costs no forward. The evaluator groups proxies by their needs: all scores that observe a forward share one.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np

from rbflex_evo.fitness.passes.observer import CandidateFailed, Observer, Statistics
from rbflex_evo.spaces import ConfigError, Genotype, Registry, SearchSpace, parse
from rbflex_evo.spaces import Parameters as AnyParameters

if TYPE_CHECKING:
    from rbflex_evo.fitness.passes.repair import Repair
    from rbflex_evo.fitness.passes.subject import Subject

PROXIES = Registry("proxy")
PROXIES.register("rbflex", "rbflex_evo.fitness.proxies.rbflex.score:Rbflex")
PROXIES.register("layered", "rbflex_evo.fitness.proxies.rbflex.layered:Layered")
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
PROXIES.register("near", "rbflex_evo.fitness.proxies.near:Near")
PROXIES.register("dextr", "rbflex_evo.fitness.proxies.dextr:Dextr")
PROXIES.register("params", "rbflex_evo.fitness.proxies.counts:NumberOfParameters")
PROXIES.register("flops", "rbflex_evo.fitness.proxies.counts:NumberOfFlops")
PROXIES.register("depth", "rbflex_evo.fitness.proxies.counts:NetworkDepth")
PROXIES.register("n_conv", "rbflex_evo.fitness.proxies.counts:NumberOfConvolutions")
PROXIES.register("log_channels", "rbflex_evo.fitness.proxies.layer_counts:LogChannels")
PROXIES.register("depth_width", "rbflex_evo.fitness.proxies.layer_counts:DepthWidth")
PROXIES.register("early_depth", "rbflex_evo.fitness.proxies.layer_counts:EarlyDepth")
PROXIES.register("late_depth", "rbflex_evo.fitness.proxies.layer_counts:LateDepth")
PROXIES.register("mlp_ratio", "rbflex_evo.fitness.proxies.layer_counts:MlpRatio")
PROXIES.register("nsc", "rbflex_evo.fitness.proxies.nsc:Nsc")
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
PROXIES.register("l_swag", "rbflex_evo.fitness.proxies.l_swag:LSwag")
PROXIES.register("intrain", "rbflex_evo.fitness.proxies.intrain:InTrain")
PROXIES.register("ntk_cond", "rbflex_evo.fitness.proxies.ntk:NtkCond")
PROXIES.register("vkdnw", "rbflex_evo.fitness.proxies.vkdnw:Vkdnw")


class ForwardKind(NamedTuple):
    """How a forward is run for observers. Scores of equal kinds share one forward.

    Attributes:
        statistics_of: Inputs that batch normalisation takes its statistics from.
        layers: Layers that observers see.
        repair: Changes of the forward, None for the plain one.
    """

    statistics_of: Literal["image", "batch"]
    layers: Literal["activations", "published"]
    repair: Repair | None = None


class Proxy(ABC):
    """Training-free score of a network; higher is better, so a subclass chooses the sign accordingly.

    Attributes:
        name: The registered name.
        version: Version of the statistics, raised when their meaning changes.
        description: One line for lists and reports.
        needs: "forward" for an observer of a shared forward, "network" for passes of its own over one network. An instance may
            set it by its parameters.
        cost: The most expensive pass of the score: "data-free" (no image is read), "forward" or "backward".
        is_count: Whether the score counts something of the network, as a naive baseline; ``correlate`` judges others beside counts.
        uses_labels: Whether labels or targets influence the statistics.
        measured_by: Names of the parameters that influence the statistics; the others are read by `score` alone.
        Parameters: Model of the parameters.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    description: ClassVar[str] = ""
    needs: Literal["forward", "network"] = "forward"
    cost: ClassVar[Literal["data-free", "forward", "backward"]] = "forward"
    is_count: ClassVar[bool] = False
    uses_labels: ClassVar[bool] = False
    measured_by: ClassVar[tuple[str, ...]] = ()
    Parameters: ClassVar[type[AnyParameters]] = AnyParameters

    def __init__(self, parameters: AnyParameters | None = None) -> None:
        self.parameters = self.Parameters() if parameters is None else parameters

    @property
    def statistics_of(self) -> Literal["image", "batch"]:
        """The inputs that batch normalisation takes its statistics from: each "image" alone, or the whole "batch"."""
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
    def repair(self) -> Repair | None:
        """The changes of the observed forward, None for the plain one."""
        return None

    @property
    def forward_kind(self) -> ForwardKind:
        """How the forward is run for the observer."""
        return ForwardKind(self.statistics_of, self.layers, self.repair)

    @property
    def identity(self) -> dict[str, object]:
        """Everything that the statistics depend on except network, weights and inputs, as plain data; part of the cache key."""
        decisive = self.parameters.model_dump(mode="json", include=set(self.measured_by))
        repair = {} if self.repair is None else {"repair": asdict(self.repair)}
        return {"proxy": self.name, "version": self.version, "of": self.statistics_of, "layers": self.layers, **repair, **decisive}

    def for_space(self, space: SearchSpace) -> Proxy:
        """Returns the proxy that scores networks of `space`; by default the same one for every space."""
        return self

    def check(self, space: SearchSpace) -> None:
        """Checks that the score is defined on `space`; called once before anything is measured.

        Raises:
            ConfigError: If the space lacks something that the score needs.
        """
        if self.repair is not None and space.inputs == "words":
            raise ConfigError(
                f"{self.name} with a repair changes convolutions and batch normalisation, which the networks of words of "
                f"{space.name} do not have; leave out repair"
            )

    def facts(self, space: SearchSpace, genotype: Genotype) -> Statistics:
        """Returns statistics that need no forward, in addition to those of the observer (needs == "forward"); none by default."""
        return {}

    def observer(self) -> Observer:
        """Returns a new observer for one network (needs == "forward")."""
        raise NotImplementedError

    def measure(self, subject: Subject) -> Statistics:
        """Runs the candidate and returns its statistics (needs == "network"); everything that it changes is restored.

        Raises:
            CandidateFailed: If the network is dead.
        """
        raise NotImplementedError

    @property
    def calibration_networks(self) -> int:
        """Number of networks of the space that a calibration measures before anything is scored, outside every budget."""
        return 0

    @property
    def calibration_identity(self) -> dict[str, object]:
        """Everything that a calibration depends on except those networks' statistics, as plain data."""
        return {}

    def calibrate(self, samples: Sequence[Statistics], rng: np.random.Generator) -> dict[str, float]:
        """Returns the calibration values of the space (RBFleX: its gammas), as plain data."""
        return {}

    def calibrated(self, values: Mapping[str, float]) -> Proxy:
        """Returns the proxy with these calibration values."""
        return self

    @abstractmethod
    def score(self, statistics: Statistics) -> float:
        """Returns the score, a finite float; higher is better.

        Raises:
            CandidateFailed: If the score is undefined for these statistics.
        """

    def score_many(self, statistics: Statistics) -> np.ndarray:
        """Returns the scores [M] of M candidates whose statistics are stacked [M, ...], NaN where a candidate fails."""
        count = len(next(iter(statistics.values())))
        scores = np.full(count, np.nan)
        for i in range(count):
            with contextlib.suppress(CandidateFailed):
                scores[i] = self.score({name: array[i] for name, array in statistics.items()})
        return scores


def create_proxy(name: str, **values: Any) -> Proxy:
    """Returns the registered proxy `name` with the parameters `values`.

    Args:
        name: The registered name.
        values: Parameters of the proxy, as in a configuration.

    Raises:
        UnknownNameError: If no proxy has that name.
        ConfigError: If a parameter is unknown or has a wrong type.
    """
    proxy: type[Proxy] = PROXIES.get(name)
    return proxy(parse(proxy.Parameters, values, f"fitness.proxies.{name}"))
