"""Benchmarks of costs: predictors of latency and energy."""
