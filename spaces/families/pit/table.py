"""Accuracies of ViT-Bench-101 (Wei et al., AAAI 2024): AutoFormer-tiny and PiT networks trained one by one on small data sets.

An ``.npz`` file with one row for each network, and one array of accuracies for each data set and way of training:

    autoformer_depth, autoformer_embed_dim [n], autoformer_num_heads, autoformer_mlp_ratio [n, layers]
    pit_base_dim, pit_mlp_ratio [n], pit_depth, pit_num_heads [n, stages]
    pit_cifar100_base, pit_cifar100_kd, ..., autoformer_chaoyang_kd [n]        without and with a ResNet as a teacher

Entries after the last layer of an AutoFormer network are 0 or NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from rbflex_evo.spaces.errors import TableError
from rbflex_evo.spaces.parameters import Parameters
from rbflex_evo.spaces.space import SearchSpace
from rbflex_evo.spaces.tables.files import existing_file, read_npz
from rbflex_evo.spaces.tables.notations import checked_notations
from rbflex_evo.spaces.tables.npz_csv import Columns
from rbflex_evo.spaces.tables.table import LoadedTable

# Names and dimensions of the arrays of an encoding.
ENCODINGS = {
    "autoformer_": {"depth": 1, "embed_dim": 1, "num_heads": 2, "mlp_ratio": 2},
    "pit_": {"base_dim": 1, "mlp_ratio": 1, "depth": 2, "num_heads": 2},
}
PREFIXES = {"autoformer_tiny": "autoformer_", "pit": "pit_"}


class VitBenchParameters(Parameters):
    """File and accuracy of the table of ViT-Bench-101.

    Attributes:
        path: Path of the ``.npz`` file.
        accuracy: Array of test accuracies in percent without the prefix of the space: a data set, ``cifar100``, ``flowers`` or
            ``chaoyang``, then ``_base``, or ``_kd`` for networks that a teacher taught.
        dataset: Name of the data set in reports; None for the name of the accuracy.
    """

    path: str
    accuracy: str = "cifar100_base"
    dataset: str | None = None


class VitBenchTable(LoadedTable):
    """Test accuracies of the networks of ViT-Bench-101 in one of its two spaces."""

    name = "vitbench101"
    description = "accuracies of ViT-Bench-101 (.npz) for autoformer_tiny and pit: cifar100, flowers, chaoyang, each _base or _kd"
    Parameters = VitBenchParameters

    def __init__(self, parameters: VitBenchParameters, space: SearchSpace) -> None:
        if space.name not in PREFIXES:
            raise TableError(
                f"table {self.name!r} is for spaces {' and '.join(map(repr, PREFIXES))}, "
                f"but the search space is {space.name!r}; remove the table or choose one of those"
            )
        self.space, self.dataset = space.name, parameters.dataset or parameters.accuracy
        prefix = PREFIXES[space.name]
        accuracy = f"{prefix}{parameters.accuracy}"
        wanted = {f"{prefix}{name}" for name in ENCODINGS[prefix]} | {accuracy}
        file = Columns(parameters.path, *read_npz(existing_file(parameters.path), wanted))
        notations = checked_notations(parameters.path, space, dictionaries(file.get, prefix, parameters.path))
        self.loaded = file.percentages(accuracy, notations)


def dictionaries(array: Callable[[str, int], np.ndarray], prefix: str, path: str) -> Iterator[str]:
    """Yields each network as its space reads it: a dictionary in the names of the arrays.

    Args:
        array: Returns the array of a name and a number of dimensions.
        prefix: Text before the names of the arrays: ``autoformer_`` or ``pit_``.
        path: Name of the file, for error messages.

    Raises:
        TableError: If the arrays differ in their rows.
    """
    columns = {name: array(f"{prefix}{name}", dimensions) for name, dimensions in ENCODINGS[prefix].items()}
    if len({len(column) for column in columns.values()}) != 1:
        raise TableError(f"the arrays {', '.join(f'{prefix}{name}' for name in columns)} of {path!r} differ in their rows")
    for row in zip(*(column.tolist() for column in columns.values()), strict=True):
        fields = dict(zip(columns, row, strict=True))
        if prefix == "autoformer_":
            fields |= {name: fields[name][: fields["depth"]] for name in ("num_heads", "mlp_ratio")}
        yield repr(fields)
