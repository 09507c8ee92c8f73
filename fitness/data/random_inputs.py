"""Data sources without files: noise for networks of images, random words for networks of words."""

from __future__ import annotations

import numpy as np
from pydantic import Field, model_validator

from rbflex_evo.spaces import Parameters

from .batch import Batch, Source


class NoiseParameters(Parameters):
    """Parameters of noise.

    Attributes:
        shape: Shape of one input.
        n: Number of inputs.
        seed: Seed of the noise.
    """

    shape: list[int] = Field([3, 32, 32], min_length=1)
    n: int = Field(16, ge=1)
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _positive(self) -> NoiseParameters:
        if min(self.shape) < 1:
            raise ValueError("lengths of 'shape' must be positive")
        return self


class Noise(Source):
    """Noise N(0, 1) of any shape."""

    name = "noise"
    description = "N(0, 1) noise of any shape; needs no files"
    Parameters = NoiseParameters
    parameters: NoiseParameters

    def batch(self) -> Batch:
        """Draws the noise."""
        import torch

        shape = self.parameters.shape
        rng = np.random.Generator(np.random.Philox(self.parameters.seed))
        images = rng.standard_normal((self.parameters.n, *shape), dtype=np.float32)
        text = f"{len(images)} inputs of N(0, 1) noise, {'x'.join(map(str, shape))}, seed {self.parameters.seed}"
        return Batch(torch.from_numpy(images), None, text)


class WordsParameters(Parameters):
    """Parameters of random words.

    Attributes:
        length: Words of one sentence.
        vocabulary: Number of word ids, 0 for padding included.
        n: Number of sentences.
        seed: Seed of the words.
    """

    length: int = Field(128, ge=1)
    vocabulary: int = Field(30522, ge=2)
    n: int = Field(16, ge=1)
    seed: int = Field(0, ge=0)


class Words(Source):
    """Random words, uniform over the vocabulary except 0 for padding, so every sentence has full length."""

    name = "words"
    description = "random word ids for networks that read words; needs no files"
    Parameters = WordsParameters
    parameters: WordsParameters

    def batch(self) -> Batch:
        """Draws the words."""
        import torch

        values = self.parameters
        rng = np.random.Generator(np.random.Philox(values.seed))
        words = rng.integers(1, values.vocabulary, (values.n, values.length))
        text = f"{values.n} sentences of {values.length} random words of a vocabulary of {values.vocabulary}, seed {values.seed}"
        return Batch(torch.from_numpy(words), None, text)
