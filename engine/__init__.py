"""The engine: configuration, search loop, journal, resume, report and commands.

    from engine import Search
    result = Search.from_yaml("configs/quickstart.yaml").run()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import Config, load_config, parse_config
    from .estimate import estimate
    from .report import write_report
    from .result import Candidate, Result
    from .search import Search

# Imported when first asked for, so that a command line answers at once.
_LATE = {
    "Candidate": "result",
    "Config": "config",
    "Result": "result",
    "Search": "search",
    "estimate": "estimate",
    "load_config": "config",
    "parse_config": "config",
    "write_report": "report",
}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        from importlib import import_module

        return getattr(import_module(f"engine.{_LATE[name]}"), name)
    raise AttributeError(f"module 'engine' has no attribute {name!r}")


__all__ = ["Candidate", "Config", "Result", "Search", "estimate", "load_config", "parse_config", "write_report"]
