"""All that an accelerator changes: devices by name, precisions, what memory is left, and what happens when it runs out."""

from __future__ import annotations

import ctypes
import sys

import torch

from rbflex_evo.spaces import DeviceError

# Of the maps, and of the convolutions. bfloat16 spoils the features (Kendall of Q alone 0.60 to 0.63), so it is no default.
PRECISIONS = {
    "float32": (torch.float32, torch.float32),
    "float64": (torch.float64, torch.float64),
    "bfloat16": (torch.float32, torch.bfloat16),
}

# As in glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def find_device(name: str) -> torch.device:
    """Returns the device of that name; ``auto`` takes CUDA, then MPS, then the CPU.

    Raises:
        DeviceError: if it is not there.
    """
    there = ["cpu"]
    if torch.cuda.is_available():
        there = ["cuda", *(f"cuda:{i}" for i in range(torch.cuda.device_count())), "cpu"]
    elif torch.backends.mps.is_available():
        there = ["mps", "cpu"]
    if name == "auto":
        return torch.device(there[0])
    if name not in there:
        raise DeviceError(f"device {name!r} is not there; this machine has {', '.join(there)} (or use 'auto')")
    return torch.device(name)


def wait_for(device: torch.device) -> None:
    """Waits until the device has done all that it was given; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


class Capacity:
    """How many candidates a device computes at once.

    It is found from the memory that the first one takes, where the device tells; when memory runs out all the same, the number
    is halved, down to one. Either way it is remembered.

    Attributes:
        together: the number, None while nothing limits it.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.together: int | None = None
        self._free: int | None = None  # before the first candidate, until that one is measured

    def of(self, waiting: int) -> int:
        """Returns how many of the candidates that wait are computed next."""
        if self._free is not None:
            # A little is left for what the allocator cannot use.
            self.together = max(1, int(0.8 * self._free / max(1, peak_memory(self.device))))
            self._free = None
        elif self.together is None and waiting > 1:
            self._free = memory_left(self.device)
            if self._free is not None:
                return 1
        return min(self.together or waiting, waiting)

    def ran_out(self, count: int) -> bool:
        """Gives cached memory back after that many candidates were too many; False if one alone was."""
        release_memory(self.device)
        if count > 1:
            self.together = count // 2
        return count > 1


def memory_left(device: torch.device) -> int | None:
    """Returns the bytes that the device has left, None where it does not tell; starts a new peak."""
    if device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats(device)
    free = torch.cuda.mem_get_info(device)[0]
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def peak_memory(device: torch.device) -> int:
    """Returns the most bytes that were in use since `memory_left`."""
    return torch.cuda.max_memory_allocated(device)


def is_out_of_memory(error: BaseException) -> bool:
    """True for every way in which a device says that its memory is full."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


def release_memory(device: torch.device) -> None:
    """Gives cached memory back to the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def keep_freed_memory() -> None:
    """Lets the C library (glibc) keep what is freed for the next map, up to 512 MB.

    It gives maps of a megabyte back to the system each time, and fresh pages for the next one cost as much as a third of a
    forward. No result depends on it.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is not None and hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, 32 * 2**20)
        libc.mallopt(M_TRIM_THRESHOLD, 512 * 2**20)
