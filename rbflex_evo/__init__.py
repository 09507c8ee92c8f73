"""Training-free neural architecture search with the RBFleX score.

from rbflex_evo import Choices, search
space = Choices(build, depth=[2, 3, 4], width=[32, 64, 96], input_shape=(3, 32, 32))
result = search(space, limits={"params": 1e6}, evaluations=500)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rbflex_evo.engine import Callback, Result, Search, load_config, load_network, open_search, proved_optimum
    from rbflex_evo.engine.search.one_call import search
    from rbflex_evo.fitness import create_proxy, rbflex_score
    from rbflex_evo.spaces import create_space
    from rbflex_evo.spaces.families.choices.space import Choices
    from rbflex_evo.strategies import create_strategy

# Imported when first asked for: `import rbflex_evo` loads neither torch nor a room.
_HOMES = {
    "Callback": "engine",
    "Choices": "spaces.families.choices.space",
    "Result": "engine",
    "Search": "engine",
    "create_proxy": "fitness",
    "create_space": "spaces",
    "create_strategy": "strategies",
    "load_config": "engine",
    "load_network": "engine",
    "open_search": "engine",
    "proved_optimum": "engine",
    "rbflex_score": "fitness",
    "search": "engine.search.one_call",
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
    "Choices",
    "Result",
    "Search",
    "create_proxy",
    "create_space",
    "create_strategy",
    "load_config",
    "load_network",
    "open_search",
    "proved_optimum",
    "rbflex_score",
    "search",
]
