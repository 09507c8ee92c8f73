"""Existing models of torchvision and timm by name, and families of networks that a constructor of theirs makes."""
