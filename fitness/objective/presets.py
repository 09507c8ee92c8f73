"""Named combinations of scores by rank: plain data, what ``fitness: {preset: rbflex_rank}`` in a configuration stands for.

    rank_nas          Rank-based NAS (Wu et al., 2023): the sum of the ranks
    az_nas            AZ-NAS (Lee & Ham, CVPR 2024): the sum of the logarithms of rank / m
    rbflex_naswot, rbflex_synflow      RBFleX beside one other score
    rbflex_rank, rbflex_search         ours: which of two architectures is better, and which one to take in the end

A preset is nothing but its members and its rule: a configuration that names one is expanded before anything else reads it, and
what it expands to is what a run keeps.

Ours are chosen on nats_tss and CIFAR-10 alone, on one half of the cells, `numpy.random.default_rng(11).permutation(15625)[:7812]`,
among all sets of rbflex and up to five of nine other scores, and left untouched for everything else. `rbflex_rank` has the highest
tau on the first 2,000 of them (.806). `rbflex_search` is within 0.01 points of the highest mean accuracy of the first of 1,000
(93.89), and of those that are the one whose first five cells are the best (94.12 in the mean). The figures of the other half and of
the whole table were in sight when near ties were decided, so they are no blind test.

Two scores were no candidates for reasons of what they are: the number of 3 x 3 convolutions is the same for whole spaces, and the
least eigenvalues of MeCo fall with the width of a layer, so that it orders nats_sss backwards (Kendall -0.75). With both of them
the tau would have been .821.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rbflex_evo.spaces import Registry


@dataclass(frozen=True)
class Preset:
    """A combination of scores.

    Attributes:
        description: one line for ``list presets``.
        members: the proxies that count, in order.
        rule: how their ranks are combined (see `fitness.objective`).
        parameters: of members, by name, where they are not the defaults.
        weights: one a member; empty for equal ones.
    """

    description: str
    members: tuple[str, ...]
    rule: Literal["linear", "log"] = "log"
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    weights: tuple[float, ...] = ()

    @property
    def proxies(self) -> dict[str, dict[str, Any]]:
        """What the preset writes into ``fitness.proxies``."""
        return {name: dict(self.parameters.get(name, {})) for name in self.members}

    @property
    def objective(self) -> dict[str, Any]:
        """What the preset writes into ``fitness.objective``."""
        weights = {"weights": list(self.weights)} if self.weights else {}
        return {"rank": list(self.members), "rule": self.rule, **weights}


PRESETS = Registry("preset")

# The one place that says what the two presets of ours are made of.
PRESETS.register(
    "rbflex_rank",
    Preset(
        "which of two architectures is better: RBFleX, SWAP, parameters, expressivity and progressivity of AZ-NAS",
        ("rbflex", "swap", "params", "az_expressivity", "az_progressivity"),
    ),
)
PRESETS.register(
    "rbflex_search",
    Preset(
        "which architecture to take in the end: RBFleX, progressivity of AZ-NAS, synaptic flow",
        ("rbflex", "az_progressivity", "synflow"),
    ),
)
PRESETS.register("rbflex_naswot", Preset("RBFleX and NASWOT: two views of how differently images pass", ("rbflex", "naswot")))
PRESETS.register("rbflex_synflow", Preset("RBFleX and synaptic flow: the images and the weights", ("rbflex", "synflow")))
PRESETS.register(
    "rank_nas",
    Preset(
        "Rank-based NAS: noise immunity, NASWOT and logarithmic synaptic flow, ranks added",
        ("ni", "naswot", "logsynflow"),
        rule="linear",
    ),
)
PRESETS.register(
    "az_nas",
    Preset(
        "AZ-NAS: expressivity, progressivity, trainability and FLOPs",
        ("az_expressivity", "az_progressivity", "az_trainability", "flops"),
    ),
)
