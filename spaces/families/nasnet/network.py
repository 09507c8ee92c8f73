"""Networks of two repeated cells: DARTS (Liu et al. 2019, arXiv 1806.09055) and the cells of Radosavovic et al. (2019).

    images -> stem -> cells, each reading the two cells before it -> global average pooling -> classifier

The cells at one and two thirds of the depth halve the map and double the channels. There is no drop-path and no auxiliary head. The
name of a parameter contains everything that its shape depends on.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from rbflex_evo.spaces.architecture.chain import Stage, run_chain

from .cells import CellPlan, reductions
from .operations import CONVOLUTIONS, NONE, POOLINGS, SKIP, Filter


class InputProjection(nn.Sequential):
    """ReLU, 1 x 1 convolution, batch normalisation."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.ReLU(), nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))


class FactorizedReduction(nn.Module):
    """A reduction by two 1 x 1 convolutions of stride 2, one of them shifted by a pixel, so that it reads odd pixels too."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.first = nn.Conv2d(inputs, outputs // 2, 1, stride=2, bias=False)
        self.second = nn.Conv2d(inputs, outputs - outputs // 2, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Maps a feature map to a feature map, both [N, channels, height, width]."""
        x = self.relu(x)
        height, width = x.shape[2:]
        moved = functional.pad(x, (0, width % 2, 0, height % 2))[:, :, 1:, 1:]
        output: Tensor = self.norm(torch.cat([self.first(x), self.second(moved)], dim=1))
        return output


def convolution(part: Filter, channels: int, stride: int) -> nn.Conv2d:
    """Returns the module of one filter of an operation."""
    height, width = (stride if strided else 1 for strided in part.strided)
    reach = [part.dilation * (length - 1) // 2 for length in part.kernel]
    groups = channels if part.depthwise else 1
    return nn.Conv2d(
        channels, channels, part.kernel, (height, width), (reach[0], reach[1]), part.dilation, groups=groups, bias=False
    )


def operation(name: str, channels: int, stride: int) -> nn.Module:
    """Returns the module of one edge."""
    if name == SKIP:
        return nn.Identity() if stride == 1 else FactorizedReduction(channels, channels)
    if name in POOLINGS:
        maximum, window = POOLINGS[name]
        if maximum:
            return nn.MaxPool2d(window, stride, padding=window // 2)
        return nn.AvgPool2d(window, stride, padding=window // 2, count_include_pad=False)
    layers: list[nn.Module] = []
    for unit in CONVOLUTIONS[name]:
        layers += [nn.ReLU(), *(convolution(part, channels, stride) for part in unit), nn.BatchNorm2d(channels)]
    return nn.Sequential(*layers)


class NasnetCell(nn.Module):
    """A cell whose nodes add two edges each and whose output concatenates some of its states.

    Args:
        plan: The edges of the cell.
        before: Channels of the two cell outputs that it reads.
        channels: Channels of its nodes.
        shrunk: Whether the cell before it was a reduction cell, so that the first input is twice as large as the second.
        stride: Stride of the edges that read its inputs; 2 in a reduction cell.
    """

    def __init__(self, plan: CellPlan, before: tuple[int, int], channels: int, shrunk: bool, stride: int) -> None:
        super().__init__()
        first = FactorizedReduction if shrunk else InputProjection
        self.inputs = nn.ModuleDict(
            {f"0_{before[0]}": first(before[0], channels), f"1_{before[1]}": InputProjection(before[1], channels)}
        )
        self.concatenated = plan.concatenated
        self.stride = stride
        self.edges = nn.ModuleDict()
        self.nodes: list[list[tuple[int, str]]] = []
        for target, edges in enumerate(plan.nodes, start=2):
            self.nodes.append([])
            for state, name in edges:
                if name == NONE:
                    continue
                # The name contains state and operation, so that different edges never share weights.
                edge = f"{state}>{target}_{name}"
                edge += "_twice" if edge in self.edges else ""
                self.edges[edge] = operation(name, channels, stride if state < 2 else 1)
                self.nodes[-1].append((state, edge))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Maps the outputs of the two cells before it to the output of the cell."""
        states = [project(x) for project, x in zip(self.inputs.values(), (first, second), strict=True)]
        for edges in self.nodes:
            terms = [self.edges[edge](states[state]) for state, edge in edges]
            states.append(terms[0] + terms[1] if len(terms) == 2 else terms[0] if terms else self._zeros(states[1]))
        return torch.cat([states[state] for state in self.concatenated], dim=1)

    def _zeros(self, x: Tensor) -> Tensor:
        height, width = (-(-length // self.stride) for length in x.shape[2:])
        return x.new_zeros(x.shape[0], x.shape[1], height, width)


class CellNetwork(nn.Module):
    """A network of two repeated cells.

    Args:
        normal: Normal cell.
        reduce: Reduction cell.
        channels: Channels of the nodes of the first cells.
        layers: Number of cells, at least three.
        classes: Outputs of the classifier.
        large: Whether the stem is that for large images, which reduces them to an eighth of their size; otherwise the stem keeps
            the size and has three times the channels.
    """

    def __init__(self, normal: CellPlan, reduce: CellPlan, channels: int, layers: int, classes: int, large: bool) -> None:
        super().__init__()
        if large:
            half = channels // 2
            quarter = (_halving(half, channels), nn.BatchNorm2d(channels))
            self.stem0 = nn.Sequential(_halving(3, half), nn.BatchNorm2d(half), nn.ReLU(), *quarter)
            self.stem1 = nn.Sequential(nn.ReLU(), _halving(channels, channels), nn.BatchNorm2d(channels))
            before = (channels, channels)
        else:
            self.stem = nn.Sequential(nn.Conv2d(3, 3 * channels, 3, padding=1, bias=False), nn.BatchNorm2d(3 * channels))
            before = (3 * channels, 3 * channels)
        self.stem_identity = ("stem", channels, large)
        self.large = large
        self.cells = nn.ModuleDict()
        self.plans: list[CellPlan] = []
        shrunk = large
        for position in range(layers):
            reduction = position in reductions(layers)
            channels *= 2 if reduction else 1
            plan = reduce if reduction else normal
            self.plans.append(plan)
            self.cells[f"{position}_{channels}"] = NasnetCell(plan, before, channels, shrunk, 2 if reduction else 1)
            before = (before[1], len(plan.concatenated) * channels)
            shrunk = reduction
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(before[1], classes)

    def as_stages(self) -> list[Stage]:
        """Returns stem, cells and classifier, between which the two maps that the next cell reads are passed.

        The identity of a cell is its name and plan, since its inputs are determined by the stages before it.
        """
        cells = [
            Stage((name, plan), partial(_advance, cell)) for (name, cell), plan in zip(self.cells.items(), self.plans, strict=True)
        ]
        return [Stage(self.stem_identity, self._stem), *cells, Stage("classifier", self._classify)]

    def forward(self, images: Tensor) -> Tensor:
        """Maps images [N, 3, height, width] to logits [N, classes]."""
        return run_chain(self.as_stages(), images)

    def _stem(self, images: Tensor) -> tuple[Tensor, Tensor]:
        first = self.stem0(images) if self.large else self.stem(images)
        return first, self.stem1(first) if self.large else first

    def _classify(self, pair: tuple[Tensor, Tensor]) -> Tensor:
        output: Tensor = self.classifier(torch.flatten(self.pool(pair[1]), 1))
        return output


def _advance(cell: nn.Module, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return pair[1], cell(*pair)


def _halving(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
