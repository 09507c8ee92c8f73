"""Costs of NAS-Bench-201's cells on devices: HW-NAS-Bench (Li et al., ICLR 2021) and HELP (Lee et al., NeurIPS 2021).

Both have one row for each of the 15,625 cells, in the official order. HELP's eyeriss, fpga, pixel3 and raspi4 are those of
HW-NAS-Bench on CIFAR-10. The numbers behind the names of GPUs are batch sizes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rbflex_evo.spaces.tables.device_table import DeviceCost, DeviceTable

HW_DEVICES = ("edgegpu", "raspi4", "pixel3", "eyeriss", "fpga")
HELP_GPUS = ("1080ti", "2080ti", "titan_rtx", "titanx", "titanxp")
HELP_OTHERS = (
    *("essential_ph_1", "eyeriss", "fpga", "gold_6226", "gold_6240", "pixel2", "pixel3", "raspi4"),
    *("samsung_a50", "samsung_s7", "silver_4114", "silver_4210r"),
)
HELP_DEVICES = (*(f"{gpu}_{batch}" for gpu in HELP_GPUS for batch in (1, 32, 256)), *HELP_OTHERS)


class HwNasBenchTable(DeviceTable):
    """Arrays named DATASET_DEVICE_latency (ms) or DATASET_DEVICE_energy (mJ)."""

    name = "hw_nas_bench"
    description = "HW-NAS-Bench: arrays DATASET_DEVICE_latency and DATASET_DEVICE_energy, three data sets, 15,625 cells each"
    spaces = ("nats_tss",)
    published = (*(f"latency:{device}" for device in HW_DEVICES), "energy:edgegpu", "energy:eyeriss")
    datasets = ("cifar10", "cifar100", "imagenet16_120")
    _ARRAY = re.compile(rf"({'|'.join(datasets)})_(.+)_(latency|energy)")

    @classmethod
    def fits(cls, names: Sequence[str]) -> bool:
        """Returns whether an array is named after a data set, a device and a quantity."""
        return any(cls._ARRAY.fullmatch(name) for name in names)

    def cost_of(self, array: str) -> DeviceCost | None:
        """Returns the cost that an array holds by its name, or None if it holds none."""
        found = self._ARRAY.fullmatch(array)
        return None if found is None else DeviceCost(found[3], found[2], array, found[1])

    def notations(self) -> None:
        """Returns None: rows are in official order."""
        return


class HelpTable(DeviceTable):
    """Arrays named after 27 devices, in ms."""

    name = "help_nb201"
    description = "HELP: latency of 15,625 cells on 27 devices"
    spaces = ("nats_tss",)
    published = tuple(f"latency:{device}" for device in HELP_DEVICES)

    @classmethod
    def fits(cls, names: Sequence[str]) -> bool:
        """Returns whether all arrays are named after devices of HELP, and more than those of HW-NAS-Bench."""
        return set(names) <= set(HELP_DEVICES) and bool({*names} - {*HW_DEVICES})

    def notations(self) -> None:
        """Returns None: rows are in official order."""
        return
