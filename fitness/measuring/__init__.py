"""Genotypes to evaluations: cache, measuring, worker processes, whole spaces."""
