"""NATS-Bench (Dong et al. 2021): topology and size space."""
