"""Conformance tests for authors of spaces, encodings and tables."""
