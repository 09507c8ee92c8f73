"""Proved optima of costs and counts: by enumeration, or by dynamic programming where a cost adds up over parts of a network."""
