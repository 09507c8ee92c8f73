"""Pink noise: images whose amplitudes fall with frequency as 1 / f, as those of natural images do (Field, JOSA A 4, 1987)."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field

from rbflex_evo.fitness.data.batch import Batch, Source
from rbflex_evo.spaces import Parameters


class PinkNoiseParameters(Parameters):
    """Number of images, their side in pixels, and the seed."""

    n: int = Field(16, ge=1)
    size: int = Field(32, ge=2)
    seed: int = Field(0, ge=0)


class PinkNoise(Source):
    """RGB images of pink noise; every channel of an image has mean 0 and variance 1."""

    name = "pink_noise"
    description = "noise with the 1 / f spectrum of natural images; needs no files"
    Parameters = PinkNoiseParameters

    def batch(self) -> Batch:
        n, size, seed = self.parameters.n, self.parameters.size, self.parameters.seed
        white = np.random.Generator(np.random.Philox(seed)).standard_normal((n, 3, size, size))
        frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
        frequency[0, 0] = np.inf  # the mean
        pink = np.fft.irfft2(np.fft.rfft2(white) / frequency, s=(size, size))
        images = (pink / pink.std(axis=(2, 3), keepdims=True)).astype(np.float32)
        return Batch(torch.from_numpy(images), None, f"{n} images of pink noise, {size} x {size}, seed {seed}")
