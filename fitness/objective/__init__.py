"""What a candidate is worth: scores, ranks, fronts and constraints over an archive."""
