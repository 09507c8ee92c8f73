"""Memory of a network as microcontrollers count it: the peak of activations (SRAM), and weights (flash)."""
