"""Where a node stands in its graph: numbers that mean something on a directed acyclic graph.

Random-walk encodings are zero on a DAG, since no walk comes back. What does say something: how far a node is from the
tracks and from the mix, how much flows into it and how much it feeds, and the slow vibrations of the undirected graph.
"""

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.transforms import BaseTransform

from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.topology import depths, neighbours, reversed_edges, topological_order

SAME_EIGENVALUE = 1e-6
VANISHES = 1e-3
"""Below the largest projection of a node on any direction, which is 1 / sqrt(num_nodes) or more."""
Array = NDArray[np.float64]


class AddDagPositions(BaseTransform):
    """Adds depth, height, and numbers of ancestors and descendants as one attribute, float32 [num_nodes, 4].

    Args:
        attr_name: of the attribute.
        logarithmic: give log(1 + x), which keeps the mix of a large song within the range of a learner.
    """

    def __init__(self, attr_name: str = "dag_pe", logarithmic: bool = False) -> None:
        self.attr_name, self.logarithmic = attr_name, logarithmic

    def forward(self, data: MixGraph) -> MixGraph:
        """The graph with its positions."""
        table = torch.stack([*depth_and_height(data), *ancestors_and_descendants(data)], dim=1).float()
        data[self.attr_name] = table.log1p() if self.logarithmic else table
        return data

    def __repr__(self) -> str:
        return f"{type(self).__name__}(attr_name={self.attr_name!r}, logarithmic={self.logarithmic})"


class AddSpectralPositions(BaseTransform):
    """Adds eigenvectors of the undirected graph's Laplacian, float32 [num_nodes, k]; see :func:`spectral_positions`.

    Args:
        k: how many.
        attr_name: of the attribute.
    """

    def __init__(self, k: int = 8, attr_name: str = "spectral_pe") -> None:
        self.k, self.attr_name = k, attr_name

    def forward(self, data: MixGraph) -> MixGraph:
        """The graph with its positions."""
        data[self.attr_name] = spectral_positions(data, self.k)
        return data

    def __repr__(self) -> str:
        return f"{type(self).__name__}(k={self.k}, attr_name={self.attr_name!r})"


def depth_and_height(graph: MixGraph) -> tuple[Tensor, Tensor]:
    """For each node the edges on the longest path that leads to it, and on the longest that leaves it, [num_nodes]."""
    n, edges = graph.node_type.numel(), graph.edges()
    return _long(depths(n, edges), graph), _long(depths(n, reversed_edges(edges)), graph)


def ancestors_and_descendants(graph: MixGraph) -> tuple[Tensor, Tensor]:
    """For each node how many others its sound comes from, and how many it reaches, [num_nodes]."""
    n, edges = graph.node_type.numel(), graph.edges()
    order, (_, after) = topological_order(n, edges, graph.describe), neighbours(n, edges)
    above, below = [0] * len(order), [0] * len(order)  # sets of nodes as bits of integers
    for node in order:
        for target in after[node]:
            above[target] |= above[node] | 1 << node
    for node in reversed(order):
        for target in after[node]:
            below[node] |= below[target] | 1 << target
    return _long([bits.bit_count() for bits in above], graph), _long([bits.bit_count() for bits in below], graph)


def spectral_positions(graph: MixGraph, k: int = 8) -> Tensor:
    r"""Eigenvectors of the normalised Laplacian of the undirected graph to the k smallest eigenvalues above zero.

    .. math:: L = I - D^{-1/2} A D^{-1/2}

    A is 1 where an edge joins two nodes in either direction. Eigenvectors have no sign of their own, and those of one
    eigenvalue (consoles are full of equal branches) no directions. Here each is fixed by the graph: the first one of an
    eigenvalue is the projection of the nodes' depths, so that it grows from the tracks to the mix; where depth has
    none, and for the others, the projections of the nodes themselves take turns, in node order. A graph with too few
    nodes has zeros in the last columns.

    Shape:
        [num_nodes, k], float32

    Raises:
        GraphError: k is less than 1.
    """
    if k < 1:
        raise GraphError(f"the number of spectral positions is {k}; it is 1 or more.")
    count = graph.node_type.numel()
    result = np.zeros((count, k))
    if count:
        values, vectors = np.linalg.eigh(_laplacian(graph))
        depth = depth_and_height(graph)[0].cpu().numpy().astype(np.float64)
        groups = [0, *(np.flatnonzero(np.diff(values) > SAME_EIGENVALUE) + 1).tolist(), count]
        column = 0
        for begin, end in pairwise(groups):
            if values[begin] <= SAME_EIGENVALUE or column >= k:
                continue
            basis = _fixed_basis(vectors[:, begin:end], depth - depth.mean(), k - column)
            result[:, column : column + basis.shape[1]] = basis
            column += basis.shape[1]
    return torch.from_numpy(result).float().to(graph.node_type.device)


def _fixed_basis(vectors: Array, depth: Array, most: int) -> Array:
    """A basis [nodes, <= m] of the space of orthonormal vectors [nodes, m] that depends on the space alone."""
    chosen: list[Array] = []
    wanted = min(vectors.shape[1], most)
    seeds = iter((depth, *np.eye(len(depth))))
    while len(chosen) < wanted:
        seed = next(seeds)
        size = float(np.linalg.norm(seed))
        if size == 0:
            continue
        vector = vectors @ (vectors.T @ (seed / size))
        for other in chosen:
            vector = vector - other * (other @ vector)
        length = float(np.linalg.norm(vector))
        if length > VANISHES:
            chosen.append(vector / length)
    return np.stack(chosen, axis=1)


def _laplacian(graph: MixGraph) -> Array:
    count = graph.node_type.numel()
    adjacency = np.zeros((count, count))
    source, target = graph.edge_index.cpu().numpy()
    adjacency[source, target] = adjacency[target, source] = 1.0
    degree = adjacency.sum(axis=1)
    scale = 1 / np.sqrt(np.where(degree > 0, degree, 1.0))
    return np.diag((degree > 0).astype(np.float64)) - scale[:, None] * adjacency * scale


def _long(values: list[int], graph: MixGraph) -> Tensor:
    return torch.tensor(values, dtype=torch.long, device=graph.node_type.device)
