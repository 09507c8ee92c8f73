"""How good the strategies are, and what searches find in large spaces."""
