"""A console as the input of a graph neural network: without parameters, and with edges in both directions.

Signals flow one way, decisions do not: what a track needs depends on what follows. So each edge becomes two edges,
whose kind is an edge feature. In a console a track's sound is seven edges away from the end of its chain,
and further from the other tracks; *shortcuts* join the head of each chain (an input or a mix) with all of its
processors and with the sum that it ends in, also both ways. So a network of three layers reaches the whole song.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.topology import depths, follow, neighbours, reversed_edges

FORWARD, BACKWARD, SHORTCUT, SHORTCUT_BACK = range(4)
EDGE_KINDS = 4
LARGEST_DEPTH = 63
"""Depths beyond it are embedded alike; a console with the paper's chain has 17."""


def console_input(console: MixGraph, shortcuts: bool = True) -> Data:
    """The input of a network for a console.

    Args:
        console: on the CPU.
        shortcuts: see above.

    Returns:
        ``node_type`` [nodes], ``depth`` and ``height`` [nodes] (the most edges from a node without inputs, and to one
        without outputs), ``edge_index`` [2, edges], ``edge_kind`` [edges].
    """
    nodes = console.node_type.numel()
    connections = [(edge.source, edge.target) for edge in console.edges()]
    added = _shortcuts(console, connections) if shortcuts else []
    kinds = [FORWARD] * len(connections) + [BACKWARD] * len(connections)
    kinds += [SHORTCUT] * len(added) + [SHORTCUT_BACK] * len(added)
    edges = [*connections, *reversed_edges(connections), *added, *reversed_edges(added)]
    return Data(
        num_nodes=nodes,
        node_type=console.node_type,
        depth=torch.tensor(depths(nodes, connections)).clamp(max=LARGEST_DEPTH),
        height=torch.tensor(depths(nodes, reversed_edges(connections))).clamp(max=LARGEST_DEPTH),
        edge_index=torch.tensor(edges, dtype=torch.long).reshape(-1, 2).t().contiguous(),
        edge_kind=torch.tensor(kinds, dtype=torch.long),
    )


def upstream_shares(console: MixGraph) -> Tensor:
    """Shares of the inputs upstream of each node, all equal: rows add up to 1, or are 0; [nodes, inputs].

    Args:
        console: on the CPU; inputs are in node order.
    """
    inputs = console.nodes_of("in").tolist()
    nodes = console.node_type.numel()
    reached = np.zeros((nodes, len(inputs)), dtype=bool)
    reached[inputs, range(len(inputs))] = True
    connections = [(edge.source, edge.target) for edge in console.edges()]
    depth = depths(nodes, connections)
    for source, target in sorted(connections, key=lambda edge: depth[edge[1]]):
        reached[target] |= reached[source]
    counts = reached.sum(1, keepdims=True).clip(min=1)
    return torch.from_numpy((reached / counts).astype(np.float32))


def _shortcuts(console: MixGraph, connections: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """From each input and mix to all that its chain passes, up to where it is summed; connections are left out."""
    _, after = neighbours(console.node_type.numel(), connections)
    processor = torch.tensor([t.is_processor for t in console.types.types])[console.node_type].tolist()
    laid, found = set(connections), list[tuple[int, int]]()
    for head in [*console.nodes_of("in").tolist(), *console.nodes_of("mix").tolist()]:
        for node in follow(after, head):
            if (head, node) not in laid:
                found.append((head, node))
            if not processor[node]:
                break
    return found
