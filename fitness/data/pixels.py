"""Conversion of pixels to a batch: bytes to [0, 1], channels first, normalised."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import model_validator

from rbflex_evo.spaces import DataError, Parameters

from .batch import Batch


@dataclass(frozen=True)
class Normal:
    """Normalisation of images in [0, 1] by channel.

    Attributes:
        mean: Mean of each channel.
        std: Standard deviation of each channel.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]


class NormalisedParameters(Parameters):
    """`mean` and `std` of each channel normalise images in [0, 1]; give both or neither.

    Attributes:
        mean: Mean of each channel.
        std: Standard deviation of each channel.
    """

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
    def normal(self) -> Normal | None:
        """The normalisation, or None if there is none."""
        return None if self.mean is None or self.std is None else Normal(tuple(self.mean), tuple(self.std))


def image_batch(images: np.ndarray, labels: np.ndarray | None, text: str, normal: Normal | None) -> Batch:
    """Returns a batch of images.

    Args:
        images: Images [N, C, H, W]; bytes are scaled to [0, 1].
        labels: Labels, integers [N], or None.
        text: Description of the batch.
        normal: Normalisation of the channels, or None.

    Raises:
        DataError: If the normalisation has another number of channels, or a value is not finite.
    """
    import torch

    if images.dtype == np.uint8:
        images = images.astype(np.float32) / np.float32(255)
    if normal is not None:
        if images.ndim != 4 or not images.shape[1] == len(normal.mean) == len(normal.std):
            raise DataError(
                f"data.mean and data.std have {len(normal.mean)} and {len(normal.std)} values, "
                f"but the images have shape {images.shape}; give one value per channel"
            )
        mean, std = (np.asarray(v, np.float32)[:, None, None] for v in (normal.mean, normal.std))
        images = (images - mean) / std
    floats = np.ascontiguousarray(images, dtype=np.float32)
    if not np.isfinite(floats).all():
        raise DataError(f"{text}: some values are NaN or infinite; every pixel must be a finite number")
    numbers = None if labels is None else torch.from_numpy(np.ascontiguousarray(labels, dtype=np.int64))
    return Batch(torch.from_numpy(floats), numbers, text, grey=floats.ndim == 4 and floats.shape[1] == 1)
