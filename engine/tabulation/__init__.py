"""Architectures scored once into a table of scores."""
