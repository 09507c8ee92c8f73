"""Example configurations; `rbflex-evo example NAME` prints one."""
