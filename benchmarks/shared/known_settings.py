"""Networks with known accuracies of unlike spaces: name, space, notations and accuracies by task.

Files are those of the folder `--benchdata`. Large networks are measured in a reduced form (fewer pixels or channels), which is part
of the setting. Accuracies are read by the commands that judge scores, and no score sees them.
"""

from __future__ import annotations

import csv
import gzip
from ast import literal_eval
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rbflex_evo.spaces import DataError, Genotype, SearchSpace, create_space
from rbflex_evo.spaces.errors import GenotypeError
from rbflex_evo.spaces.families.nasnet.darts import OPERATIONS

Known = tuple[list[Genotype], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Setting:
    """A space in the form in which it is measured, and its known accuracies.

    Attributes:
        name: Name in tables.
        family: Settings of one family are averaged before families are compared.
        space: Registered name of the space.
        read: Returns the genotypes and, for each task, their accuracies (NaN if unknown), from the folder of known accuracies.
        options: Parameters of the space.
        networks: How many networks are measured by default.
    """

    name: str
    family: str
    space: str
    read: Callable[[Path, SearchSpace], Known]
    options: Mapping[str, Any] = field(default_factory=dict)

    def create(self) -> SearchSpace:
        """Returns the space."""
        return create_space(self.space, **self.options)


def arrays_of(folder: Path, file: str) -> Mapping[str, np.ndarray]:
    """Returns the arrays of a file.

    Raises:
        DataError: If it is missing.
    """
    path = folder / file
    if not path.is_file():
        raise DataError(f"no file {str(path)!r}; --benchdata names the folder of known accuracies")
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def official(file: str, **tasks: str) -> Callable[[Path, SearchSpace], Known]:
    """Returns a reader of a file whose rows are in the order of the space's indices."""

    def read(folder: Path, space: SearchSpace) -> Known:
        arrays = arrays_of(folder, file)
        found = {task: arrays[name].astype(float) for task, name in tasks.items()}
        return [space.at(i) for i in range(len(next(iter(found.values()))))], found

    return read


def macro(folder: Path, space: SearchSpace) -> Known:
    """Reads NAS-Bench-Macro: the mean of three runs; codes of one network once."""
    arrays = arrays_of(folder, "nasbench_macro.npz")
    codes = [tuple(code) for code in arrays["code"].tolist()]
    first = list({space.key(code): i for i, code in reversed(list(enumerate(codes)))}.values())
    return [codes[i] for i in first], {"cifar10": arrays["test_acc"].mean(axis=1).astype(float)[first]}


def transnas(file: str, *tasks: str) -> Callable[[Path, SearchSpace], Known]:
    """Returns a reader of TransNAS-Bench-101 for tasks whose networks score alike."""

    def read(folder: Path, space: SearchSpace) -> Known:
        arrays = arrays_of(folder, file)
        return [space.parse(text) for text in arrays["arch_str"].tolist()], {task: arrays[task].astype(float) for task in tasks}

    return read


def naslib(benchmark: str, notation: Callable[[str], str] = str) -> Callable[[Path, SearchSpace], Known]:
    """Returns a reader of a benchmark's CIFAR-10 rows in NASLib's sample, without networks that the space does not have."""

    def read(folder: Path, space: SearchSpace) -> Known:
        path = folder / "zc_naslib_sample.csv.gz"
        if not path.is_file():
            raise DataError(f"no file {str(path)!r}; --benchdata names the folder of known accuracies")
        with gzip.open(path, "rt", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["benchmark"] == benchmark and row["dataset"] == "cifar10"]
        genotypes, accuracies = [], []
        for row in rows:
            try:
                genotypes.append(space.parse(notation(row["arch"])))
            except GenotypeError:
                continue
            accuracies.append(float(row["val_accuracy"]))
        return genotypes, {"cifar10": np.array(accuracies)}

    return read


def autoformer(kind: str) -> Callable[[Path, SearchSpace], Known]:
    """Returns a reader of AutoFormer networks: ImageNet accuracy with the supernet's weights."""

    def read(folder: Path, space: SearchSpace) -> Known:
        arrays = {
            name.removeprefix(f"{kind}_"): array for name, array in arrays_of(folder, "autoformer.npz").items() if kind in name
        }
        genotypes = []
        for i, depth in enumerate(arrays["depth"].tolist()):
            heads, ratios = (arrays[name][i, :depth].tolist() for name in ("num_heads", "mlp_ratio"))
            layers = " ".join(f"h{int(a)}r{b:.3g}" for a, b in zip(heads, ratios, strict=True))
            genotypes.append(space.parse(f"{int(arrays['embed_dim'][i])}: {layers}"))
        return genotypes, {"imagenet": arrays["imagenet_top1"].astype(float)}

    return read


def darts_notation(text: str) -> str:
    """Returns NASLib's pair of lists of (node, operation) as a ``Genotype(...)`` expression."""
    normal, reduce = ([(OPERATIONS[operation], node) for node, operation in cell] for cell in literal_eval(text))
    return f"Genotype(normal={normal}, normal_concat=range(2, 6), reduce={reduce}, reduce_concat=range(2, 6))"


SMALL = {"size": 64, "channels": 32}
SETTINGS = [
    Setting(
        "nats_tss", "nats_tss", "nats_tss",
        official("nb201.npz", cifar10="cifar10_test_200ep_mean", cifar100="cifar100_test_200ep_mean"),
    ),
    Setting(
        "nats_sss", "nats_sss", "nats_sss",
        official("nats_sss.npz", cifar10="cifar10_test_90ep", cifar100="cifar100_val_90ep"),
    ),
    Setting("nasbench101", "nasbench101", "nasbench101", naslib("nb101"), {"channels": 32}),
    Setting("nasbench_macro", "nasbench_macro", "nasbench_macro", macro),
    *(
        Setting(
            f"transnas_{kind} {task}", f"transnas_{kind}", f"transnas_{kind}", transnas(f"transnas101_{kind}.npz", *tasks),
            {**SMALL, "task": task},
        )
        for kind in ("micro", "macro")
        # The encoders of the two classification tasks are equal, and their decoders have no activations.
        for task, tasks in {
            "class_object": ("class_object", "class_scene"), "normal": ("normal",), "segmentsemantic": ("segmentsemantic",)
        }.items()
    ),
    *(
        Setting(f"autoformer_{kind}", f"autoformer_{kind}", f"autoformer_{kind}", autoformer(kind), {"size": 112})
        for kind in ("tiny", "small")
    ),
    Setting("darts", "darts", "darts", naslib("nb301", darts_notation), {"channels": 8, "layers": 8}),
]  # fmt: skip
