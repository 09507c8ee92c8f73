"""The search loop, its budget and its result."""
