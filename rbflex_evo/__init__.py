"""Training-free neural architecture search with the RBFleX score.

from rbflex_evo import Search, rbflex_score
result = Search.from_yaml("configs/quickstart.yaml").run()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rbflex_evo.engine import Callback, Result, Search, load_config, load_network, open_search
    from rbflex_evo.fitness import create_proxy, rbflex_score
    from rbflex_evo.spaces import create_space
    from rbflex_evo.strategies import create_strategy

# Imported when first asked for: `import rbflex_evo` loads neither torch nor a room.
_HOMES = {
    "Callback": "engine",
    "Result": "engine",
    "Search": "engine",
    "create_proxy": "fitness",
    "create_space": "spaces",
    "create_strategy": "strategies",
    "load_config": "engine",
    "load_network": "engine",
    "open_search": "engine",
    "rbflex_score": "fitness",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "__version__":
        from importlib.metadata import version

        return version("rbflex-evo")
    if name in _HOMES:
        return getattr(import_module(f"rbflex_evo.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'rbflex_evo' has no attribute {name!r}")


__all__ = [
    "Callback",
    "Result",
    "Search",
    "create_proxy",
    "create_space",
    "create_strategy",
    "load_config",
    "load_network",
    "open_search",
    "rbflex_score",
]
