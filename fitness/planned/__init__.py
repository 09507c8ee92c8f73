"""Forwards without a network: plans that are interpreted by an eager or a compiled backend."""
