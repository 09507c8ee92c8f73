"""Readers of image and array files; none of them runs code from a file."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from rbflex_evo.spaces import DataError, near_name
from rbflex_evo.spaces.errors import listed, reason


def read_pickled_images(file: Path, label: str, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Reads one official file of CIFAR or downsampled ImageNet, a pickled dictionary of flat images and labels.

    Args:
        file: Path of the file.
        label: Key of the labels in the dictionary.
        shape: Shape of one image, (channels, height, width).

    Returns:
        Images uint8 [n, *shape] and labels int64 [n].

    Raises:
        DataError: If the file is missing, damaged or has other content.
    """
    if not file.is_file():
        raise DataError(f"no file {str(file)!r}; expected the data set's official files there")
    try:
        with file.open("rb") as opened:
            content = _ArrayUnpickler(opened, encoding="latin1").load()
        images = np.asarray(content["data"]).reshape(-1, *shape)
        labels = np.asarray(content[label], dtype=np.int64)
    except Exception as error:
        raise DataError(f"{str(file)!r} is not one of the data set's official files: {reason(error)}") from error
    if images.dtype != np.uint8 or labels.shape != (len(images),):
        raise DataError(
            f"{str(file)!r} holds {images.dtype} images {images.shape} and labels {labels.shape}; "
            "expected bytes and one label per image"
        )
    return images, labels


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickler of numpy arrays alone, so that a file cannot run code."""

    def find_class(self, module: str, name: str) -> Any:
        # This function of numpy has moved since the official files were written; any array refers to its current place.
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np.empty(0).__reduce__()[0]
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):
            return _latin1
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is not allowed in such a file")


def _latin1(text: str, encoding: str) -> bytes:
    # Old pickles write bytes as text in this encoding only.
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it has bytes encoded as {encoding!r}")
    return text.encode("latin1")


def read_image(file: Path, size: int) -> np.ndarray:
    """Reads one image as uint8 [3, size, size]: the shorter side is resized to `size`, and the centre is cropped.

    Grey images and palettes become three channels, an alpha channel is left out, and 16 bits become 8.

    Raises:
        DataError: If the file is not a readable image.
    """
    from PIL import Image

    try:
        with Image.open(file) as opened:
            image = _eight_bits(opened).convert("RGB")
    except Exception as error:  # a damaged file may raise anything
        raise DataError(f"{str(file)!r} is not an image that can be read: {reason(error)}") from error
    scale = size / min(image.size)
    width, height = (max(size, round(length * scale)) for length in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized.crop((left, top, left + size, top + size))).transpose(2, 0, 1)


def _eight_bits(image: Any) -> Any:
    """Returns an image with 8 bits a channel; Pillow's conversion would cut grey values of 16 bits off at 255."""
    from PIL import Image

    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers")
    if not image.mode.startswith("I"):
        return image
    grey = np.asarray(image)
    if grey.min() < 0 or grey.max() > 65535:
        raise ValueError("its pixels have more than 16 bits")
    return Image.fromarray((grey.astype(np.uint32) // 257).astype(np.uint8))


def read_array(path: str, array: str | None, labels: str | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Reads inputs [n, ...] (bytes, floats or integers) and their labels [n].

    Args:
        path: Path of a ``.npz``, ``.npy`` or ``.pt`` file.
        array: Name of the inputs; None for the only array of the file.
        labels: Name of the labels; None for no labels.

    Raises:
        DataError: If the file or an array is missing, damaged, or has a wrong type or shape.
    """
    with _opened(path) as arrays:
        inputs = _pick(path, arrays, array)
        numbers = None if labels is None else _pick(path, arrays, labels)
    if inputs.ndim < 2 or inputs.dtype.kind not in "fiu":
        raise DataError(f"{path!r} holds {inputs.dtype} of shape {inputs.shape}; expected bytes, floats or word ids [n, ...]")
    if numbers is not None and not (np.issubdtype(numbers.dtype, np.integer) and numbers.shape == inputs.shape[:1]):
        raise DataError(f"{labels!r} of {path!r} holds {numbers.dtype} of shape {numbers.shape}; expected {len(inputs)} integers")
    return inputs, numbers


def _pick(path: str, arrays: Mapping[str, np.ndarray], name: str | None) -> np.ndarray:
    if name is None:
        if len(arrays) != 1:
            raise DataError(f"{path!r} holds {len(arrays)} arrays; name one in data.array: {listed(sorted(arrays))}")
        name = next(iter(arrays))
    if name not in arrays:
        raise DataError(f"{path!r} has no array {name!r}{near_name(name, arrays)}")
    return arrays[name]


@contextmanager
def _opened(path: str) -> Iterator[Mapping[str, np.ndarray]]:
    """Context with the arrays of a file by name; the array of a file without names is called ``array``."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise DataError(f"no file {path!r}; check data.path")
    if file.suffix not in (".npz", ".npy", ".pt"):
        raise DataError(f"{path!r} ends in {file.suffix!r}; expected .npz, .npy or .pt")
    try:
        if file.suffix == ".npz":
            with np.load(file, allow_pickle=False) as arrays:
                yield arrays
        elif file.suffix == ".npy":
            yield {"array": np.lib.format.open_memmap(file, mode="r")}
        else:
            yield _tensors(file)
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{path!r} is not a {file.suffix} file of plain arrays: {reason(error)}") from error


def _tensors(file: Path) -> dict[str, np.ndarray]:
    import torch

    content = torch.load(file, map_location="cpu", weights_only=True)
    tensors = {"array": content} if isinstance(content, torch.Tensor) else content
    return {str(name): tensor.detach().numpy() for name, tensor in tensors.items() if isinstance(tensor, torch.Tensor)}
