"""Networks of known accuracy, read from the files of `benchdata`: names of the networks, and apart from them their accuracies.

Both are in the order of the file, so that a network is known by its position. The functions that return names never read an
accuracy.

Cells of ``darts_1000.csv.gz`` are read as cells of `nds_darts`, whose nodes may read one state twice and whose operations include
``none``, which gives zeros. The network has the depth and width of the setting, the row's own normal and reduction cell (equal in
all rows) and the concatenation of all four nodes. Nothing is pruned or replaced. A row that is not such a cell is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from rbflex_evo.spaces import DataError, Genotype, SearchSpace
from rbflex_evo.spaces.errors import GenotypeError, shown
from rbflex_evo.spaces.families.nasnet.darts import OPERATIONS as DARTS_OPERATIONS
from rbflex_evo.spaces.families.nasnet.notation import GENOTYPE_SHAPE, genotype_fields
from rbflex_evo.spaces.families.pit.table import dictionaries
from rbflex_evo.spaces.literals import literal
from rbflex_evo.spaces.tables.files import read_csv

NASLIB, SWAP = "zc_naslib_sample.csv.gz", "darts_1000.csv.gz"
VIT_BENCH, BERT = "vitbench101.npz", "bert_nasbench.csv.gz"


def existing(folder: Path, name: str) -> Path:
    """Returns the path of a file or folder of `benchdata`.

    Raises:
        DataError: If it is missing.
    """
    path = folder / name
    if not path.exists():
        raise DataError(f"no file {str(path)!r}; --benchdata names the folder of known accuracies and images")
    return path


@cache
def arrays(folder: Path, name: str) -> Mapping[str, np.ndarray]:
    """Returns the arrays of an npz, or the columns of a csv as strings."""
    path = existing(folder, name)
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as found:
            return {key: found[key] for key in found.files}
    return read_csv(path)


def naslib_rows(folder: Path, benchmark: str) -> np.ndarray:
    """Returns the positions of the rows of one benchmark on CIFAR-10 in NASLib's sample."""
    columns = arrays(folder, NASLIB)
    return np.flatnonzero((columns["benchmark"] == benchmark) & (columns["dataset"] == "cifar10"))


def naslib_names(folder: Path, benchmark: str) -> list[str]:
    """Returns the networks of one benchmark in NASLib's sample, as NASLib writes them."""
    return [str(name) for name in arrays(folder, NASLIB)["arch"][naslib_rows(folder, benchmark)]]


def naslib_accuracies(folder: Path, benchmark: str) -> np.ndarray:
    """Returns the accuracies of the same networks in percent."""
    return arrays(folder, NASLIB)["val_accuracy"][naslib_rows(folder, benchmark)].astype(np.float64)


def read_naslib_darts(space: SearchSpace, text: str) -> Genotype:
    """Reads NASLib's DARTS cells, ``[[(state, operation), ...], [...]]``, normal cell first.

    Raises:
        GenotypeError: If the text is no pair of such cells.
    """
    try:
        normal, reduce = (_naslib_cell(cell) for cell in literal(text))
    except (ValueError, TypeError):
        raise GenotypeError(f"{shown(text, 60)} is no pair of NASLib's cells; expected [[(0, 5), (1, 0), ...], [...]]") from None
    return space.parse(f"Genotype(normal={normal}, normal_concat=range(2, 6), reduce={reduce}, reduce_concat=range(2, 6))")


def _naslib_cell(cell: Any) -> list[tuple[str, int]]:
    edges = [(state, operation) for state, operation in cell]
    if not all(type(operation) is int and 0 <= operation < len(DARTS_OPERATIONS) for _, operation in edges):
        raise ValueError(f"expected operations of 0 .. {len(DARTS_OPERATIONS) - 1}")
    return [(DARTS_OPERATIONS[operation], state) for state, operation in edges]


def read_nds_darts(space: SearchSpace, text: str) -> Genotype:
    """Reads a ``Genotype(...)`` with ``none`` and equal inputs as cells of `nds_darts` in the space's only depth and width.

    Raises:
        GenotypeError: If the text is no genotype, or its cells are not of the space.
    """
    fields = genotype_fields(text)
    if len(space.parameters.depths) != 1 or len(space.parameters.widths) != 1:  # type: ignore[attr-defined]
        raise GenotypeError(f"a genotype has no size; give {space.name} one depth and one width for {GENOTYPE_SHAPE}")
    depth, width = space.parameters.depths[0], space.parameters.widths[0]  # type: ignore[attr-defined]
    return space.parse(json.dumps({"net": {"depth": depth, "width": width, "genotype": fields}}))


