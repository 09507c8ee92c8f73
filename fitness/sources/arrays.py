"""An array of inputs in a file: images, feature vectors or word ids."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from fitness.batches import Batch, Source
from spaces import DataError

from .choosing import chosen_positions
from .files import read_array
from .pixels import NormalisedParameters, image_batch


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
        chosen = chosen_positions(len(images), values.n, values.seed, where, values.order)
        picked = images[chosen]
        how = "the first ones" if values.order == "first" else f"seed {values.seed}"
        text = f"{values.n} images of {where}, {how}"
        return image_batch(_channels_first(picked, where), None if labels is None else labels[chosen], text, values.normal)


def _channels_first(images: np.ndarray, where: str) -> np.ndarray:
    if images.dtype != np.uint8:
        return images
    # Three columns of pixels are rarer than three colours, so what could be either is read as NHWC.
    if images.ndim == 4 and images.shape[3] in (1, 3):
        return images.transpose(0, 3, 1, 2)
    if images.ndim == 4 and images.shape[1] in (1, 3):
        return images
    raise DataError(f"{where} has bytes of shape {images.shape}; expected [n, height, width, 3] or [n, 3, height, width]")
