"""Data sources of images in a folder: any images, or those of Taskonomy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from rbflex_evo.spaces import Parameters

from .batch import Batch, Source
from .choosing import chosen_positions, existing_folder
from .files import read_image
from .pixels import Normal, NormalisedParameters, image_batch

SUFFIXES = (".jpg", ".jpeg", ".png")
# Largest side of an image; a larger one is a slip of the pen that would fill the memory.
LARGEST = 8192


class FolderParameters(NormalisedParameters):
    """A folder that is searched with all below it; images are resized and cropped to `size` x `size` pixels.

    Attributes:
        root: The folder.
        n: Number of inputs.
        seed: Seed that selects the inputs.
        size: Side of the square images in pixels.
    """

    root: str
    n: int = Field(16, ge=1)
    seed: int = Field(0, ge=0)
    size: int = Field(32, ge=1, le=LARGEST)


class Folder(Source):
    """JPEG and PNG images of a folder and its subfolders: shorter side resized, centre cropped, RGB in [0, 1].

    Hidden files and folders are passed over.
    """

    name = "folder"
    description = "JPEG and PNG images of a folder, resized and cropped to a square"
    Parameters = FolderParameters
    parameters: FolderParameters

    def batch(self) -> Batch:
        """Loads the inputs.

        Raises:
            DataError: If inputs are missing, unreadable or too few.
        """
        values = self.parameters
        images = _drawn(values, _images_below(values.root, "*"), "images")
        text = f"{values.n} images of {values.root}, {values.size} x {values.size}, seed {values.seed}"
        return image_batch(images, None, text, values.normal)


# Normalisation of the inputs of each task of TransNAS-Bench-101; the pieces of the jigsaw are only scaled to [0, 1].
OF_ROOMS = Normal((0.5224, 0.5222, 0.5221), (0.2234, 0.2235, 0.2236))
TO_ONE = Normal((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
NORMALS: dict[str, Normal | None] = {
    "class_object": OF_ROOMS,
    "class_scene": OF_ROOMS,
    "room_layout": OF_ROOMS,
    "jigsaw": None,
    "segmentsemantic": TO_ONE,
    "normal": TO_ONE,
    "autoencoder": TO_ONE,
}
Task = Literal["class_object", "class_scene", "room_layout", "jigsaw", "segmentsemantic", "normal", "autoencoder"]


class TaskonomyParameters(Parameters):
    """A folder that is searched with all below it, and the task of TransNAS-Bench-101 that decides how images are normalised.

    Attributes:
        root: The folder.
        task: Task of TransNAS-Bench-101.
        n: Number of inputs.
        seed: Seed that selects the inputs.
        size: Side of the square images in pixels.
    """

    root: str
    task: Task = "class_object"
    n: int = Field(16, ge=1)
    seed: int = Field(0, ge=0)
    size: int = Field(256, ge=1, le=LARGEST)


class Taskonomy(Source):
    """RGB images of Taskonomy (Zamir et al., CVPR 2018), normalised as in TransNAS-Bench-101 (Duan et al., CVPR 2021).

    There are no labels: the targets of the tasks are separate files, which no score needs.
    """

    name = "taskonomy"
    description = "RGB images of Taskonomy, 256 x 256, normalised as a task of TransNAS-Bench-101"
    Parameters = TaskonomyParameters
    parameters: TaskonomyParameters

    def batch(self) -> Batch:
        """Loads the inputs.

        Raises:
            DataError: If inputs are missing, unreadable or too few.
        """
        values = self.parameters
        files = _images_below(values.root, "*point_*_view_*_domain_rgb.*")
        images = _drawn(values, files, "images named like point_0_view_0_domain_rgb.png")
        text = f"{values.n} images of Taskonomy, {values.size} x {values.size}, as for {values.task}, seed {values.seed}"
        return image_batch(images, None, text, NORMALS[values.task])


def _images_below(root: str, pattern: str) -> list[Path]:
    folder = existing_folder(root)
    return sorted(
        f
        for f in folder.rglob(pattern)
        if f.suffix.lower() in SUFFIXES and not any(map(_hidden, f.relative_to(folder).parts)) and f.is_file()
    )


def _hidden(name: str) -> bool:
    # Files and folders that programs leave beside images, such as ._a.jpg, .ipynb_checkpoints and __MACOSX.
    return name.startswith(".") or name == "__MACOSX"


def _drawn(values: FolderParameters | TaskonomyParameters, files: Sequence[Path], what: str) -> np.ndarray:
    """Returns n drawn images, uint8 [n, 3, size, size]."""
    chosen = chosen_positions(len(files), values.n, values.seed, f"{values.root!r}", what=what)
    return np.stack([read_image(files[i], values.size) for i in chosen])
