"""Data sets of small images in their official files: CIFAR-10, CIFAR-100, ImageNet16-120."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from rbflex_evo.spaces import DataError, Parameters
from rbflex_evo.spaces.errors import reason

from .batch import Batch, Source
from .choosing import chosen_positions, existing_folder
from .files import read_pickled_images
from .pixels import Normal, image_batch


class DatasetParameters(Parameters):
    """Parameters of a data set.

    Attributes:
        root: folder that holds the data set's official files.
        n: Number of inputs.
        seed: Seed that selects the inputs.
        train: images of the training set rather than of the test or validation set.
    """

    root: str
    n: int = Field(16, ge=1)
    seed: int = Field(0, ge=0)
    train: bool = True


class CifarParameters(DatasetParameters):
    """`download` fetches the data set into `root` where it is missing (170 MB).

    Attributes:
        download: Whether to download the data set where it is missing.
    """

    download: bool = False


class Cifar10(Source):
    """CIFAR-10 (Krizhevsky 2009) in its official Python files, normalised by its own mean and standard deviation."""

    name = "cifar10"
    description = "CIFAR-10 from its official Python files, downloaded on request"
    Parameters = CifarParameters
    parameters: CifarParameters
    folder, torchvision_name = "cifar-10-batches-py", "CIFAR10"
    training, testing = tuple(f"data_batch_{i}" for i in range(1, 6)), ("test_batch",)
    labels = "labels"
    normal = Normal((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))

    def batch(self) -> Batch:
        """Loads the inputs.

        Raises:
            DataError: If inputs are missing, unreadable or too few.
        """
        if self.parameters.download:
            self._download()
        folder = existing_folder(self.parameters.root) / self.folder
        if not folder.is_dir():
            raise DataError(f"no folder {str(folder)!r}; unpack the data set there or set data.download to true")
        files = [folder / name for name in (self.training if self.parameters.train else self.testing)]
        return _drawn(self.name, files, self.labels, (3, 32, 32), self.normal, self.parameters)

    def _download(self) -> None:
        from torchvision import datasets

        try:
            getattr(datasets, self.torchvision_name)(self.parameters.root, download=True)
        except (OSError, RuntimeError) as error:
            raise DataError(f"cannot download {self.name} into {self.parameters.root!r}: {reason(error)}") from error


class Cifar100(Cifar10):
    """CIFAR-100 (Krizhevsky 2009) in its official Python files, normalised by its own mean and standard deviation."""

    name = "cifar100"
    description = "CIFAR-100 from its official Python files, downloaded on request"
    folder, torchvision_name = "cifar-100-python", "CIFAR100"
    training, testing = ("train",), ("test",)
    labels = "fine_labels"
    normal = Normal((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))


class ImageNet16(Source):
    """ImageNet16-120: the first 120 classes of ImageNet at 16 x 16 (Chrabaszcz et al. 2017; NAS-Bench-201)."""

    name = "imagenet16_120"
    description = "ImageNet16-120 from the official files of downsampled ImageNet, 16 x 16"
    Parameters = DatasetParameters
    parameters: DatasetParameters
    classes = 120
    normal = Normal((0.4811, 0.4575, 0.4079), (0.2479, 0.2402, 0.2553))

    def batch(self) -> Batch:
        """Loads the inputs.

        Raises:
            DataError: If inputs are missing, unreadable or too few.
        """
        folder = existing_folder(self.parameters.root)
        names = [f"train_data_batch_{i}" for i in range(1, 11)] if self.parameters.train else ["val_data"]
        files = [folder / name for name in names]
        return _drawn(self.name, files, "labels", (3, 16, 16), self.normal, self.parameters, self.classes)


def _drawn(
    name: str,
    files: Sequence[Path],
    label: str,
    shape: tuple[int, int, int],
    normal: Normal,
    values: DatasetParameters,
    classes: int | None = None,
) -> Batch:
    """Draws images of a data set's official files; with `classes`, of labels 1 .. classes, which become 0 .. classes - 1."""
    from tqdm import tqdm

    images, labels = [], []
    for file in tqdm(files, desc=f"{name} files", delay=2, disable=None):
        data, numbers = read_pickled_images(file, label, shape)
        if classes is not None:
            kept = (numbers >= 1) & (numbers <= classes)
            data, numbers = data[kept], numbers[kept] - 1
        images.append(data)
        labels.append(numbers)
    pool, every = np.concatenate(images), np.concatenate(labels)
    chosen = chosen_positions(len(pool), values.n, values.seed, f"{values.root!r}")
    text = f"{values.n} {'training' if values.train else 'test'} images of {name}, seed {values.seed}"
    return image_batch(pool[chosen], every[chosen], text, normal)
