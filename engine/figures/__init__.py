"""Figures and pages: the data by pure functions, and functions that draw them."""
