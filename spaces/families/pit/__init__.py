"""PiT: pooling-based vision Transformers."""
