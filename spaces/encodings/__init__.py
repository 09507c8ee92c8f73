"""Genotype encodings: the genes of a genotype and the operators on them."""
