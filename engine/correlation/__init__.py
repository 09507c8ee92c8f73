"""Scores judged by known accuracies."""
