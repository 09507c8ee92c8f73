"""A space of 16 architectures, 4 of which do something to the process that measures them."""

import os
import resource
import signal
import sys
import threading
from typing import Any

import torch
from torch import nn

from rbflex_evo.spaces import Parameters, SearchSpace, VectorEncoding


class Fatal(nn.Module):
    """A layer that does not return, or not to the same process."""

    def __init__(self, fate: str) -> None:
        super().__init__()
        self.fate = fate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.fate in ("SIGKILL", "SIGSEGV"):
            os.kill(os.getpid(), getattr(signal, self.fate))
        elif self.fate == "waits":
            threading.Event().wait()
        elif self.fate == "leaves":
            sys.exit(4)
        elif self.fate == "memory":
            raise MemoryError
        elif self.fate == "limit":
            resource.setrlimit(resource.RLIMIT_AS, (2**36, -1))
            torch.empty(2**37, dtype=torch.uint8)
        elif self.fate == "error":
            raise ZeroDivisionError("a mistake")
        return x


class Perilous(SearchSpace):
    """Small networks; the last gene 3 meets the fate, which is none by default."""

    name = "perilous"
    encoding = VectorEncoding([4, 4])

    class Parameters(Parameters):
        fate: str = "none"

    def build(self, genotype: Any) -> nn.Module:
        fate = self.parameters.fate if genotype[1] == 3 else "none"
        if fate == "builds":
            os._exit(3)
        width = 4 + 4 * genotype[0] + genotype[1]
        layers = (nn.Conv2d(3, width, 3), nn.ReLU(), Fatal(fate), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))
        return nn.Sequential(*layers)

    def notation(self, genotype: Any) -> str:
        return "-".join(map(str, genotype))

    def parse(self, text: str) -> Any:
        return tuple(map(int, text.split("-")))
