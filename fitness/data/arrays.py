"""The data source of an array file: images, feature vectors or word ids."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from rbflex_evo.spaces import DataError

from .batch import Batch, Source
from .choosing import chosen_positions
from .files import read_array
from .pixels import NormalisedParameters, image_batch


class FileParameters(NormalisedParameters):
    """Parameters of an array file.

    Attributes:
        path: The ``.npz``, ``.npy`` or ``.pt`` file.
        array: name of the inputs; may be left out where the file holds one array.
        labels: name of the labels, integers [n].
        n: Number of inputs.
        seed: Seed that selects the inputs.
        order: ``random`` draws n inputs without replacement, ``first`` takes the first n.
    """

    path: str
    array: str | None = None
    labels: str | None = None
    n: int = Field(16, ge=1)
    seed: int = Field(0, ge=0)
    order: Literal["random", "first"] = "random"


class File(Source):
    """Inputs of an array file, whose type decides their kind.

    Bytes are images (NHWC, NCHW, or grey ones, NHW) and become NCHW in [0, 1]. Floats are images or features and are not changed.
    Wider integers are word ids [n, length].
    """

    name = "file"
    description = "an array of images or word ids in an .npz, .npy or .pt file"
    Parameters = FileParameters
    parameters: FileParameters

    def batch(self) -> Batch:
        """Loads the inputs.

        Raises:
            DataError: If inputs are missing, unreadable or too few.
        """
        values = self.parameters
        inputs, labels = read_array(values.path, values.array, values.labels)
        where = f"{values.path!r}" if values.array is None else f"{values.array!r} of {values.path!r}"
        words = inputs.dtype != np.uint8 and np.issubdtype(inputs.dtype, np.integer)
        what = "sentences" if words else "images"
        chosen = chosen_positions(len(inputs), values.n, values.seed, where, values.order, what)
        picked, numbers = inputs[chosen], None if labels is None else labels[chosen]
        how = "the first ones" if values.order == "first" else f"seed {values.seed}"
        text = f"{values.n} {what} of {where}, {how}"
        if words:
            return _sentences(picked, numbers, text, values)
        return image_batch(_channels_first(picked, where), numbers, text, values.normal)


def _sentences(ids: np.ndarray, labels: np.ndarray | None, text: str, values: FileParameters) -> Batch:
    import torch

    if values.normal is not None:
        raise DataError(f"{values.path!r} holds word ids, which have no mean and std; remove data.mean and data.std")
    if ids.ndim != 2 or not ids.size or ids.min() < 0:
        raise DataError(
            f"{values.path!r} holds {ids.dtype} of shape {ids.shape}; "
            "expected word ids [n, length], none below 0 (pixels are bytes or floats)"
        )
    numbers = None if labels is None else torch.from_numpy(labels.astype(np.int64))
    return Batch(torch.from_numpy(ids.astype(np.int64)), numbers, text)


def _channels_first(images: np.ndarray, where: str) -> np.ndarray:
    if images.dtype != np.uint8:
        return images
    # Images of three columns are rarer than three colours, so an ambiguous shape is read as NHWC.
    if images.ndim == 4 and images.shape[3] in (1, 3):
        return images.transpose(0, 3, 1, 2)
    if images.ndim == 4 and images.shape[1] in (1, 3):
        return images
    if images.ndim == 3 and images.shape[2] not in (1, 3):  # otherwise it may be a single image
        return images[:, None]
    raise DataError(
        f"{where} has bytes of shape {images.shape}; expected [n, height, width, 3] or [n, 3, height, width], "
        "or [n, height, width] of grey images"
    )
