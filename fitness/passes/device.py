"""Everything that depends on the accelerator: devices by name, precisions, free memory and out-of-memory handling."""

from __future__ import annotations

import ctypes
import sys

import torch

from rbflex_evo.spaces import DeviceError

# Precisions of the maps and of the convolutions. bfloat16 degrades the features (Kendall of Q alone 0.60 to 0.63), so it is not
# the default.
PRECISIONS = {
    "float32": (torch.float32, torch.float32),
    "float64": (torch.float64, torch.float64),
    "bfloat16": (torch.float32, torch.bfloat16),
}

_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
# All that oneDNN says of an allocation that failed.
_ONEDNN = ("could not create a primitive", "could not create a memory object", "could not execute a primitive")

# As in glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def find_device(name: str) -> torch.device:
    """Returns the device of the given name; ``auto`` selects CUDA, else MPS, else the CPU.

    Raises:
        DeviceError: If the machine has no such device.
    """
    there = ["cpu"]
    if torch.cuda.is_available():
        there = ["cuda", *(f"cuda:{i}" for i in range(torch.cuda.device_count())), "cpu"]
    elif torch.backends.mps.is_available():
        there = ["mps", "cpu"]
    if name == "auto":
        return torch.device(there[0])
    if name not in there:
        raise DeviceError(f"device {name!r} is not available; this machine has {', '.join(there)} (or use 'auto')")
    return torch.device(name)


def wait_for(device: torch.device) -> None:
    """Waits until the device has finished all submitted work; returns at once on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


class Capacity:
    """Number of candidates that a device computes at once.

    If the device reports its memory, the number is estimated from the memory of the first candidate. If memory runs out, the number
    is halved, down to one. It holds for all further candidates.

    Args:
        device: The device.

    Attributes:
        together: The number of candidates, None while it is unlimited.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.together: int | None = None
        self._free: int | None = None  # Free memory before the first candidate, until that one is measured.

    def of(self, waiting: int) -> int:
        """Returns how many of the `waiting` candidates are computed next."""
        if self._free is not None:
            # Some memory remains for fragmentation.
            self.together = max(1, int(0.8 * self._free / max(1, peak_memory(self.device))))
            self._free = None
        elif self.together is None and waiting > 1:
            self._free = memory_left(self.device)
            if self._free is not None:
                return 1
        return min(self.together or waiting, waiting)

    def ran_out(self, count: int) -> bool:
        """Releases cached memory after `count` candidates ran out of it; returns False if `count` cannot be reduced."""
        release_memory(self.device)
        if count > 1:
            self.together = count // 2
        return count > 1


def memory_left(device: torch.device) -> int | None:
    """Returns the free memory of the device in bytes, None if it is unknown; resets the peak."""
    if device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats(device)
    free = torch.cuda.mem_get_info(device)[0]
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def peak_memory(device: torch.device) -> int:
    """Returns the peak memory in bytes since `memory_left`."""
    return torch.cuda.max_memory_allocated(device)


def is_out_of_memory(error: BaseException) -> bool:
    """Returns True for every kind of out-of-memory error."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (text in _ONEDNN or any(words in text for words in _NO_MEMORY))


def release_memory(device: torch.device) -> None:
    """Returns cached memory to the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def keep_freed_memory() -> None:
    """Configures the C library (glibc) to keep up to 512 MB of freed memory for the next maps.

    By default it returns maps of a megabyte to the system each time, and new pages for the next map cost up to a third of a
    forward. No result depends on this setting.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is not None and hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, 32 * 2**20)
        libc.mallopt(M_TRIM_THRESHOLD, 512 * 2**20)
