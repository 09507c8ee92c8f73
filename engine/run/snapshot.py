"""A checkpoint of a search: the state of the strategy, the number of evaluations that it has been told, and what is outstanding.

A snapshot of version 1 has nothing outstanding: it was written when no strategy was asked ahead.

A snapshot only saves time. A run without a usable snapshot is replayed from the start of its journal.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

VERSION = 2
READABLE = (1, 2)


@dataclass
class Counts:
    """The counters of a search.

    Attributes:
        proposed: Number of genotypes that the strategy proposed, including those of a warm start.
        known: Number of proposed genotypes whose architecture was already known.
        barren: Number of consecutive asks, up to now, that proposed nothing new.
        looks: Number of looks in the journal that the strategy knows of; in memory, those of outstanding batches are counted, too.
        rejected_in_a_row: Number of architectures rejected since the last one that was not.
    """

    proposed: int = 0
    known: int = 0
    barren: int = 0
    looks: int = 0
    rejected_in_a_row: int = 0


@dataclass(frozen=True)
class Snapshot:
    """The state of a search after a tell.

    Attributes:
        told: Number of evaluations in the journal that the strategy has been told.
        seconds: Duration of the search so far, without interruptions.
        counts: The counters of the search.
        strategy: The `state_dict` of the strategy.
        outstanding: The batches that were asked for and not told, the oldest first, as `Batch.to_json` returns them.
        ended: Why the strategy is not asked any more; empty if it proposed nothing, None if it is asked.
    """

    told: int
    seconds: float
    counts: Counts
    strategy: dict[str, Any]
    outstanding: list[dict[str, Any]] = field(default_factory=list)
    ended: str | None = None


def encode(snapshot: Snapshot, identity: str) -> str:
    """Returns a snapshot as text, with a checksum."""
    facts = {"told": snapshot.told, "seconds": snapshot.seconds, "counts": asdict(snapshot.counts)}
    queue = {"outstanding": snapshot.outstanding, "ended": snapshot.ended}
    body = json.dumps({"version": VERSION, "identity": identity, **facts, **queue, "strategy": snapshot.strategy})
    return json.dumps({"crc": zlib.crc32(body.encode()), "body": body})


def load(path: Path, identity: str, evaluations: int, looks: int = 0) -> tuple[Snapshot | None, str | None]:
    """Returns the snapshot and None, or None and the reason why an existing snapshot cannot be used.

    Args:
        path: The file of the snapshot.
        identity: The identity of the run's configuration.
        evaluations: Number of evaluations in the journal; a snapshot with more belongs to another journal.
        looks: Number of looks in the journal; a snapshot with more belongs to another journal.
    """
    try:
        outer = json.loads(path.read_text(encoding="utf-8"))
        if zlib.crc32(outer["body"].encode()) != outer["crc"]:
            return None, "its checksum is wrong"
        body = json.loads(outer["body"])
    except FileNotFoundError:
        return None, None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None, "it is damaged"
    if body["version"] not in READABLE or body["identity"] != identity:
        return None, "it is of another version or another configuration"
    counts = Counts(**body["counts"])
    if body["told"] > evaluations or counts.looks > looks:
        return None, "it is ahead of the journal"
    outstanding, ended = body.get("outstanding", []), body.get("ended")
    return Snapshot(body["told"], body["seconds"], counts, body["strategy"], outstanding, ended), None
