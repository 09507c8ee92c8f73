"""The forward of a NATS-Bench network as a plan, without building the network.

Networks of both spaces consist of a stem, cells, residual reductions and a head. Parameter names are those of the built network;
tests compare plans with its forward.
"""

from __future__ import annotations

from collections.abc import Sequence

from rbflex_evo.spaces.architecture.plan import Draft, Plan, Shape, Term, Value

from .cell import EDGES, KERNELS


def nats_plan(
    operations: Sequence[str], stem: int, widths: Sequence[int], reductions: Sequence[bool], input_shape: Sequence[int]
) -> Plan | None:
    """Returns the plan of a network whose cell is pruned.

    Args:
        operations: Operations of the cell, in the order of `EDGES`.
        stem: Output channels of the stem.
        widths: Output channels of each block after the stem.
        reductions: Whether each block is a reduction rather than a cell.
        input_shape: Shape [channels, height, width] of one image.

    Returns:
        The plan, or None if the network cannot process images of that shape.
    """
    if len(input_shape) != 3:
        return None
    channels, height, width = input_shape
    halvings = 2 ** sum(reductions)
    if channels != 3 or height % halvings or width % halvings:
        return None
    draft = Draft((channels, height, width))
    term, shape = draft.convolve((0, 0), "stem.0.weight", None, stem, 3)
    x = draft.sum((0, 0), "stem", shape, [term], [])
    x.blocks += 1
    for i, (outputs, reduction) in enumerate(zip(widths, reductions, strict=True)):
        x = _reduction(draft, i, x, outputs) if reduction else _cell(draft, i, x, outputs, operations)
        x.blocks += 1
    head = (len(widths) + 1, 0)
    last = draft.sum(head, "head", x.shape, [draft.norm(x)], [])
    return draft.finish(head, last)


def _cell(draft: Draft, block: int, x: Value, outputs: int, operations: Sequence[str]) -> Value:
    nodes = [x]
    shape: Shape = (outputs, *x.shape[1:])
    for target in (1, 2, 3):
        order = (block + 1, target)
        terms: list[Term] = []
        values: list[Value] = []
        for (source, end), name in zip(EDGES, operations, strict=True):
            if end != target or name == "none":
                continue
            edge, node = f"blocks.{block}.edges.{source}>{target}_{name}", nodes[source]
            equal = node.shape == shape
            if name in KERNELS:
                terms.append(draft.convolve(order, f"{edge}.conv.weight", node, outputs, KERNELS[name])[0])
            elif name == "skip_connect" and equal:
                values.append(node)
            elif name == "skip_connect":
                terms.append(draft.convolve(order, f"{edge}.conv.weight", node, outputs, 1, active=False)[0])
            elif equal:
                terms.append(draft.pool(node))
            else:
                raise NotImplementedError("no NATS-Bench network pools between cells of different widths")
        nodes.append(draft.sum(order, f"blocks.{block} node {target}", shape, terms, values))
    return nodes[-1]


def _reduction(draft: Draft, block: int, x: Value, outputs: int) -> Value:
    name, place = f"blocks.{block}", block + 1
    first, shape = draft.convolve((place, 1), f"{name}.first.conv.weight", x, outputs, 3, stride=2)
    middle = draft.sum((place, 1), f"{name} node 1", shape, [first], [])
    second, shape = draft.convolve((place, 2), f"{name}.second.conv.weight", middle, outputs, 3)
    shortcut, _ = draft.convolve((place, 2), f"{name}.shortcut.weight", x, outputs, 1, pooled=2, active=False, normalised=False)
    return draft.sum((place, 2), f"{name} node 2", shape, [shortcut, second], [])
