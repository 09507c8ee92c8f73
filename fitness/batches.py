"""Where the N inputs of a score come from: noise, CIFAR, ImageNet16-120, a folder of images, a file of arrays.

Every image is drawn by a generator of the source's own seed, so a batch is a pure function of its parameters and files.
The input hardly matters to RBFleX (noise ranks networks as images do), so noise is the default that needs no download.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from spaces import DataError, Parameters, Registry, parse
from spaces.errors import reason

from .image_files import read_array, read_image, read_pickled_images

if TYPE_CHECKING:
    import torch

SUFFIXES = (".jpg", ".jpeg", ".png")

sources = Registry("data source")
sources.register("noise", "fitness.batches:Noise")
sources.register("cifar10", "fitness.batches:Cifar10")
sources.register("cifar100", "fitness.batches:Cifar100")
sources.register("imagenet16_120", "fitness.batches:ImageNet16")
sources.register("folder", "fitness.batches:Folder")
sources.register("file", "fitness.batches:File")


@dataclass(frozen=True, eq=False)
class Batch:
    """The inputs that every network of a run sees.

    Attributes:
        images: float32 [N, ...], on the CPU.
        labels: int64 [N], None where the source has none.
        description: one line for reports.
    """

    images: torch.Tensor = field(repr=False)
    labels: torch.Tensor | None = field(repr=False)
    description: str

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over type, shape and bytes of the images; equal for equal images wherever they came from."""
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
        DataError: if images are missing, unreadable or too few.
    """
    found = sources.get(source)
    return found(parse(found.Parameters, values, "data")).batch()


class Source(ABC):
    """Where images come from.

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
        """Loads the images.

        Raises:
            DataError: if they are missing, unreadable or too few.
        """


class NoiseParameters(Parameters):
    """Shape of one input, number of inputs, seed."""

    shape: list[int] = Field([3, 32, 32], min_length=1)
    n: int = Field(16, ge=1)
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _positive(self) -> NoiseParameters:
        if min(self.shape) < 1:
            raise ValueError("lengths of 'shape' must be positive")
        return self


class Noise(Source):
    """N(0, 1) noise."""

    name = "noise"
    description = "N(0, 1) noise of any shape; needs no files"
    Parameters = NoiseParameters
    parameters: NoiseParameters

    def batch(self) -> Batch:
        import torch

        shape = self.parameters.shape
        rng = np.random.Generator(np.random.Philox(self.parameters.seed))
        images = rng.standard_normal((self.parameters.n, *shape), dtype=np.float32)
        text = f"{len(images)} inputs of N(0, 1) noise, {'x'.join(map(str, shape))}, seed {self.parameters.seed}"
        return Batch(torch.from_numpy(images), None, text)


class DatasetParameters(Parameters):
    """A data set's folder, the number of images, and which.

    Attributes:
        root: folder that holds the data set's official files.
        train: images of the training set rather than of the test or validation set.
    """

    root: str
    n: int = Field(16, ge=1)
    seed: int = Field(0, ge=0)
    train: bool = True


class CifarParameters(DatasetParameters):
    """`download` fetches the data set into `root` where it is missing (170 MB)."""

    download: bool = False


