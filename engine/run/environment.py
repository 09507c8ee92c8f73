"""What a number was measured with."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version


def environment() -> dict[str, str]:
    """Returns the versions and the machine that a number was measured with."""
    return {
        "python": platform.python_version(),
        "torch": _version("torch"),
        "rbflex-evo": _version("rbflex-evo"),
        "machine": f"{platform.platform()}, {platform.machine()}, {os.cpu_count()} CPUs",
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
