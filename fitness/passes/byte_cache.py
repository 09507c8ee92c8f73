"""A cache of arrays and tensors that is limited by their size."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Entry = TypeVar("Entry")


class ByteCache(Generic[Entry]):
    """Cache that drops the least recently used entries when they take too much memory.

    Args:
        limit: Size of all entries together, in bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._used = 0
        self._entries: OrderedDict[Hashable, tuple[Entry, int]] = OrderedDict()

    def get(self, key: Hashable) -> Entry | None:
        """Returns the entry of `key`, or None if there is none."""
        if key not in self._entries:
            return None
        self._entries.move_to_end(key)
        return self._entries[key][0]

    def keep(self, key: Hashable, entry: Entry, size: int) -> None:
        """Adds an entry of `size` bytes, in place of another one of that key."""
        before = self._entries.pop(key, None)
        self._used -= before[1] if before else 0
        self._entries[key] = (entry, size)
        self._used += size
        while self._used > self.limit:
            self._used -= self._entries.popitem(last=False)[1][1]

    def clear(self) -> None:
        """Drops all entries."""
        self._entries.clear()
        self._used = 0
