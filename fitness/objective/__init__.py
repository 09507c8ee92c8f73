"""Objectives: utility of candidates from scores, ranks, fronts and constraints over an archive."""
