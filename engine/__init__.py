"""The engine: configuration, search loop, journal, resume, report and commands.

    from engine import Search
    result = Search.from_yaml("configs/quickstart.yaml").run()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import Config, load_config, parse_config
    from .estimate import estimate
    from .export import Exported, export_run
    from .exported import Architecture, load_network, read_architecture
    from .onnx_file import write_onnx
    from .report import write_report
    from .result import Candidate, Result
    from .search import Search

# Imported when first asked for, so that a command line answers at once.
_LATE = {
    "Architecture": "exported",
    "Candidate": "result",
    "Config": "config",
    "Exported": "export",
    "Result": "result",
    "Search": "search",
    "estimate": "estimate",
    "export_run": "export",
    "load_config": "config",
    "load_network": "exported",
    "parse_config": "config",
    "read_architecture": "exported",
    "write_onnx": "onnx_file",
    "write_report": "report",
}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        from importlib import import_module

        return getattr(import_module(f"engine.{_LATE[name]}"), name)
    raise AttributeError(f"module 'engine' has no attribute {name!r}")


__all__ = [
    "Architecture",
    "Candidate",
    "Config",
    "Exported",
    "Result",
    "Search",
    "estimate",
    "export_run",
    "load_config",
    "load_network",
    "parse_config",
    "read_architecture",
    "write_onnx",
    "write_report",
]
