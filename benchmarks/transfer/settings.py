"""Settings of the transfer matrix: a space in a stated size, its inputs, its networks of known accuracy, and its family.

Every network is scored once, and its scores are compared with each of the accuracies that are known of it: two data sets of
nats_tss and nats_sss, four tasks of TransNAS-Bench-101. So nats networks are scored with CIFAR-10 images and ten classes, TransNAS
networks with the decoder of `class_object`. Sizes are smaller than the benchmarks' own where a network would take too long.
Settings that came after the presets were chosen are shown and not used to choose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.shared.samples import images_of
from rbflex_evo.fitness import create_batch
from rbflex_evo.fitness.data.batch import Batch
from rbflex_evo.spaces import SPACES, Genotype, SearchSpace, create_space

from . import networks

TASKS = ("class_object", "class_scene", "normal", "segmentsemantic")
SMALL_FILE = 20  # CIFAR-10 images in the file of samples
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


@dataclass(frozen=True)
class Setting:
    """A row of networks that are scored under the same conditions.

    Attributes:
        name: Name of the setting.
        family: Family that the setting belongs to; a protocol leaves out whole families.
        space: Registered name of the space.
        form: Parameters of the space.
        small: Further parameters of the space for a smoke test.
        side: Sides of the images in pixels.
        names: Function of the folder that returns the networks in the order of the file.
        known: Functions of the folder that return the accuracies in the same order, by task.
        read: Function of (space, name) that returns a genotype.
        note: What the sizes differ in from the benchmark's own.
        distinct: Whether rows of the same network count once, with the mean of their accuracies.
        choosing: False if the setting is shown but not used to choose presets.
    """

    name: str
    family: str
    space: str
    form: Mapping[str, Any]
    small: Mapping[str, Any]
    names: Callable[[Path], Sequence[Any]]
    known: Mapping[str, Callable[[Path], np.ndarray]]
    side: int = 32
    read: Callable[[SearchSpace, Any], Genotype] = networks.read_plainly
    note: str = ""
    distinct: bool = False
    choosing: bool = True

    @property
    def exists(self) -> bool:
        """True if the space is registered."""
        return self.space in SPACES.names()

    def create(self, quick: bool) -> SearchSpace:
        """Returns the space in the size of the setting, or in that of a smoke test."""
        return create_space(self.space, **{**self.form, **(self.small if quick else {})})

    def batch(self, folder: Path, n: int, noise: bool = False) -> Batch:
        """Returns N inputs: the first CIFAR-10 or ImageNet images of a file, random Taskonomy images, or N(0, 1) noise.

        Networks of words get random words. CIFAR-10 images are those of a larger file if there are more of them than in the usual
        one.
        """
        if SPACES.get(self.space).inputs == "words":
            space = self.create(False)
            return create_batch("words", length=space.input_shape[0], vocabulary=space.vocabulary, n=n)
        if noise:
            return create_batch("noise", shape=[3, self.side, self.side], n=n, seed=0)
        if self.side == 32:
            return images_of(folder, "cifar10" if n <= SMALL_FILE else "cifar10_test", n)
        if self.space.startswith("transnas"):
            root = str(networks.existing(folder, "taskonomy_rgb"))
            return create_batch("taskonomy", root=root, task="class_object", n=n, seed=0, size=self.side)
        path = str(networks.existing(folder, "foolbox_samples.npz"))
        return create_batch("file", path=path, array="imagenet_images_112", n=n, order="first", **IMAGENET)

    def sample(self, folder: Path, space: SearchSpace, count: int, seed: int) -> networks.Sample:
        """Returns a fixed random sample of the networks."""
        return networks.sampled(self.names(folder), self.read, space, count, seed, self.distinct)

    def accuracies(self, folder: Path, space: SearchSpace) -> dict[str, np.ndarray]:
        """Returns the known accuracies of all rows of the file by task, float64."""
        found = {task: read(folder).astype(np.float64) for task, read in self.known.items()}
        if not self.distinct:
            return found
        keys = [space.key(self.read(space, name)) for name in self.names(folder)]
        return {task: networks.averaged(values, keys) for task, values in found.items()}


def _column(file: str, array: str) -> Callable[[Path], np.ndarray]:
    return partial(_read_column, file=file, array=array)


def _read_column(folder: Path, file: str, array: str) -> np.ndarray:
    found = networks.arrays(folder, file)[array]
    return found.mean(axis=1) if found.ndim == 2 else found


def _notations(folder: Path, file: str, array: str = "arch_str") -> list[str]:
    return [str(name) for name in networks.arrays(folder, file)[array]]


def _transnas(kind: str) -> Setting:
    file = f"transnas101_{kind}.npz"
    return Setting(
        f"transnas_{kind}",
        f"transnas_{kind}",
        f"transnas_{kind}",
        {"size": 64, "channels": 32},
        {"channels": 4},
        partial(_notations, file=file),
        {task: _column(file, task) for task in TASKS},
        side=64,
        note="64 pixels and 32 channels instead of 256 and 64; decoder of class_object",
    )


def _nasbench101(name: str, note: str, distinct: bool = False) -> Setting:
    return Setting(
        name,
        name,
        "nasbench101",
        {"channels": 32},
        {"channels": 4},
        partial(networks.naslib_names, benchmark="nb101"),
        {"cifar10": partial(networks.naslib_accuracies, benchmark="nb101")},
        note=note,
        distinct=distinct,
        choosing=distinct,
    )


def _autoformer(variant: str) -> Setting:
    return Setting(
        f"autoformer_{variant}",
        "autoformer",
        f"autoformer_{variant}",
        {"size": 112},
        {},
        partial(networks.autoformer_names, variant=variant),
        {"imagenet": _column("autoformer.npz", f"{variant}_imagenet_top1")},
        side=112,
        note="112 pixels instead of 224; accuracies with the weights of the supernet",
    )


def _vit_bench(kind: str, space: str) -> Setting:
    accuracies = [f"{data}_{how}" for data in ("cifar100", "flowers", "chaoyang") for how in ("base", "kd")]
    return Setting(
        f"vitbench_{kind}" if kind != space else kind,
        f"vitbench_{kind}" if kind != space else kind,
        space,
        {"size": 112, "classes": 100},
        {},
        partial(networks.vit_bench_names, prefix=f"{kind}_"),
        {accuracy: _column("vitbench101.npz", f"{kind}_{accuracy}") for accuracy in accuracies},
        side=112,
        note="112 pixels instead of 224; shown, not used to choose",
        choosing=False,
    )


_EVERY = (
    Setting(
        "nats_tss",
        "nats_tss",
        "nats_tss",
        {},
        {"channels": 4, "cells": 1},
        lambda _: range(15625),
        {name: _column("nb201.npz", f"{name}_test_200ep_mean") for name in ("cifar10", "cifar100")},
    ),
    Setting(
        "nats_sss",
        "nats_sss",
        "nats_sss",
        {},
        {},
        lambda _: range(32768),
        {"cifar10": _column("nats_sss.npz", "cifar10_test_90ep"), "cifar100": _column("nats_sss.npz", "cifar100_val_90ep")},
    ),
    _nasbench101("nasbench101", "32 channels instead of 128; each network once, mean accuracy of its rows", distinct=True),
    _nasbench101("nasbench101_rows", "all rows of the sample, of which many are the same network; shown, not used to choose"),
    Setting(
        "darts",
        "darts",
        "darts",
        {"channels": 16, "layers": 5},
        {"channels": 2, "layers": 3},
        partial(networks.naslib_names, benchmark="nb301"),
        {"cifar10": partial(networks.naslib_accuracies, benchmark="nb301")},
        read=networks.read_naslib_darts,
        note="16 channels and 5 cells instead of 36 and 20; accuracies of a surrogate",
    ),
    Setting(
        "nds_darts",
        "darts",
        "nds_darts",
        {"depths": [5], "widths": [16]},
        {"depths": [3], "widths": [4]},
        partial(_notations, file=networks.SWAP, array="genotype"),
        {"cifar10": _column(networks.SWAP, "cifar10_val_acc")},
        read=networks.read_nds_darts,
        note="16 channels and 5 cells; `none` gives zeros, a node may read one state twice",
    ),
    Setting(
        "nasbench_macro",
        "nasbench_macro",
        "nasbench_macro",
        {},
        {"channels": 4},
        networks.macro_codes,
        {"cifar10": _column("nasbench_macro.npz", "test_acc")},
    ),
    _transnas("micro"),
    _transnas("macro"),
    _autoformer("tiny"),
    _autoformer("small"),
    Setting(
        "nafbee_vgg19",
        "nafbee_vgg19",
        "nafbee_vgg19",
        {},
        {"channels": 4},
        networks.activations,
        {"cifar10": networks.activation_accuracies},
        note="11 networks; shown, not used to choose",
        choosing=False,
    ),
    _vit_bench("autoformer", "autoformer_tiny"),
    _vit_bench("pit", "pit"),
    Setting(
        "flexibert",
        "flexibert",
        "flexibert",
        {},
        {"embedding": 16},
        networks.flexibert_names,
        {"glue": networks.flexibert_scores},
        note="random words in place of images; each network once, mean of its rows; shown, not used to choose",
        distinct=True,
        choosing=False,
    ),
)
SETTINGS: dict[str, Setting] = {setting.name: setting for setting in _EVERY}
