"""The torch modules of the spaces, apart from them so that naming a space does not import torch."""
