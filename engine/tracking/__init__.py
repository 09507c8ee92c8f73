"""Callbacks that write the values of a search for other programs to show."""
