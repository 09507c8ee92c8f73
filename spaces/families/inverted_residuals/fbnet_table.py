"""Latencies of FBNet's networks on devices (HELP, Lee et al., NeurIPS 2021; HW-NAS-Bench, Li et al., ICLR 2021).

The file has some of the networks: ``arch`` [n, 22] holds positions in ``op_names``, and the other arrays one latency each, in ms.
The networks are those of the CIFAR-100 form.
"""

from __future__ import annotations

from collections.abc import Sequence

from rbflex_evo.spaces.errors import TableError
from rbflex_evo.spaces.space import SearchSpace
from rbflex_evo.spaces.tables.device_table import DeviceCost, DeviceTable
from rbflex_evo.spaces.tables.notations import checked_notations

ARCHITECTURES, NAMES = "arch", "op_names"


class FbnetTable(DeviceTable):
    """Arrays named after devices, in ms, beside the operations of the networks."""

    name = "fbnet"
    description = "HELP: latency of some networks on 22 devices; array arch [n, 22] of positions in op_names"
    spaces = ("fbnet",)

    def __init__(self, path: str, names: Sequence[str], space: SearchSpace, notation: str | None = None) -> None:
        super().__init__(path, names, space, notation)
        form = getattr(space.parameters, "form", "cifar100")
        if form != "cifar100":
            raise TableError(
                f"{path!r} is of FBNet's CIFAR-100 form, but the space has the form {form!r}; set space.form to cifar100"
            )

    @classmethod
    def fits(cls, names: Sequence[str]) -> bool:
        """Returns whether there are networks as numbers of named operations."""
        return {ARCHITECTURES, NAMES} <= set(names)

    def cost_of(self, array: str) -> DeviceCost | None:
        """Returns the cost that an array holds by its name, or None if it holds none."""
        return None if array in (ARCHITECTURES, NAMES) else super().cost_of(array)

    def notations(self) -> Sequence[str]:
        """Returns the networks of the rows, checked."""
        numbers, operations = self._read(ARCHITECTURES), self._read(NAMES).tolist()
        if numbers.ndim != 2 or numbers.dtype.kind not in "iu" or not numbers.size:
            raise TableError(
                f"{ARCHITECTURES!r} of {self.path!r} is of shape {numbers.shape} and type {numbers.dtype}; "
                "expected whole numbers [n, 22]"
            )
        if numbers.min() < 0 or numbers.max() >= len(operations):
            raise TableError(f"{ARCHITECTURES!r} of {self.path!r} has numbers beyond its {len(operations)} {NAMES!r}")
        rows = (" ".join(str(operations[number]) for number in row) for row in numbers.tolist())
        return checked_notations(self.path, self.space, rows)
