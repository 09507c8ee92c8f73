"""Forms of the spaces of existing models whose networks are built and run in a few milliseconds."""

from __future__ import annotations

from typing import Any

SMALL_FAMILIES: dict[str, dict[str, Any]] = {
    "models": {"from": ["resnet18", "shufflenet_v2_x0_5"], "size": 32, "classes": 10},
}
