"""From YAML to the parts of a run: strict configuration and assembly."""
