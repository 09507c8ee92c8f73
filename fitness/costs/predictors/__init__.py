"""Predictors of latency, energy and other costs, fitted to measured architectures."""
