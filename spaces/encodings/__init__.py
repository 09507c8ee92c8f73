"""Genotype encodings: what may be done with the genes of a genotype."""
