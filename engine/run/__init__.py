"""What a run leaves in its folder: configuration, journal, snapshot and record."""
