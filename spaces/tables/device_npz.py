"""Costs on devices of your own: arrays in the official order of the benchmark, or beside an array of notations.

The array of notations need not be named if it is the only one of strings.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rbflex_evo.spaces.errors import TableError, near_name
from rbflex_evo.spaces.space import SearchSpace

from .device_table import DeviceCost, DeviceTable
from .files import existing_file, read_npz
from .notations import checked_notations


class NpzDeviceTable(DeviceTable):
    """Arrays named DEVICE, DEVICE_latency (ms) or DEVICE_energy (mJ)."""

    name = "npz"
    named_notations = True
    description = "arrays DEVICE or DEVICE_latency (ms) and DEVICE_energy (mJ), in official order or with an array of notations"

    def __init__(self, path: str, names: Sequence[str], space: SearchSpace, notation: str | None = None) -> None:
        super().__init__(path, names, space, notation)
        if notation is not None and notation not in names:
            raise TableError(f"{path!r} has no array {notation!r}{near_name(notation, names)}")
        texts = [name for name, array in self._read_all().items() if array.dtype.kind in "US"]
        self.notation = notation or (texts[0] if len(texts) == 1 else None)

    @classmethod
    def fits(cls, names: Sequence[str]) -> bool:
        """Returns True if there is an array."""
        return bool(names)

    def cost_of(self, array: str) -> DeviceCost | None:
        """Returns the cost that an array holds by its name; the array of notations holds none."""
        return None if array == self.notation else super().cost_of(array)

    def _read_all(self) -> dict[str, np.ndarray]:
        return read_npz(existing_file(self.path), self.names)[1]

    def notations(self) -> Sequence[str] | None:
        """Returns the notations, checked, or None for official order."""
        if self.notation is None:
            return None
        column = self._read(self.notation)
        if column.ndim != 1:
            raise TableError(f"{self.notation!r} of {self.path!r} is of shape {column.shape}; expected one notation a row")
        return checked_notations(self.path, self.space, column.tolist())
