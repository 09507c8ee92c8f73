"""The networks of TransNAS-Bench-101 (Duan et al. 2021, CVPR, arXiv 2105.11871): stem, modules of two cells, decoder.

    stem: two 3 x 3 convolutions of stride 2
    a module: two cells, the first of which may halve the map and double the channels
    decoder: see `decoders`

Weights are drawn by parameter name, so the name of a cell contains everything that its shapes depend on.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from rbflex_evo.spaces.architecture.chain import Stage, run_chain
from rbflex_evo.spaces.families.nats_bench.cell import KERNELS
from rbflex_evo.spaces.families.nats_bench.network import NatsCell, ReLUConvBN

from .decoders import create_decoder
from .tasks import PIECE_SHARE, EncoderModule, Task

GRID = 3


class FactorizedReduce(nn.Module):
    """A skip connection between different shapes: ReLU, two strided 1 x 1 convolutions, concatenated and normalised.

    The second convolution reads the map shifted by one pixel to the right and down, so that stride 2 omits no pixel parity.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.first = nn.Conv2d(inputs, outputs // 2, 1, stride, bias=False)
        self.second = nn.Conv2d(inputs, outputs - outputs // 2, 1, stride, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Maps a feature map to a feature map, both [N, channels, height, width]."""
        x = self.relu(x)
        shifted = functional.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
        output: Tensor = self.norm(torch.cat([self.first(x), self.second(shifted)], dim=1))
        return output


def edge(name: str, inputs: int, outputs: int, stride: int) -> nn.Module | None:
    """Returns the module of one edge, or None for ``none``."""
    if name == "none":
        return None
    if name == "skip_connect":
        return nn.Identity() if stride == 1 and inputs == outputs else FactorizedReduce(inputs, outputs, stride)
    return ReLUConvBN(inputs, outputs, KERNELS[name], stride)


class PreactivationBlock(nn.Module):
    """A pre-activation residual block: two 3 x 3 convolutions and a shortcut, which is projected if shapes differ."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = ReLUConvBN(inputs, outputs, 3, stride)
        self.second = ReLUConvBN(outputs, outputs, 3)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut.append(nn.Conv2d(inputs, outputs, 1, stride, bias=False))
            self.shortcut.append(nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Maps a feature map to a feature map, both [N, channels, height, width]."""
        output: Tensor = self.shortcut(x) + self.second(self.first(x))
        return output


class Encoder(nn.Module):
    """Stem and modules.

    Args:
        channels: Channels of the stem.
        modules: Modules in order.
        operations: Operations of the cells, in the order of `EDGES`; None for basic blocks.
    """

    def __init__(self, channels: int, modules: Sequence[EncoderModule], operations: Sequence[str] | None = None) -> None:
        super().__init__()
        half = channels // 2
        self.stem = nn.Sequential(
            nn.Conv2d(3, half, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(half), ReLUConvBN(half, channels, 3, stride=2)
        )
        self.cells = nn.ModuleDict()
        self.identities: list[Hashable] = [("stem", channels)]
        inputs = channels
        for i, (outputs, halves) in enumerate(modules, start=1):
            for j, stride in enumerate((2 if halves else 1, 1), start=1):
                name = f"module{i}_cell{j}_{inputs}to{outputs}"
                if operations is None:
                    self.cells[name] = PreactivationBlock(inputs, outputs, stride)
                else:
                    self.cells[name] = NatsCell(operations, inputs, outputs, stride, edge)
                self.identities.append((name, stride, tuple(operations or ())))
                inputs = outputs

    def as_stages(self) -> list[Stage]:
        """Returns the stem and the cells."""
        return [Stage(*pair) for pair in zip(self.identities, [self.stem, *self.cells.values()], strict=True)]

    def forward(self, images: Tensor) -> Tensor:
        """Maps images [N, 3, height, width] to the maps of the last cell."""
        return run_chain(self.as_stages(), images)


class TransNetwork(nn.Module):
    """An encoder and the decoder of a task: outputs [N, outputs], or [N, channels, height, width] for pixels.

    Args:
        task: The task, which determines the decoder.
        channels: Channels of the stem.
        modules: Modules in order.
        operations: Operations of the cells, in the order of `EDGES`; None for basic blocks.
    """

    def __init__(
        self, task: Task, channels: int, modules: Sequence[EncoderModule], operations: Sequence[str] | None = None
    ) -> None:
        super().__init__()
        self.encoder = Encoder(channels, modules, operations)
        self.decoder = create_decoder(task, channels, modules)

    def as_stages(self) -> list[Stage]:
        """Returns the stages of the encoder, and the decoder, whose shapes depend on all of them."""
        stages = self.encoder.as_stages()
        return [*stages, Stage(("decoder", *(stage.identity for stage in stages)), self.decoder)]

    def forward(self, images: Tensor) -> Tensor:
        """Maps images [N, 3, height, width], or pieces in a siamese network, to the output of the task."""
        return run_chain(self.as_stages(), images)


class SiameseNetwork(TransNetwork):
    """One encoder for all pieces of an image, and a decoder that classifies which of 1,000 permutations the pieces are in.

    The input is pieces [N, 9, 3, height, width], as training permutes them, or images [N, 3, height, width], which are cut into
    pieces in their original order. Arguments are those of `TransNetwork`.
    """

    def as_stages(self) -> list[Stage]:
        """Returns the stages of the encoder, each of which runs on one piece after another, and the decoder.

        As in the benchmark, pieces are not batched together, so observers are shown maps of N images.
        """
        stages = self.encoder.as_stages()
        return [
            Stage("pieces", lambda images: images.unbind(1) if images.dim() == 5 else tuple(pieces(images))),
            *(Stage(identity, partial(_of_each, module)) for identity, module in stages),
            Stage(("decoder", *(stage.identity for stage in stages)), lambda maps: self.decoder(torch.cat(maps, dim=1))),
        ]


def _of_each(module: Callable[[Tensor], Tensor], maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(module(x) for x in maps)


def pieces(images: Tensor) -> list[Tensor]:
    """Returns the centre of each of 3 x 3 cells of images [N, 3, H, W], with sides a quarter of the image's: 64 of 256 pixels.

    The benchmark cuts pieces of that size at random positions in the cells, so that edges do not reveal the order.
    """
    corners = []
    for side in images.shape[2:]:
        cell, length = side // GRID, max(1, side // PIECE_SHARE)
        corners.append([slice(start, start + length) for start in ((cell - length) // 2 + i * cell for i in range(GRID))])
    return [images[:, :, rows, columns] for rows in corners[0] for columns in corners[1]]
