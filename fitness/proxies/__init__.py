"""The registered scores, one file per family."""
