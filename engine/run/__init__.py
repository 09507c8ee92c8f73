"""The folder of a run: configuration, journal, snapshot and result."""
