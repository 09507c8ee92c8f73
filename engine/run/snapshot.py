"""A checkpoint of a search: the strategy's state and how much of the journal it has been told.

A snapshot only saves time: a run without one, or with one that does not fit, is replayed from the start of its journal.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

VERSION = 1


@dataclass
class Counts:
    """How a search fares.

    Attributes:
        proposed: genotypes that the strategy proposed, those of a warm start included.
        known: those of them whose architecture was known already.
        barren: asks in a row, up to now, that proposed nothing new.
        looks: looks at costs that the strategy knows of, of those in the journal.
        rejected_in_a_row: architectures rejected since the last one that was not.
    """

    proposed: int = 0
    known: int = 0
    barren: int = 0
    looks: int = 0
    rejected_in_a_row: int = 0


@dataclass(frozen=True)
class Snapshot:
    """The state after a tell.

    Attributes:
        told: evaluations of the journal that the strategy has been told.
        seconds: of the search so far, stops excluded.
        strategy: its `state_dict`.
    """

    told: int
    seconds: float
    counts: Counts
    strategy: dict[str, Any]


def encode(snapshot: Snapshot, identity: str) -> str:
    """Returns a snapshot as text, with its checksum."""
    facts = {"told": snapshot.told, "seconds": snapshot.seconds, "counts": asdict(snapshot.counts)}
    body = json.dumps({"version": VERSION, "identity": identity, **facts, "strategy": snapshot.strategy})
    return json.dumps({"crc": zlib.crc32(body.encode()), "body": body})


def load(path: Path, identity: str, evaluations: int, looks: int = 0) -> tuple[Snapshot | None, str | None]:
    """Returns the snapshot, or None and, where there is one that cannot be used, why.

    Args:
        identity: of the run's configuration.
        evaluations: in the journal; a snapshot that was told more belongs to another journal.
        looks: in the journal, likewise.
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
    if body["version"] != VERSION or body["identity"] != identity:
        return None, "it is of another version or another configuration"
    counts = Counts(**body["counts"])
    if body["told"] > evaluations or counts.looks > looks:
        return None, "it is ahead of the journal"
    return Snapshot(body["told"], body["seconds"], counts, body["strategy"]), None
