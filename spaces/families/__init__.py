"""The registered search spaces, one folder for each family."""
