"""Passes over one network: observed forwards, backward passes, graphs and weights."""
