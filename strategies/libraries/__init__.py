"""Optimisers of other libraries as strategies: Optuna, Nevergrad and pymoo, each an optional package."""
