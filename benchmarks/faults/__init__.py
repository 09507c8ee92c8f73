"""Fault campaigns: runs that are killed, damaged, starved or fed with garbage, and what came of them."""
