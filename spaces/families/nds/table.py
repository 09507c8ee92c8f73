"""Accuracies of the NDS networks (Radosavovic et al. 2019, arXiv 1905.13214) from the paper's JSON files.

[{"net": {...}, "test_ep_top1": [errors in percent, one an epoch], "min_test_top1": error, ...}, ...]
{"top": [...], "mid": [...]}                                                                       of ImageNet
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from rbflex_evo.spaces.errors import GenotypeError, TableError, shown
from rbflex_evo.spaces.parameters import Parameters
from rbflex_evo.spaces.space import SearchSpace
from rbflex_evo.spaces.tables.files import read_json
from rbflex_evo.spaces.tables.percent import check_percent
from rbflex_evo.spaces.tables.table import LoadedTable


class NdsTableParameters(Parameters):
    """File and epoch of the NDS table.

    Attributes:
        path: Path of the JSON file.
        epoch: The ``last`` epoch, or the ``best`` one on the test images, which is optimistic.
        dataset: Name of the data set in reports; None for the name of the file.
    """

    path: str
    epoch: Literal["last", "best"] = "last"
    dataset: str | None = None


class NdsTable(LoadedTable):
    """Test accuracies of sampled networks, averaged if a network was trained several times."""

    name = "nds"
    description = "accuracies of an NDS JSON file (DARTS.json, ResNet.json, ...) for the nds_* space that it was sampled from"
    Parameters = NdsTableParameters

    def __init__(self, parameters: NdsTableParameters, space: SearchSpace) -> None:
        self.space = space.name
        self.dataset = parameters.dataset or Path(parameters.path).stem
        found: dict[str, list[float]] = {}
        errors: list[float] = []
        for row, record in enumerate(_records(parameters.path), start=1):
            where = f"{parameters.path!r}, record {row}"
            try:
                notation = space.notation(space.parse(json.dumps({"net": record["net"]})))
            except (KeyError, TypeError):
                raise TableError(f"{where} has no 'net'; expected the network that was trained") from None
            except GenotypeError as error:
                raise TableError(f"{where} is not a network of space {space.name!r}: {error}") from None
            errors.append(_error(record, parameters.epoch, where))
            found.setdefault(notation, []).append(100 - errors[-1])
        if not found:
            raise TableError(f"{parameters.path!r} has no records; expected at least one network")
        check_percent(errors, f"{parameters.path!r}", "a test error")
        self.loaded = {notation: sum(values) / len(values) for notation, values in found.items()}


def _records(path: str) -> list[Any]:
    content = read_json(path)
    if isinstance(content, dict):
        content = [record for records in content.values() if isinstance(records, list) for record in records]
    if not isinstance(content, list):
        raise TableError(f"{path!r} is not an NDS file; expected a list of records")
    return content


def _error(record: Mapping[str, Any], epoch: str, where: str) -> float:
    """Returns the test error of a record in percent."""
    name = "test_ep_top1" if epoch == "last" else "min_test_top1"
    value = record.get(name)
    if epoch == "last" and isinstance(value, list) and value:
        value = value[-1]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TableError(f"{where}: expected a test error in percent as {name!r}, but it is {shown(value)}")
    return float(value)
