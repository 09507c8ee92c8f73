"""Search strategies: one algorithm a file, all behind the ask/tell contract of `Strategy`."""

from rbflex_evo.strategies.strategy import STRATEGIES, Strategy, View, create_strategy

__all__ = ["STRATEGIES", "Strategy", "View", "create_strategy"]
