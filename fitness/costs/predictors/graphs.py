"""Architectures as small graphs for a graph convolution, from the drawings of the space.

Every node and every labelled edge of a drawing is a node of the graph, described by its label; a global node reads all others,
as in BRP-NAS. A cell is drawn once, so its graph stays small however often the network repeats it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rbflex_evo.spaces import Genotype, SearchSpace

GLOBAL = "(global)"


class Graph(NamedTuple):
    """One architecture.

    Attributes:
        labels: Label of each node.
        live: Whether each node has an effect.
        edges: Pairs (from, to) of positions.
    """

    labels: tuple[str, ...]
    live: tuple[bool, ...]
    edges: tuple[tuple[int, int], ...]


def graph_of(space: SearchSpace, genotype: Genotype) -> Graph:
    """Returns the graph of a genotype."""
    drawing = space.drawing(genotype)
    labels, live, edges = list(drawing.nodes), [True] * len(drawing.nodes), []
    for source, target, label, counts in drawing.edges:
        if label:
            edges += [(source, len(labels)), (len(labels), target)]
            labels.append(label)
            live.append(counts)
        else:
            edges.append((source, target))
    edges += [(i, len(labels)) for i in range(len(labels))]
    return Graph((*labels, GLOBAL), (*live, True), tuple(edges))


def arrays_of(graphs: Sequence[Graph], vocabulary: Sequence[str], nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the features of nodes and the adjacency of graphs, padded with empty nodes.

    Args:
        graphs: Graphs of at most `nodes` nodes.
        vocabulary: Known labels; a node of another label has no label feature.
        nodes: Number of nodes of each padded graph.

    Returns:
        Features float32 [graphs, nodes, labels + 2] (label, presence, liveness) and the adjacency float32 [graphs, nodes, nodes],
        whose row i is the mean over node i and the nodes that it reads.
    """
    places = {label: i for i, label in enumerate(vocabulary)}
    features = np.zeros((len(graphs), nodes, len(places) + 2), np.float32)
    adjacency = np.zeros((len(graphs), nodes, nodes), np.float32)
    for row, graph in enumerate(graphs):
        for node, (label, live) in enumerate(zip(graph.labels, graph.live, strict=True)):
            if label in places:
                features[row, node, places[label]] = 1
            features[row, node, -2:] = 1, live
            adjacency[row, node, node] = 1
        for source, target in graph.edges:
            adjacency[row, target, source] = 1
    adjacency /= np.maximum(adjacency.sum(axis=2, keepdims=True), 1)
    return features, adjacency
