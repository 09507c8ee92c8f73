"""Descriptions of a network that need no score: plan, chain of stages, primary blocks and drawing."""
