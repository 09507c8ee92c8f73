"""Conformance tests for authors of scores and data sources."""
