"""A comparison over several settings: mean ranks, critical differences, performance profiles."""
