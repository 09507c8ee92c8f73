"""Conformance tests for authors of strategies."""
