"""Reductions of a layer's or block's outputs to the small arrays that observers keep."""
