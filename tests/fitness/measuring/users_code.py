"""Code as a user has it in a module beside a space; tests change its parts."""

from __future__ import annotations

from torch import nn

WIDTHS = (4, 8, 16)
STEM = []
FACTOR = 2.0
SLOPE = 0.1


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = nn.LeakyReLU(SLOPE)

    def forward(self, x):
        return self.act(x - 0.1) * 2 + FACTOR


class Applied(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def spread(output, scale=1.0):
    return (scale * output).var()
