"""How scores and presets transfer between spaces: the matrix of scores and settings, and presets chosen on all families but one."""
