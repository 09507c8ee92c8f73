"""Benchmarks of scores, searches and speed; `python -m benchmarks` lists the commands."""
