"""A batch of N inputs, and the contract of a data source; `sources` registers the available ones.

Every input is drawn by a generator with the source's seed, so a batch is a pure function of its parameters and files. Inputs have
little influence on RBFleX (noise ranks networks as images do), so noise, which needs no download, is the default.
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
    """The inputs of every network of a run.

    Attributes:
        images: Images float32 [N, ...], or word ids int64 [N, length] with 0 for padding; on the CPU.
        labels: Labels int64 [N], None if the source has none.
        description: One line for reports.
        grey: True if they are grey images of a file, which may be repeated to three channels; noise of one channel may not.
    """

    images: torch.Tensor = field(repr=False)
    labels: torch.Tensor | None = field(default=None, repr=False)
    description: str = ""
    grey: bool = False

    @property
    def kind(self) -> Literal["images", "words"]:
        """Kind of the inputs."""
        return "images" if self.images.is_floating_point() else "words"

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of type, shape and bytes of the inputs, independent of their source."""
        images = self.images.contiguous().cpu().numpy()
        digest = hashlib.sha256(f"{images.dtype.str} {images.shape} ".encode())
        digest.update(images.tobytes())
        return digest.hexdigest()

    @cached_property
    def labels_fingerprint(self) -> str | None:
        """SHA-256 of the labels, None if there are none."""
        return None if self.labels is None else hashlib.sha256(self.labels.numpy().tobytes()).hexdigest()


def create_batch(source: str, **values: object) -> Batch:
    """Returns a batch of a registered data source.

    Args:
        source: Registered name of the source.
        values: Parameters of the source, the rest of the ``data`` section of a configuration.

    Raises:
        UnknownNameError: If no source has that name.
        ConfigError: If a parameter is unknown or has a wrong type.
        DataError: If inputs are missing, unreadable or too few.
    """
    found: type[Source] = sources.get(source)
    return found(parse(found.Parameters, values, "data")).batch()


class Source(ABC):
    """Data source, which loads a batch of inputs.

    Attributes:
        name: The registered name.
        description: One line for lists.
        Parameters: Model of the parameters.
        parameters: Values of the parameters.
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
            DataError: If inputs are missing, unreadable or too few.
        """
