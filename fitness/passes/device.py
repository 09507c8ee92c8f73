"""Everything that depends on the accelerator: devices by name, precisions, free memory and out-of-memory handling."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

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

# Variable of the environment that names the cards which a process sees.
VISIBLE = "CUDA_VISIBLE_DEVICES"

# Share of the free memory that a call may take.
USED = 0.8

# As in glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def find_device(name: str) -> torch.device:
    """Returns the device of the given name; ``auto`` selects CUDA, else MPS, else the CPU.

    ``cuda`` without a number is the kind: workers share all visible cards (see `cards_of`), and a single process uses the first.

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


@dataclass(frozen=True)
class Card:
    """Device of one worker process.

    Attributes:
        device: The device by its name in that process. A process that sees one card alone calls it ``cuda``, whichever it is, so
            that no message and no result names the card.
        variables: Variables of the environment that let the process see this card alone, to be set before it starts.
    """

    device: torch.device
    variables: Mapping[str, str] = field(default_factory=dict)


def cards_of(device: torch.device, visible: Sequence[str]) -> list[Card]:
    """Returns the cards that the workers of a device share, in order: worker i takes the card i modulo their number.

    Args:
        device: The device of the configuration. ``cuda`` means all visible cards, ``cuda:1`` this one.
        visible: Values of CUDA_VISIBLE_DEVICES, one for each visible card (`visible_cards`).
    """
    if device.type != "cuda" or device.index is not None or len(visible) < 2:
        return [Card(device)]
    return [Card(device, {VISIBLE: name}) for name in visible]


def visible_cards(variables: Mapping[str, str], count: int) -> list[str]:
    """Returns the values of CUDA_VISIBLE_DEVICES that select each of the visible CUDA cards.

    A process sees only the first of several MIG devices (parts of a card), whatever the variable names, so `count` does not count
    them; each one needs a process of its own.

    Args:
        variables: Variables of the environment.
        count: Number of cards that this process sees, `torch.cuda.device_count()`.
    """
    names = [name.strip() for name in variables.get(VISIBLE, "").split(",")]
    if count and names[0].startswith("MIG-"):
        return [name for name in names if name.startswith("MIG-")]
    return names[:count] if VISIBLE in variables else [str(i) for i in range(count)]


def found_cards(device: torch.device) -> list[Card]:
    """Returns the cards of this machine that the workers of a device share."""
    count = torch.cuda.device_count() if device.type == "cuda" else 0
    return cards_of(device, visible_cards(os.environ, count))


def wait_for(device: torch.device) -> None:
    """Waits until the device has finished all submitted work; returns at once on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def runs_together(device: torch.device) -> bool:
    """Returns whether several candidates are computed side by side, as on an accelerator, where launches cost more than arithmetic.

    On a CPU each candidate is computed alone, so that its maps stay in the processor's cache.
    """
    return device.type != "cpu"


class Memory(Protocol):
    """Memory of an accelerator, which other processes may use at the same time."""

    def begin(self) -> int | None:
        """Begins the measurement of a call and returns the bytes that are free now, None if they are unknown."""

    def taken(self) -> int:
        """Returns the most bytes that this process took at once since `begin`, in addition to what it had then."""

    def release(self) -> None:
        """Returns cached memory to the device."""


class CudaMemory:
    """Memory of a CUDA device.

    Args:
        device: The device.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._before = 0

    def begin(self) -> int:
        """Begins the measurement of a call and returns the free bytes, including what this process holds and does not use."""
        torch.cuda.reset_peak_memory_stats(self.device)
        self._before = torch.cuda.memory_allocated(self.device)
        return torch.cuda.mem_get_info(self.device)[0] + torch.cuda.memory_reserved(self.device) - self._before

    def taken(self) -> int:
        """Returns the most bytes that this process took at once since `begin`."""
        return torch.cuda.max_memory_allocated(self.device) - self._before

    def release(self) -> None:
        """Returns cached memory to the device."""
        torch.cuda.empty_cache()


class HostMemory:
    """Memory of a CPU or an Apple device, of which the free part is unknown.

    Args:
        device: The device.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def begin(self) -> None:
        """Returns None."""

    def taken(self) -> int:
        """Returns 0."""
        return 0

    def release(self) -> None:
        """Returns cached memory to the device."""
        if self.device.type == "mps":
            torch.mps.empty_cache()


class Capacity:
    """Number of candidates that a device computes at once.

    If the device reports its memory, the number is as large as the memory that is free before each call permits, by the memory that
    earlier candidates took. The first candidate is computed alone. If memory runs out all the same, because another process took it
    or candidates are larger than those before, the number is halved, down to one. Afterwards it grows again, at most to what is
    free.
    If the device does not report its memory, there is no limit until memory runs out, and a halved number holds from then on.

    Args:
        device: The device.
        memory: Memory of the device; by default that of its kind.

    Attributes:
        together: The number of candidates after memory ran out, None while there is no limit.
        peak: Bytes that the call with the highest demand took; 0 if unknown.
    """

    def __init__(self, device: torch.device, memory: Memory | None = None) -> None:
        self.memory: Memory = memory or (CudaMemory(device) if device.type == "cuda" else HostMemory(device))
        self.together: int | None = None
        self.peak = 0
        self._free: int | None = None  # Before the current call.
        self._each = 0.0  # Bytes that one candidate takes.

    def of(self, waiting: int) -> int:
        """Returns how many of the `waiting` candidates are computed next."""
        self._free = self.memory.begin()
        limit = self.together or waiting
        if self._free is not None:
            # Some memory remains for fragmentation.
            limit = min(limit, max(1, int(USED * self._free / self._each))) if self._each else 1
        return min(limit, waiting)

    def fitted(self, count: int) -> None:
        """Notes that the memory was sufficient for `count` candidates."""
        if self._free is not None:
            taken = self.memory.taken()
            self.peak = max(self.peak, taken)
            self._each = max(self._each, taken / count)
            self.together = None

    def ran_out(self, count: int) -> bool:
        """Releases cached memory after `count` candidates ran out of it; returns False if `count` cannot be reduced."""
        self.memory.release()
        if count > 1:
            self.together = count // 2
            if self._free is not None:
                # So many needed more than there was, or another process took it; the next number is smaller in either case.
                self._each = max(self._each, self._free / count)
        return count > 1


def is_out_of_memory(error: BaseException) -> bool:
    """Returns True for every kind of out-of-memory error."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (text in _ONEDNN or any(words in text for words in _NO_MEMORY))


def keep_freed_memory() -> None:
    """Configures the C library (glibc) to keep up to 512 MB of freed memory for the next maps.

    By default it returns maps of a megabyte to the system each time, and new pages for the next map cost up to a third of a
    forward. No result depends on this setting.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is not None and hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, 32 * 2**20)
        libc.mallopt(M_TRIM_THRESHOLD, 512 * 2**20)
