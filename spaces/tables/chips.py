"""Chips of the devices of published tables: which devices tell nothing new of each other.

Names of GPUs carry a batch size. Devices count as one chip if they have the same die or, for processors of servers, are of the same
generation: the GTX 1080 Ti, Titan X and Titan Xp, for example, have one die.
"""

from __future__ import annotations

import re

CHIPS = {
    "1080ti": "GP102",
    "titanx": "GP102",
    "titanxp": "GP102",
    "2080ti": "TU102",
    "titan_rtx": "TU102",
    "gold_6226": "Cascade Lake",
    "gold_6240": "Cascade Lake",
    "silver_4210r": "Cascade Lake",
    "silver_4114": "Skylake",
    "pixel2": "Snapdragon 835",
    "essential_ph_1": "Snapdragon 835",
    "pixel3": "Snapdragon 845",
    "samsung_a50": "Exynos 9610",
    "samsung_s7": "Exynos 8890",
    "raspi4": "BCM2711",
    "edgegpu": "Jetson TX2",
}


def chip_of(device: str) -> str:
    """Returns the chip of a device, its name without a batch size if it is of no known chip."""
    if device in CHIPS:
        return CHIPS[device]
    model = re.sub(r"_\d+$", "", device)
    return CHIPS.get(model, model)
