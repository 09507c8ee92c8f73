"""A small space for tests and examples."""
