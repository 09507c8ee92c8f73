"""What a network costs: parameters, FLOPs, depth, memory, latency."""
