"""Images of a folder."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from fitness.batches import Batch, Source

from .choosing import chosen_positions, existing_folder
from .files import read_image
from .pixels import NormalisedParameters, image_batch

SUFFIXES = (".jpg", ".jpeg", ".png")


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
        root, n, seed = existing_folder(self.parameters.root), self.parameters.n, self.parameters.seed
        files = sorted(file for file in root.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        chosen = chosen_positions(len(files), n, seed, f"{self.parameters.root!r}")
        images = np.stack([read_image(files[i], self.parameters.size) for i in chosen])
        text = f"{n} images of {self.parameters.root}, {self.parameters.size} x {self.parameters.size}, seed {seed}"
        return image_batch(images, None, text, self.parameters.normal)
