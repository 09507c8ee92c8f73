"""The report of a run as a local page that renews itself while the search runs."""
