"""The explanation of the score of one candidate."""
