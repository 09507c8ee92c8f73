"""Inputs of a network: batches of images or words, and their data sources."""
