"""How good the scores are."""
