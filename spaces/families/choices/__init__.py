"""Spaces of a user's own function with named choices."""
