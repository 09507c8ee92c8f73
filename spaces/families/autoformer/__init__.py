"""AutoFormer: vision Transformers of variable depth, width, heads and MLP ratios."""
