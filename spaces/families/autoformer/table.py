"""Accuracies of AutoFormer networks from an ``.npz`` file with one row for each network.

    depth [n], num_heads [n, 14], mlp_ratio [n, 14], embed_dim [n], imagenet_top1 [n]       each name begins with a prefix: tiny_

Entries after the last layer are 0 or NaN. Accuracies on ImageNet are usually those of weights inherited from the supernet, whose
range is narrow.
"""

from __future__ import annotations

import numpy as np

from rbflex_evo.spaces.errors import TableError
from rbflex_evo.spaces.parameters import Parameters
from rbflex_evo.spaces.space import SearchSpace
from rbflex_evo.spaces.tables.files import existing_file, read_npz
from rbflex_evo.spaces.tables.notations import checked_notations
from rbflex_evo.spaces.tables.npz_csv import Columns
from rbflex_evo.spaces.tables.table import LoadedTable

from .layout import LayerChoice
from .notation import write_network

PREFIXES = {"autoformer_tiny": "tiny_", "autoformer_small": "small_", "autoformer_base": "base_"}


class AutoFormerTableParameters(Parameters):
    """File and array names of the AutoFormer table.

    Attributes:
        path: Path of the ``.npz`` file.
        prefix: Text before the names of all arrays; None for ``tiny_``, ``small_`` or ``base_``, after the space.
        accuracy: Array of test accuracies in percent, without the prefix.
        dataset: Name of the data set in reports; None for the name of the accuracy array.
    """

    path: str
    prefix: str | None = None
    accuracy: str = "imagenet_top1"
    dataset: str | None = None


class AutoFormerTable(LoadedTable):
    """Test accuracies of sampled networks of one AutoFormer space."""

    name = "autoformer"
    description = "accuracies of an .npz file of encodings (depth, num_heads, mlp_ratio, embed_dim) for the autoformer_* spaces"
    Parameters = AutoFormerTableParameters

    def __init__(self, parameters: AutoFormerTableParameters, space: SearchSpace) -> None:
        if space.name not in PREFIXES:
            raise TableError(
                f"table {self.name!r} is for spaces {', '.join(map(repr, PREFIXES))}, "
                f"but the search space is {space.name!r}; remove the table or choose one of those"
            )
        self.space, self.dataset = space.name, parameters.dataset or parameters.accuracy
        prefix = PREFIXES[space.name] if parameters.prefix is None else parameters.prefix
        depth, heads, ratio, width, accuracy = (
            f"{prefix}{name}" for name in ("depth", "num_heads", "mlp_ratio", "embed_dim", parameters.accuracy)
        )
        file = Columns(parameters.path, *read_npz(existing_file(parameters.path), {depth, heads, ratio, width, accuracy}))
        depths, widths = file.get(depth), file.get(width)
        rows = zip(depths, file.get(heads, 2), file.get(ratio, 2), widths, strict=False)
        lengths = {len(depths), len(widths), len(file.get(heads, 2)), len(file.get(ratio, 2))}
        if len(lengths) != 1:
            raise TableError(f"{depth!r}, {heads!r}, {ratio!r} and {width!r} of {parameters.path!r} differ in their rows")
        notations = checked_notations(parameters.path, space, [_written(*row) for row in rows])
        self.loaded = file.percentages(accuracy, notations)


def _written(depth: int, heads: np.ndarray, ratios: np.ndarray, width: int) -> str:
    """Returns the notation of one row."""
    return write_network(width, [LayerChoice(*pair) for pair in zip(heads[:depth], ratios[:depth], strict=True)])
