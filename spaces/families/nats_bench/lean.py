"""The lean form of a NATS-Bench network: a table of parameters, and fewer operations.

    built network            lean network
    a ReLU for each edge     a ReLU for each node, since the edges that read a node read equal values
    AvgPool2d                a depthwise convolution, several times as fast forward and backward on a CPU

Only cells without dead edges have a lean form, so that its parameters are exactly those of the built network, in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from rbflex_evo.spaces.architecture.lean import LeanNetwork

from .cell import EDGES, KERNELS, NODES, OPERATIONS, prune

Shape = tuple[int, ...]


class NatsLean(LeanNetwork):
    """The lean form of `NatsNetwork` for a pruned cell, with the same arguments.

    Args:
        operations: Operations of the cell, in the order of `EDGES`.
        stem: Output channels of the stem.
        widths: Output channels of each block after the stem.
        reductions: Whether each block is a reduction rather than a cell.
        classes: Outputs of the classifier.
    """

    def __init__(
        self, operations: Sequence[str], stem: int, widths: Sequence[int], reductions: Sequence[bool], classes: int
    ) -> None:
        super().__init__(dict(_shapes(operations, stem, widths, reductions, classes)))
        self.operations = operations
        self.widths = widths
        self.reductions = reductions

    def before_pooling(self, images: Tensor) -> Tensor:
        """Maps images [N, 3, height, width] to the last map before global pooling, [N, channels, height, width]."""
        x = self._norm("stem.1", self._conv("stem.0.weight", images, padding=1))
        for i, reduction in enumerate(self.reductions):
            x = self._reduction(f"blocks.{i}", x) if reduction else self._cell(f"blocks.{i}", x, self.widths[i])
        return self.primitives.relu(self._norm("norm", x))

    def logits(self, images: Tensor) -> Tensor:
        """Maps images [N, 3, height, width] to logits [N, classes]."""
        last = self.before_pooling(images)
        return self.primitives.classify(last, self.parameter("classifier.weight"), self.parameter("classifier.bias"))

    def _cell(self, name: str, x: Tensor, width: int) -> Tensor:
        nodes: list[Tensor | None] = [x]
        active: dict[int, Tensor] = {}
        for target in range(1, NODES):
            total: Tensor | None = None
            for (source, end), operation in zip(EDGES, self.operations, strict=True):
                value = nodes[source] if end == target and operation != "none" else None
                if value is None:
                    continue
                edge = f"{name}.edges.{source}>{target}_{operation}"
                if operation in KERNELS:
                    if source not in active:
                        active[source] = self.primitives.relu(value)
                    term = self._norm(f"{edge}.norm", self._conv(f"{edge}.conv.weight", active[source], KERNELS[operation] // 2))
                elif operation == "avg_pool_3x3":
                    term = self.primitives.average(value)
                elif value.shape[1] == width:
                    term = value
                else:
                    term = self._norm(f"{edge}.norm", self._conv(f"{edge}.conv.weight", value))
                total = term if total is None else self.primitives.add(total, term)
            nodes.append(total)
        output = nodes[-1]
        assert output is not None  # A pruned cell with an edge has a path.
        return output

    def _reduction(self, name: str, x: Tensor) -> Tensor:
        first = self._conv(f"{name}.first.conv.weight", self.primitives.relu(x), padding=1, stride=2)
        middle = self.primitives.relu(self._norm(f"{name}.first.norm", first))
        second = self._norm(f"{name}.second.norm", self._conv(f"{name}.second.conv.weight", middle, padding=1))
        return self.primitives.add(self._conv(f"{name}.shortcut.weight", self.primitives.halve(x)), second)

    def _conv(self, name: str, x: Tensor, padding: int = 0, stride: int = 1) -> Tensor:
        return self.primitives.convolve(x, self.parameter(name), padding, stride)

    def _norm(self, name: str, x: Tensor) -> Tensor:
        return self.primitives.normalise(x, self.parameter(f"{name}.weight"), self.parameter(f"{name}.bias"))


def lean_network(
    operations: Sequence[str], stem: int, widths: Sequence[int], reductions: Sequence[bool], classes: int
) -> NatsLean | None:
    """Returns the lean network, or None if its parameters would not be those of the built network (see `NatsLean`)."""
    genotype = tuple(map(OPERATIONS.index, operations))
    changed = any(a != b for a, b, reduction in zip([stem, *widths], widths, reductions, strict=False) if not reduction)
    if prune(genotype) != genotype or not any(genotype) or ("avg_pool_3x3" in operations and changed):
        return None
    return NatsLean(operations, stem, widths, reductions, classes)


def _shapes(
    operations: Sequence[str], stem: int, widths: Sequence[int], reductions: Sequence[bool], classes: int
) -> Iterator[tuple[str, Shape]]:
    """Yields name and shape of each parameter in the order of the built network."""

    def normalised(conv: str, norm: str, outputs: int, inputs: int, kernel: int) -> Iterator[tuple[str, Shape]]:
        yield f"{conv}.weight", (outputs, inputs, kernel, kernel)
        yield from ((f"{norm}.{kind}", (outputs,)) for kind in ("weight", "bias"))

    yield from normalised("stem.0", "stem.1", stem, 3, 3)
    before = stem
    for i, (width, reduction) in enumerate(zip(widths, reductions, strict=True)):
        if reduction:
            for place, inputs in (("first", before), ("second", width)):
                yield from normalised(f"blocks.{i}.{place}.conv", f"blocks.{i}.{place}.norm", width, inputs, 3)
            yield f"blocks.{i}.shortcut.weight", (width, before, 1, 1)
        else:
            for (source, target), operation in zip(EDGES, operations, strict=True):
                inputs = width if source else before
                if operation in KERNELS or (operation == "skip_connect" and inputs != width):
                    edge = f"blocks.{i}.edges.{source}>{target}_{operation}"
                    yield from normalised(f"{edge}.conv", f"{edge}.norm", width, inputs, KERNELS.get(operation, 1))
        before = width
    yield from (("norm.weight", (before,)), ("norm.bias", (before,)))
    yield from (("classifier.weight", (classes, before)), ("classifier.bias", (classes,)))