@dataclass(frozen=True)
class _Normal:
    """Channel means and standard deviations of a data set's training images in [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


class Cifar10(Source):
    """CIFAR-10 (Krizhevsky 2009) in its official Python files, normalised by its own mean and standard deviation."""

    name = "cifar10"
    description = "CIFAR-10 from its official Python files, downloaded on request"
    Parameters = CifarParameters
    parameters: CifarParameters
    folder, torchvision_name = "cifar-10-batches-py", "CIFAR10"
    training, testing = tuple(f"data_batch_{i}" for i in range(1, 6)), ("test_batch",)
    labels = "labels"
    normal = _Normal((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))

    def batch(self) -> Batch:
        if self.parameters.download:
            self._download()
        folder = _existing_folder(self.parameters.root) / self.folder
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
    normal = _Normal((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))


class ImageNet16(Source):
    """ImageNet16-120: the first 120 classes of ImageNet at 16 x 16 (Chrabaszcz et al. 2017; NAS-Bench-201)."""

    name = "imagenet16_120"
    description = "ImageNet16-120 from the official files of downsampled ImageNet, 16 x 16"
    Parameters = DatasetParameters
    parameters: DatasetParameters
    classes = 120
    normal = _Normal((0.4811, 0.4575, 0.4079), (0.2479, 0.2402, 0.2553))

    def batch(self) -> Batch:
        folder = _existing_folder(self.parameters.root)
        names = [f"train_data_batch_{i}" for i in range(1, 11)] if self.parameters.train else ["val_data"]
        files = [folder / name for name in names]
        return _drawn(self.name, files, "labels", (3, 16, 16), self.normal, self.parameters, self.classes)


class NormalisedParameters(Parameters):
    """`mean` and `std` of each channel normalise images in [0, 1]; give both or neither."""

    mean: list[float] | None = None
    std: list[float] | None = None

    @model_validator(mode="after")
    def _together(self) -> NormalisedParameters:
        if (self.mean is None) != (self.std is None):
            raise ValueError("give 'mean' and 'std' together or neither")
        if self.std is not None and min(self.std, default=0.0) <= 0:
            raise ValueError("'std' must be positive")
        return self

    @property
    def normal(self) -> _Normal | None:
        """Both, where they are given."""
        return None if self.mean is None or self.std is None else _Normal(tuple(self.mean), tuple(self.std))


class FolderParameters(NormalisedParameters):
    """A folder that is searched with all below it; images are resized and cropped to `size` x `size` pixels."""

    root: str
    n: int = Field(16, ge=1)
    seed: int = Field(0, ge=0)
    size: int = Field(32, ge=1)


class Folder(Source):
    """JPEG and PNG images of a folder and those below it: shorter side resized, centre cropped, RGB in [0, 1]."""

    name = "folder"
    description = "JPEG and PNG images of a folder, resized and cropped to a square"
    Parameters = FolderParameters
    parameters: FolderParameters

    def batch(self) -> Batch:
        root, n, seed = _existing_folder(self.parameters.root), self.parameters.n, self.parameters.seed
        files = sorted(file for file in root.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        chosen = _draw(len(files), n, seed, f"{self.parameters.root!r}")
        images = np.stack([read_image(files[i], self.parameters.size) for i in chosen])
        text = f"{n} images of {self.parameters.root}, {self.parameters.size} x {self.parameters.size}, seed {seed}"
        return _batch(images, None, text, self.parameters.normal)


class FileParameters(NormalisedParameters):
    """Arrays of a ``.npz``, ``.npy`` or ``.pt`` file.

    Attributes:
        array: name of the images; may be left out where the file holds one array.
        labels: name of the labels, integers [n].
        order: ``random`` draws n images without replacement, ``first`` takes the first n.
    """

    path: str
    array: str | None = None
    labels: str | None = None
    n: int = Field(16, ge=1)
    seed: int = Field(0, ge=0)
    order: Literal["random", "first"] = "random"


class File(Source):
    """Images from a file: uint8 ones (NHWC or NCHW) become NCHW in [0, 1], floats are taken as they are."""

    name = "file"
    description = "an array of images in an .npz, .npy or .pt file"
    Parameters = FileParameters
    parameters: FileParameters

    def batch(self) -> Batch:
        values = self.parameters
        images, labels = read_array(values.path, values.array, values.labels)
        where = f"{values.path!r}" if values.array is None else f"{values.array!r} of {values.path!r}"
        chosen = _draw(len(images), values.n, values.seed, where, values.order)
        picked = images[chosen]
        how = "the first ones" if values.order == "first" else f"seed {values.seed}"
        text = f"{values.n} images of {where}, {how}"
        return _batch(_channels_first(picked, where), None if labels is None else labels[chosen], text, values.normal)


def _drawn(
    name: str,
    files: Sequence[Path],
    label: str,
    shape: tuple[int, int, int],
    normal: _Normal,
    values: DatasetParameters,
    classes: int | None = None,
) -> Batch:
    """Draws from a data set's official files; with `classes`, from labels 1 .. classes, which become 0 .. classes - 1."""
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
    chosen = _draw(len(pool), values.n, values.seed, f"{values.root!r}")
    text = f"{values.n} {'training' if values.train else 'test'} images of {name}, seed {values.seed}"
    return _batch(pool[chosen], every[chosen], text, normal)


def _draw(there: int, n: int, seed: int, where: str, order: str = "random") -> np.ndarray:
    """Returns n distinct positions below `there`."""
    if there < n:
        raise DataError(f"{where} has {there} images, but data.n asks for {n}; lower data.n or add images")
    if order == "first":
        return np.arange(n)
    return np.random.Generator(np.random.Philox(seed)).choice(there, n, replace=False)


def _batch(images: np.ndarray, labels: np.ndarray | None, text: str, normal: _Normal | None) -> Batch:
    """Makes a batch of NCHW images: bytes become [0, 1], then channels are normalised."""
    import torch

    if images.dtype == np.uint8:
        images = images.astype(np.float32) / np.float32(255)
    if normal is not None:
        if images.ndim != 4 or not images.shape[1] == len(normal.mean) == len(normal.std):
            raise DataError(
                f"data.mean and data.std have {len(normal.mean)} and {len(normal.std)} values, "
                f"but the images have shape {images.shape}; give one value a channel"
            )
        mean, std = (np.asarray(v, np.float32)[:, None, None] for v in (normal.mean, normal.std))
        images = (images - mean) / std
    floats = np.ascontiguousarray(images, dtype=np.float32)
    if not np.isfinite(floats).all():
        raise DataError(f"{text}: some values are NaN or infinite; every pixel must be a finite number")
    numbers = None if labels is None else torch.from_numpy(np.ascontiguousarray(labels, dtype=np.int64))
    return Batch(torch.from_numpy(floats), numbers, text)


def _channels_first(images: np.ndarray, where: str) -> np.ndarray:
    if images.dtype != np.uint8:
        return images
    # Three columns of pixels are rarer than three colours, so what could be either is read as NHWC.
    if images.ndim == 4 and images.shape[3] in (1, 3):
        return images.transpose(0, 3, 1, 2)
    if images.ndim == 4 and images.shape[1] in (1, 3):
        return images
    raise DataError(f"{where} has bytes of shape {images.shape}; expected [n, height, width, 3] or [n, 3, height, width]")


def _existing_folder(root: str) -> Path:
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise DataError(f"no folder {root!r}; check data.root")
    return folder
