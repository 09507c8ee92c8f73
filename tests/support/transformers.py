"""Forms of the spaces of Transformers whose networks are built and run in a few milliseconds."""

from __future__ import annotations

from typing import Any

FORM: dict[str, Any] = {"widths": [16, 24], "heads": [1, 2], "min_depth": 2, "max_depth": 3, "size": 32}
SMALL_AUTOFORMERS = {f"autoformer_{size}": FORM for size in ("tiny", "small", "base")}
PIT: dict[str, Any] = {
    "widths": [4, 6],
    "ratios": [2, 3],
    "depths": [[1, 2], [1, 2], [1]],
    "heads": [[1, 2], [1, 2], [2, 4]],
    "size": 32,
    "classes": 10,
}
FLEXIBERT: dict[str, Any] = {
    "hidden": [8, 16],
    "inner": [12, 16],
    "embedding": 12,
    "length": 10,
    "vocabulary": 50,
}
SMALL_TRANSFORMERS = {**SMALL_AUTOFORMERS, "pit": PIT, "flexibert": FLEXIBERT}
