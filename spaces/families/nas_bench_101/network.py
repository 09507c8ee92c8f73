"""The networks of NAS-Bench-101 (Ying et al. 2019): stem, three stacks of three cells, max-pooling between stacks.

Weights are drawn by parameter name, so names contain the channels that the shape of a convolution depends on.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from rbflex_evo.spaces.encodings.dag import Dag

from .costs import CELLS, CONVOLUTIONS, Shapes, cell_channels, cell_shapes


class ConvNormReLU(nn.Module):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Maps a feature map to a feature map, both [N, channels, height, width]."""
        output: Tensor = self.relu(self.norm(self.conv(x)))
        return output


class NasBench101Cell(nn.Module):
    """A cell: inner nodes transform the sum of their inputs; the output concatenates nodes and adds the projected input.

    A node that reads the input of the cell reads it through its own 1 x 1 convolution. A node that reads a node with one more
    channel omits the last channel.

    Args:
        dag: The pruned cell, with operations as positions in `OPERATIONS`.
        inputs: Input channels.
        outputs: Output channels.
    """

    def __init__(self, dag: Dag, inputs: int, outputs: int) -> None:
        super().__init__()
        self.shapes: Shapes = cell_shapes(dag, outputs)
        self.parts = nn.ModuleDict()
        self.projections: dict[int, str] = {}
        self.nodes: list[str] = []
        for node, channels in self.shapes.projections.items():
            self.projections[node] = f"project_to_{node}_{channels}"
            self.parts[self.projections[node]] = ConvNormReLU(inputs, channels, 1)
        for node, operation in enumerate(dag.operations, start=1):
            channels = self.shapes.channels[node]
            kernel = CONVOLUTIONS.get(operation)
            self.nodes.append(f"node_{node}_maxpool3x3" if kernel is None else f"node_{node}_conv{kernel}x{kernel}_{channels}")
            self.parts[self.nodes[-1]] = (
                nn.MaxPool2d(3, stride=1, padding=1) if kernel is None else ConvNormReLU(channels, channels, kernel)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Maps a feature map to a feature map, both [N, channels, height, width]."""
        values: dict[int, Tensor] = {}
        for node, name in enumerate(self.nodes, start=1):
            read = [values[source][:, : self.shapes.channels[node]] for source in self.shapes.sources[node]]
            values[node] = self.parts[name](self._with_input(x, node, read))
        last = len(self.nodes) + 1
        joined = [values[source] for source in self.shapes.sources[last]]
        return self._with_input(x, last, [torch.cat(joined, dim=1)] if joined else [])

    def _with_input(self, x: Tensor, node: int, terms: Sequence[Tensor]) -> Tensor:
        if node in self.projections:
            terms = [*terms, self.parts[self.projections[node]](x)]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total


class NasBench101Network(nn.Module):
    """Stem, nine cells, global average pooling, classifier; the later two stacks halve the map and double the channels.

    Args:
        dag: The pruned cell.
        channels: Channels of the stem.
        classes: Outputs of the classifier.
    """

    def __init__(self, dag: Dag, channels: int, classes: int) -> None:
        super().__init__()
        self.stem = ConvNormReLU(3, channels, 3)
        self.cells = nn.ModuleList()
        self.halved = [stack > 0 and position == 0 for stack, position in CELLS]
        for stack, position in CELLS:
            inputs, outputs = cell_channels(channels, stack, position)
            self.cells.append(NasBench101Cell(dag, inputs, outputs))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(outputs, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Maps images [N, 3, height, width] to logits [N, classes]."""
        x = self.stem(images)
        for cell, halved in zip(self.cells, self.halved, strict=True):
            x = cell(functional.max_pool2d(x, 2, ceil_mode=True) if halved else x)
        output: Tensor = self.classifier(torch.flatten(self.pool(x), 1))
        return output
