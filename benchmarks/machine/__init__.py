"""Speed, memory, overhead and numerical exactness on this machine."""
