"""Training-free fitness: scores of untrained networks, measured many at a time, cached, combined by rank."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spaces import Registry, parse

from .evaluation import Evaluation, six_digits
from .observer import CandidateFailed, Observer, Statistics
from .proxy import Proxy

if TYPE_CHECKING:
    from .batches import create_batch
    from .evaluator import Evaluator
    from .initialise import WeightParameters
    from .score import rbflex_score

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

METRICS = Registry("metric")
METRICS.register("params", "fitness.metrics:Params")
METRICS.register("flops", "fitness.metrics:Flops")
METRICS.register("depth", "fitness.metrics:Depth")
METRICS.register("activation_memory", "fitness.metrics:ActivationMemory")
METRICS.register("latency", "fitness.latency:Latency")
METRICS.register("latency_table", "fitness.latency:LatencyTable")


def create_proxy(name: str, **values: Any) -> Proxy:
    """Returns the registered proxy `name` with those parameters.

    Raises:
        UnknownNameError: if no proxy has that name.
        ConfigError: if a parameter is unknown or of a wrong type.
    """
    proxy = PROXIES.get(name)
    return proxy(parse(proxy.Parameters, values, f"fitness.proxies.{name}"))


# What needs torch is imported when it is first asked for, so that a command line answers at once.
_LATE = {
    "create_batch": "fitness.batches",
    "Evaluator": "fitness.evaluator",
    "WeightParameters": "fitness.initialise",
    "rbflex_score": "fitness.score",
}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        from importlib import import_module

        return getattr(import_module(_LATE[name]), name)
    raise AttributeError(f"module 'fitness' has no attribute {name!r}")


__all__ = [
    "METRICS",
    "PROXIES",
    "CandidateFailed",
    "Evaluation",
    "Evaluator",
    "Observer",
    "Proxy",
    "Statistics",
    "WeightParameters",
    "create_batch",
    "create_proxy",
    "rbflex_score",
    "six_digits",
]
