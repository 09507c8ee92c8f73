"""Accuracies of models from a results file of timm, a CSV file with one row for each weight file and size of images.

    model,img_size,top1,...
    resnet50.a1_in1k,224,80.218,...      the name of the model, and after a point the tag of the recipe

A model that was trained by several recipes has several rows, from which the table makes one accuracy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Literal

from pydantic import Field

from rbflex_evo.spaces.encodings.encoding import MOST_INDEXED
from rbflex_evo.spaces.errors import TableError
from rbflex_evo.spaces.parameters import Parameters
from rbflex_evo.spaces.space import SearchSpace
from rbflex_evo.spaces.tables.files import existing_file, read_csv
from rbflex_evo.spaces.tables.npz_csv import Columns
from rbflex_evo.spaces.tables.table import LoadedTable

Size = int | Literal["smallest", "largest"]


class TimmTableParameters(Parameters):
    """File, columns and choice of the rows of a model.

    Attributes:
        path: Path of the ``.csv`` or ``.csv.gz`` file.
        tags: Wildcards of the tags that count, as in ``["*in1k"]``; a tag that begins with ``!`` does not count. By default all.
        img_size: Size of the images of a row that counts, or the ``smallest`` or ``largest`` of each weight file.
        recipes: Accuracy of a model of several weight files: their ``mean``, or that of the ``best``.
        accuracy: Column of test accuracies in percent.
        dataset: Name of the data set in reports.
    """

    path: str
    tags: list[str] = Field(default=["*"], min_length=1)
    img_size: Size = "smallest"
    recipes: Literal["mean", "best"] = "mean"
    accuracy: str = "top1"
    dataset: str = "imagenet"


class TimmTable(LoadedTable):
    """Test accuracies of published weights of models; models that the space does not contain are left out."""

    name = "timm"
    description = "accuracies of a results file of timm (model, img_size, top1) for the space models"
    Parameters = TimmTableParameters

    def __init__(self, parameters: TimmTableParameters, space: SearchSpace) -> None:
        self.space, self.dataset = space.name, parameters.dataset
        path = parameters.path
        rows = read_csv(existing_file(path))
        columns = Columns(path, list(rows), rows)
        names = [str(name) for name in columns.get("model").tolist()]
        sizes = [_size(text, path, row) for row, text in enumerate(columns.get("img_size").tolist(), start=1)]
        accuracies = list(columns.percentages(parameters.accuracy, list(map(str, range(len(names))))).values())
        size = space.encoding.size
        known = set() if size is None or size > MOST_INDEXED else {space.notation(one) for one in space.encoding.enumerate()}
        counting = [i for i, name in enumerate(names) if _model(name) in known and _counts(_tag(name), parameters.tags)]
        if not counting:
            raise TableError(
                f"{path!r} has no row of a model of space {space.name!r} whose tag matches {parameters.tags}; "
                "check table.tags and space.from"
            )
        wanted = _chosen_sizes([(names[i], sizes[i]) for i in counting], parameters.img_size)
        found: dict[str, list[float]] = {}
        for i in counting:
            if sizes[i] == wanted[names[i]]:
                found.setdefault(_model(names[i]), []).append(accuracies[i])
        if not found:
            raise TableError(f"{path!r} has no row of images of {parameters.img_size} pixels; check table.img_size")
        combine: Callable[[list[float]], float] = max if parameters.recipes == "best" else lambda values: sum(values) / len(values)
        self.loaded = {name: combine(values) for name, values in found.items()}


def _model(name: str) -> str:
    return name.partition(".")[0]


def _tag(name: str) -> str:
    return name.partition(".")[2]


def _counts(tag: str, patterns: list[str]) -> bool:
    """Returns whether a tag matches a pattern and none of those that begin with ``!``."""
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")] or ["*"]
    left_out = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    return any(fnmatchcase(tag, one) for one in wanted) and not any(fnmatchcase(tag, one) for one in left_out)


def _chosen_sizes(rows: list[tuple[str, int]], size: Size) -> Mapping[str, int]:
    """Returns the size of images that counts, by weight file."""
    sizes: dict[str, list[int]] = {}
    for name, one in rows:
        sizes.setdefault(name, []).append(one)
    if isinstance(size, int):
        return dict.fromkeys(sizes, size)
    choose = min if size == "smallest" else max
    return {name: choose(listed) for name, listed in sizes.items()}


def _size(text: str, path: str, row: int) -> int:
    try:
        return int(text)
    except ValueError:
        raise TableError(f"{path!r}, row {row}: expected a number of pixels as 'img_size', but it is {text!r}") from None
