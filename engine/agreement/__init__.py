"""How well two orders of the same candidates agree."""
