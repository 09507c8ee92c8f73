"""A network that ``export`` wrote, read back: what it is, and the network itself.

    from rbflex_evo.engine import load_network
    network = load_network("runs/quickstart/export/1")       # a plain torch module in training mode

A folder holds ``architecture.json`` (below as `Architecture`), ``state_dict.pt``, a drawing and a page to read, and where they were
asked for ``network.pt2`` and ``network.onnx``.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.spaces import RbflexEvoError, RunError, SearchSpace, create_space, file_error
from rbflex_evo.spaces.errors import reason
from rbflex_evo.spaces.isolation.settings import own_settings

if TYPE_CHECKING:
    from torch import nn

VERSION: Literal[1] = 1
FILE, STATE, PROGRAM, ONNX = "architecture.json", "state_dict.pt", "network.pt2", "network.onnx"


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class Space(_Part):
    """The search space, and its version when the network was written."""

    name: str
    version: int
    parameters: dict[str, Any]


class Run(_Part):
    """Where the network was found.

    Attributes:
        name: of the run.
        finished: whether the search was over.
        evaluations: how many candidates it had evaluated.
        place: of this network among those that were exported, from 1.
        scores: raw scores by proxy.
        costs: by metric, of the network that is scored; those alone that the run asked for.
    """

    name: str
    finished: bool
    evaluations: int
    place: int
    scores: dict[str, float]
    costs: dict[str, float]


class ExportedCosts(_Part):
    """Parameters and multiply-accumulates on one input, of the network that is in the folder."""

    params: float
    flops: float


class Interface(_Part):
    """What goes in and comes out.

    Attributes:
        kind: images are float32, words are int64 ids.
        shape: of one input.
        outputs: shape of the output for one input.
    """

    kind: Literal["images", "words"]
    shape: list[int]
    outputs: list[int]


class Architecture(_Part):
    """All that is known about an exported network.

    Attributes:
        notation: the genotype in its benchmark's notation.
        key: the canonical name of the architecture.
        weights: the seed and the distribution of the weights; each is a pure function of them and its name.
        checksums: SHA-256 of the folder's other files by name.
        versions: of what wrote it.
    """

    version: Literal[1]
    space: Space
    genotype: list[int]
    notation: str
    key: str
    run: Run
    costs: ExportedCosts
    interface: Interface
    weights: WeightParameters
    checksums: dict[str, str]
    versions: dict[str, str]

    def scored_costs(self) -> str | None:
        """Returns a sentence on what the run counted, where that is not what the exported network costs."""
        own = self.costs.model_dump()
        units = {"params": "parameters", "flops": "multiply-accumulates"}
        counted = {name: cost for name, cost in self.run.costs.items() if name in own and cost != own[name]}
        if not counted:
            return None
        amounts = " and ".join(f"{cost:,.0f} {units[name]}" for name, cost in counted.items())
        return f"the search counted {amounts}: in the network that it scores, what carries nothing is left out"

    def create_space(self) -> SearchSpace:
        """Returns the space.

        Raises:
            UnknownNameError: if it is not installed.
            RunError: if its networks have changed since.
        """
        space = create_space(self.space.name, **self.space.parameters)
        if space.version != self.space.version:
            raise RunError(
                f"the network was written with version {self.space.version} of {self.space.name}, but this is version "
                f"{space.version}, whose networks differ; load it with rbflex-evo {self.versions['rbflex-evo']}, or export again"
            )
        return space


def read_architecture(folder: str | Path) -> Architecture:
    """Returns what an exported network's folder says of it.

    Raises:
        RunError: if it is no such folder, or is damaged.
    """
    path = Path(folder) / FILE
    try:
        return Architecture.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise RunError(f"{str(folder)!r} holds no exported network: it has no {FILE}{_nearest(Path(folder))}") from None
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise RunError(f"{path} is damaged: {where}: {problem['msg']}; export the network again") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({reason(error)}); export the network again") from None


def _nearest(folder: Path) -> str:
    if (folder / "1" / FILE).exists():
        return f"; name one of the networks in it, such as {str(folder / '1')!r}"
    return "; make one with: rbflex-evo export RUN"


@own_settings()
def load_network(folder: str | Path, state_dict: str | Path | None = None, *, space: SearchSpace | None = None) -> nn.Module:
    """Builds an exported network with its weights, on the CPU, in float32 and in training mode.

    It is a plain torch module: its normalisation layers take the batch's statistics when it is trained, and their running ones in
    evaluation mode, which an untrained network has yet to gather.

    Args:
        folder: that ``export`` wrote, of one network.
        state_dict: a file of other weights for it, such as ``torch.save(network.state_dict(), path)`` left after training.
        space: the network's space, if a function of a notebook or a script builds it, which is not stored.

    Raises:
        RunError: if the folder or the weights are not there, damaged or do not fit.
        UnknownNameError: if the network's space is not installed.
    """
    import torch

    architecture = read_architecture(folder)
    network = build_initialised(space or architecture.create_space(), tuple(architecture.genotype), architecture.weights)
    path = Path(folder) / STATE if state_dict is None else Path(state_dict)
    try:
        if state_dict is None and checksum(path) != architecture.checksums.get(STATE):
            raise RunError(
                f"{path} is not what was exported: its checksum is wrong; export it again, or load weights of your own "
                "with load_network(folder, state_dict)"
            )
        network.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    except RbflexEvoError:
        raise
    except OSError as error:
        raise file_error(error, path, "read") from None
    except Exception as error:  # an unpickler has too many ways to fail to name them
        raise RunError(f"{path} holds no weights of {architecture.notation} ({reason(error)})") from None
    return network.train()


def checksum(path: Path) -> str:
    """Returns the SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
