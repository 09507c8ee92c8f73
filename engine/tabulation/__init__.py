"""Tables of scores: architectures scored once, for replays and comparisons without networks."""
