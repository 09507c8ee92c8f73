"""The registered search spaces, one family a folder."""
