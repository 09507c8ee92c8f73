"""Proved optima: of the objective of a configuration, and of quantities by name."""
