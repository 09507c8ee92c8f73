"""Measurement of candidates: cache, worker processes, evaluators, whole spaces."""
