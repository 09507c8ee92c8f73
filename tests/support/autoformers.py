"""Forms of the AutoFormer spaces whose networks are built and run in a few milliseconds."""

from __future__ import annotations

from typing import Any

FORM: dict[str, Any] = {"widths": [16, 24], "heads": [1, 2], "min_depth": 2, "max_depth": 3, "size": 32}
SMALL_AUTOFORMERS = {f"autoformer_{size}": FORM for size in ("tiny", "small", "base")}
