"""NATS-Bench (Dong et al. 2021): the topology space and the size space."""
