"""TransNAS-Bench-101 (Duan et al. 2021): micro and macro space."""
