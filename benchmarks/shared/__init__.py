"""Samples, accuracies, output and references that several benchmarks use."""
