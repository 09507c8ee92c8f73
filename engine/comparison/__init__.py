"""Strategies x seeds at one budget, with paired statistics."""
