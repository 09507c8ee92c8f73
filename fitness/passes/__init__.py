"""One network, run once: observed forwards, backward passes, graphs and weights."""
