"""What identifies the code that a statistic depends on, for spaces and scores that are not of this package.

The space and the score are identified by their code and state. Each network is identified as it was built, because the code may
read what no fingerprint of code sees. A network is built in the worker that would measure it.
"""

from __future__ import annotations

import numpy as np
import torch

from rbflex_evo.fitness.passes.activations import is_activation
from rbflex_evo.fitness.passes.observer import Statistics
from rbflex_evo.fitness.passes.subject import Subject
from rbflex_evo.fitness.proxies.proxy import Proxy
from rbflex_evo.spaces import Genotype, SearchSpace
from rbflex_evo.spaces.fingerprint import Known, Unsure, fingerprint, is_ours, strangers

NAME = "fingerprint"
# What every network may call, and a program may have replaced.
COMMON = (torch, torch.nn.functional, torch.Tensor)


def space_code(space: SearchSpace) -> dict[str, object]:
    """Returns what identifies the code and the weights of a space, as plain data; empty if all of it is of this package.

    Raises:
        Unsure: If it cannot be identified.
    """
    strange = strangers(space)
    if not strange:
        return {}
    weights = {"largest": dict(space.weight_shapes()), "known": dict(space.known_weights())}
    return {"space": _named("space", space.name, *strange, *COMMON), "weights": _named("weights of space", space.name, weights)}


def proxy_code(proxy: Proxy) -> dict[str, object]:
    """Returns what identifies the code of a score, as plain data; empty if it is of this package.

    Raises:
        Unsure: If it cannot be identified.
    """
    return {} if is_ours(type(proxy)) else {"score": _named("score", proxy.name, proxy)}


def _named(kind: str, name: str, *things: object) -> str:
    try:
        return fingerprint(*things)
    except Unsure as unsure:
        raise Unsure(f"{kind} {name!r}: {unsure}") from None


class NetworkFingerprint(Proxy):
    """Fingerprint of a built network and its plan, measured as if it were a score, so that workers share the building."""

    name = NAME
    needs = "network"

    def __init__(self) -> None:
        super().__init__()
        # Lasts for one group of candidates, so that a change of the code is noticed by the next.
        self._known = Known()

    def measure(self, subject: Subject) -> Statistics:
        """Returns the fingerprint, or the reason why there is none."""
        network = subject.network
        plan = subject.space.plan(subject.genotype, tuple(subject.images.shape[1:]))
        # Names by which scores choose layers.
        chosen = [(is_activation(module), "ReLU" in type(module).__name__) for module in network.modules()]
        try:
            return {NAME: np.array(fingerprint(network, plan, chosen, *COMMON, known=self._known))}
        except Unsure as unsure:
            return {"unsure": np.array(str(unsure))}

    def score(self, statistics: Statistics) -> float:
        """Refuses, because a fingerprint is no score."""
        raise NotImplementedError("a fingerprint is no score")


def network_key(space: SearchSpace, genotype: Genotype, found: Statistics) -> str:
    """Returns what identifies a network of a space that is not of this package.

    Raises:
        Unsure: If its fingerprint could not be given.
    """
    notation = space.notation(genotype)
    if NAME not in found:
        raise Unsure(f"network {notation!r} of space {space.name!r}: {found['unsure']}")
    return f"{notation} {found[NAME]}"
