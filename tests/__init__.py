"""The test suite; it mirrors the folders of the package."""
