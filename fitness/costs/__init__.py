"""Costs of a network: parameters, FLOPs, depth, memory, latency."""
