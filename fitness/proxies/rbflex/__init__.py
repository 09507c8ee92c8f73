"""RBFleX (Yamasaki et al., IEEE TNNLS 36(6), 2025): score, kernels and detection of gamma."""
