"""The registered scores, one family a file."""
