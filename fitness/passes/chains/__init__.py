"""Forwards of networks that are chains of stages, which share what they have in common."""
