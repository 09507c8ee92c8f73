"""The engine: configuration, search loop, journal, resume, report and commands.

from rbflex_evo.engine import Search
result = Search.from_yaml("configs/quickstart.yaml").run()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rbflex_evo.engine.configuration.config import Config, load_config, parse_config
    from rbflex_evo.engine.export.export import Exported, export_run
    from rbflex_evo.engine.export.exported import Architecture, load_network, read_architecture
    from rbflex_evo.engine.export.onnx_file import write_onnx
    from rbflex_evo.engine.optimum.call import proved_optimum
    from rbflex_evo.engine.report.report import write_report
    from rbflex_evo.engine.run.result_document import Candidate
    from rbflex_evo.engine.search.callback import Callback, CallbackError, SearchProgress
    from rbflex_evo.engine.search.estimate import estimate
    from rbflex_evo.engine.search.result import Result
    from rbflex_evo.engine.search.search import RunningSearch, Search, open_search
    from rbflex_evo.engine.terminal.interrupt import Interrupted, Stopped
    from rbflex_evo.engine.tracking.mlflow import MLflow
    from rbflex_evo.engine.tracking.tensorboard import TensorBoard

# Imported when first asked for, so that a command line answers at once.
_LATE = {
    "Architecture": "export.exported",
    "Callback": "search.callback",
    "CallbackError": "search.callback",
    "Candidate": "run.result_document",
    "Config": "configuration.config",
    "Exported": "export.export",
    "Interrupted": "terminal.interrupt",
    "MLflow": "tracking.mlflow",
    "Result": "search.result",
    "RunningSearch": "search.search",
    "Search": "search.search",
    "SearchProgress": "search.callback",
    "Stopped": "terminal.interrupt",
    "TensorBoard": "tracking.tensorboard",
    "estimate": "search.estimate",
    "export_run": "export.export",
    "load_config": "configuration.config",
    "load_network": "export.exported",
    "open_search": "search.search",
    "parse_config": "configuration.config",
    "proved_optimum": "optimum.call",
    "read_architecture": "export.exported",
    "write_onnx": "export.onnx_file",
    "write_report": "report.report",
}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_LATE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "Architecture",
    "Callback",
    "CallbackError",
    "Candidate",
    "Config",
    "Exported",
    "Interrupted",
    "MLflow",
    "Result",
    "RunningSearch",
    "Search",
    "SearchProgress",
    "Stopped",
    "TensorBoard",
    "estimate",
    "export_run",
    "load_config",
    "load_network",
    "open_search",
    "parse_config",
    "proved_optimum",
    "read_architecture",
    "write_onnx",
    "write_report",
]
