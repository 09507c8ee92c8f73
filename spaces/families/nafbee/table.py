"""Accuracies of NAFBee (Yamasaki et al. 2025, arXiv 2503.22733): the benchmark's JSON files, or a csv of the same fields.

    {"1": {"network": "VGG19", "activation": "ReLU", "accuracy": 91.06}, ...}         NAFBee_VGG19.json, NAFBee_BERT.json
    id,network,activation,accuracy,...                                                both networks in one file, with other columns

VGG-19 was trained for 200 epochs on CIFAR-10, BERT was fine-tuned on SST-2. With one activation for each layer, only networks
with equal activations in all layers are known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rbflex_evo.spaces.errors import GenotypeError, TableError, near_name, shown
from rbflex_evo.spaces.parameters import Parameters
from rbflex_evo.spaces.space import SearchSpace
from rbflex_evo.spaces.tables.files import existing_file, read_csv, read_json
from rbflex_evo.spaces.tables.percent import check_percent
from rbflex_evo.spaces.tables.table import LoadedTable

# Name of the networks of a space in the benchmark, and their data set. The VGG-11 of RBFleX is not in the benchmark.
NETWORKS = {"nafbee_vgg19": ("VGG19", "cifar10"), "nafbee_bert": ("BERT", "sst2")}
FIELDS = ("network", "activation", "accuracy")


class NafbeeParameters(Parameters):
    """File of the NAFBee table.

    Attributes:
        path: A JSON file of the benchmark, or a .csv or .csv.gz file with the columns network, activation and accuracy.
    """

    path: str


class NafbeeTable(LoadedTable):
    """Test accuracies of the networks of one NAFBee space."""

    name = "nafbee"
    description = "accuracies of NAFBee_VGG19.json or NAFBee_BERT.json, or of a csv of them, for nafbee_vgg19 and nafbee_bert"
    Parameters = NafbeeParameters

    def __init__(self, parameters: NafbeeParameters, space: SearchSpace) -> None:
        if space.name not in NETWORKS:
            raise TableError(
                f"table {self.name!r} is for spaces {' and '.join(map(repr, NETWORKS))}, "
                f"but the search space is {space.name!r}; remove the table or choose one of those"
            )
        self.space = space.name
        network, self.dataset = NETWORKS[space.name]
        records = _records(parameters.path)
        found: dict[str, float] = {}
        for where, record in records.items():
            missing = [field for field in FIELDS if record.get(field) is None]
            if missing:
                raise TableError(f"{where} has no {missing[0]!r}{near_name(missing[0], map(str, record))}")
            if record["network"] != network:
                continue
            notation = _notation(space, record["activation"], where)
            if notation in found:
                raise TableError(f"{where} has {shown(record['activation'])} a second time; keep one of them")
            found[notation] = _accuracy(record["accuracy"], where)
        if not found:
            there = ", ".join(sorted({str(record["network"]) for record in records.values()})) or "no network"
            raise TableError(f"{parameters.path!r} holds {there}; space {space.name!r} is of {network}")
        check_percent(found, f"{parameters.path!r}, networks {network}")
        self.loaded = found


def _records(path: str) -> dict[str, Mapping[str, Any]]:
    """Returns the records of a file by their name in error messages."""
    file = existing_file(path)
    if file.suffix != ".json":
        columns = read_csv(file)
        missing = [field for field in FIELDS if field not in columns]
        if missing:
            raise TableError(f"{path!r} has no column {missing[0]!r}{near_name(missing[0], columns)}")
        rows = zip(*columns.values(), strict=True)
        return {f"{path!r}, row {i}": dict(zip(columns, row, strict=True)) for i, row in enumerate(rows, start=1)}
    content = read_json(path)
    if not isinstance(content, dict) or not all(isinstance(record, dict) for record in content.values()):
        raise TableError(f"{path!r} is not a NAFBee file; expected records by number, as '1': {{'network': 'VGG19', ...}}")
    return {f"{path!r}, record {number!r}": record for number, record in content.items()}


def _notation(space: SearchSpace, activation: Any, where: str) -> str:
    try:
        return space.notation(space.parse(str(activation)))
    except GenotypeError as error:
        raise TableError(f"{where} is not a network of space {space.name!r}: {error}") from None


def _accuracy(value: Any, where: str) -> float:
    try:
        accuracy = float(value)
    except (TypeError, ValueError):
        accuracy = math.nan
    if isinstance(value, bool) or not 0 <= accuracy <= 100:
        raise TableError(f"{where}: expected an accuracy in percent, but it is {shown(value)}")
    return accuracy
