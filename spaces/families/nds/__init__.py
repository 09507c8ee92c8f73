"""The spaces of Radosavovic et al. (2019), "On network design spaces for visual recognition"."""
