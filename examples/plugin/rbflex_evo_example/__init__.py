"""An example of a package that extends rbflex-evo: what it gives is named in pyproject.toml, so nothing is imported here."""
