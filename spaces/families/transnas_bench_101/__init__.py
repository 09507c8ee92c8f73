"""TransNAS-Bench-101 (Duan et al. 2021): the micro and the macro space."""
