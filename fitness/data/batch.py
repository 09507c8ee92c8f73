"""Where the N inputs of a score come from: what a batch is, and the contract of a data source (those that there are: `sources`).

Every input is drawn by a generator of the source's own seed, so a batch is a pure function of its parameters and files.
The input hardly matters to RBFleX (noise ranks networks as images do), so noise is the default that needs no download.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from rbflex_evo.spaces import Parameters, Registry, parse

if TYPE_CHECKING:
    import torch

sources = Registry("data source")
sources.register("noise", "rbflex_evo.fitness.data.random_inputs:Noise")
sources.register("words", "rbflex_evo.fitness.data.random_inputs:Words")
sources.register("cifar10", "rbflex_evo.fitness.data.datasets:Cifar10")
sources.register("cifar100", "rbflex_evo.fitness.data.datasets:Cifar100")
sources.register("imagenet16_120", "rbflex_evo.fitness.data.datasets:ImageNet16")
sources.register("folder", "rbflex_evo.fitness.data.image_folder:Folder")
sources.register("taskonomy", "rbflex_evo.fitness.data.image_folder:Taskonomy")
sources.register("sst2", "rbflex_evo.fitness.data.sentences:Sst2")
sources.register("file", "rbflex_evo.fitness.data.arrays:File")


@dataclass(frozen=True, eq=False)
class Batch:
    """The inputs that every network of a run sees.

    Attributes:
        images: float32 [N, ...], or int64 word ids [N, length] with 0 for padding; on the CPU.
        labels: int64 [N], None where the source has none.
        description: one line for reports.
    """

    images: torch.Tensor = field(repr=False)
    labels: torch.Tensor | None = field(default=None, repr=False)
    description: str = ""

    @property
    def kind(self) -> Literal["images", "words"]:
        """What the inputs are."""
        return "images" if self.images.is_floating_point() else "words"

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over type, shape and bytes of the inputs; equal for equal ones wherever they came from."""
        images = self.images.contiguous().cpu().numpy()
        digest = hashlib.sha256(f"{images.dtype.str} {images.shape} ".encode())
        digest.update(images.tobytes())
        return digest.hexdigest()

    @cached_property
    def labels_fingerprint(self) -> str | None:
        """SHA-256 over the labels; None where there are none."""
        return None if self.labels is None else hashlib.sha256(self.labels.numpy().tobytes()).hexdigest()


def create_batch(source: str, **values: object) -> Batch:
    """Returns a batch of the registered `source` with those parameters, the ``data`` section of a configuration.

    Raises:
        UnknownNameError: if no source has that name.
        ConfigError: if a parameter is unknown or of a wrong type.
        DataError: if inputs are missing, unreadable or too few.
    """
    found: type[Source] = sources.get(source)
    return found(parse(found.Parameters, values, "data")).batch()


class Source(ABC):
    """Where inputs come from.

    Attributes:
        name: the registered name.
        description: one line for lists.
        parameters: what the configuration set.
    """

    name: ClassVar[str]
    description: ClassVar[str] = ""
    Parameters: ClassVar[type[Parameters]] = Parameters

    def __init__(self, parameters: Any) -> None:
        self.parameters = parameters

    @abstractmethod
    def batch(self) -> Batch:
        """Loads the inputs.

        Raises:
            DataError: if they are missing, unreadable or too few.
        """
