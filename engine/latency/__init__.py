"""Measured latencies of a space's networks, and predictors that are fitted to them."""
