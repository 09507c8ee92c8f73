"""The strict configuration of a run, and the assembly of its parts."""
