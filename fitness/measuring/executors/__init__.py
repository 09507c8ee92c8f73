"""Executors: where measurements run. `executor` has the contract; `local` and `ray` keep it."""