def macro_codes(folder: Path) -> list[str]:
    """Returns the codes of NAS-Bench-Macro."""
    return ["".join(map(str, code)) for code in arrays(folder, "nasbench_macro.npz")["code"].tolist()]


def activations(folder: Path) -> list[str]:
    """Returns the activation functions of NAFBee's VGG-19 networks in the order of the file."""
    columns = arrays(folder, "nafbee.csv")
    return [str(name) for name in columns["activation"][columns["network"] == "VGG19"]]


def activation_accuracies(folder: Path) -> np.ndarray:
    """Returns the accuracies of the same networks in percent."""
    columns = arrays(folder, "nafbee.csv")
    return columns["accuracy"][columns["network"] == "VGG19"].astype(np.float64)


def autoformer_names(folder: Path, variant: str) -> list[str]:
    """Returns AutoFormer networks in the fields of the official configuration files, as JSON."""
    found = arrays(folder, "autoformer.npz")
    depth, ratio, heads, width = (found[f"{variant}_{what}"].tolist() for what in ("depth", "mlp_ratio", "num_heads", "embed_dim"))
    return [
        json.dumps(
            {"mlp_ratio": ratio[i][:layers], "num_heads": heads[i][:layers], "embed_dim": [width[i]] * layers, "layer_num": layers}
        )
        for i, layers in enumerate(depth)
    ]


def vit_bench_names(folder: Path, prefix: str) -> list[str]:
    """Returns the networks of ViT-Bench-101 in one of its spaces, as dictionaries.

    Args:
        folder: Folder of the file.
        prefix: ``autoformer_`` or ``pit_``.
    """
    return list(dictionaries(lambda name, _: arrays(folder, VIT_BENCH)[name], prefix, VIT_BENCH))


def flexibert_names(folder: Path) -> list[str]:
    """Returns the networks of NAS-Bench-BERT."""
    columns = arrays(folder, BERT)
    return [f"{hidden}: {layers}" for hidden, layers in zip(columns["hidden_size"], columns["layers"], strict=True)]


def flexibert_scores(folder: Path) -> np.ndarray:
    """Returns their mean results on GLUE, in percent."""
    return arrays(folder, BERT)["score_glue"].astype(np.float64)


def read_plainly(space: SearchSpace, name: str | int) -> Genotype:
    """Reads a notation of the space, or an index in the order of its benchmark."""
    return space.at(name) if isinstance(name, int) else space.parse(name)


@dataclass(frozen=True)
class Sample:
    """Sampled networks.

    Attributes:
        positions: Places in the order of the file.
        genotypes: The networks.
        refused: Number of refused rows by reason.
    """

    positions: list[int]
    genotypes: list[Genotype]
    refused: dict[str, int]


def sampled(
    names: Sequence[Any],
    read: Callable[[SearchSpace, Any], Genotype],
    space: SearchSpace,
    count: int,
    seed: int,
    distinct: bool = False,
) -> Sample:
    """Returns a fixed random sample; a smaller one is the start of a larger one.

    Refused rows, and repeated networks if they are to be distinct, are replaced by the next rows of the same permutation.
    """
    found = Sample([], [], {})
    keys: set[str] = set()
    for position in np.random.default_rng(seed).permutation(len(names)).tolist():
        if len(found.positions) == count:
            break
        try:
            genotype = read(space, names[position])
        except GenotypeError as error:
            found.refused[str(error)] = found.refused.get(str(error), 0) + 1
            continue
        if not distinct or (key := space.key(genotype)) not in keys:
            keys |= {key} if distinct else set()
            found.positions.append(position)
            found.genotypes.append(genotype)
    return found


def averaged(accuracies: np.ndarray, keys: Sequence[str]) -> np.ndarray:
    """Returns for each row the mean accuracy of all rows with its key."""
    of = np.unique(np.array(keys), return_inverse=True)[1]
    found: np.ndarray = (np.bincount(of, accuracies) / np.bincount(of))[of]
    return found
