"""The versions and the machine of a measurement."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version


def environment() -> dict[str, str]:
    """Returns the versions of the packages and a description of the machine."""
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
