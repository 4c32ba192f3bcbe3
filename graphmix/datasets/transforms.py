"""Transforms that change which nodes a graph has, or their order: graph in, graph out, as PyG's transforms.

Random ones draw from PyTorch's generator: ``torch.manual_seed`` repeats them, and each worker of a ``DataLoader`` has a
seed of its own. Those that leave the sound as it is say so. What simplifies a graph is in
:mod:`graphmix.datasets.merge`, positions of nodes are in :mod:`graphmix.datasets.positions`.
"""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch_geometric.transforms import BaseTransform

from graphmix.errors import GraphError
from graphmix.graph.editing import remove_nodes
from graphmix.graph.mixgraph import MixGraph

PER_INPUT = ("stems",)
"""Attributes with one row for each input node, in node order."""


class DropNodes(BaseTransform):
    """Removes each processor with a probability, as if it were bypassed.

    Inputs, mixes and outputs stay, and so do processors with several outlets. What only fed the sidechain of a removed
    processor goes with it.

    Args:
        p: probability.
        kinds: names or letters of the types that may go; all by default.
    """

    def __init__(self, p: float = 0.1, kinds: Iterable[str] | None = None) -> None:
        if not 0 <= p <= 1:
            raise GraphError(f"the probability to drop a node is {p}; it lies between 0 and 1.")
        self.p, self.kinds = p, None if kinds is None else tuple(kinds)

    def forward(self, data: MixGraph) -> MixGraph:
        """The graph without them."""
        chosen = _indices(data, self.kinds)
        is_chosen = torch.tensor([i in chosen for i in range(len(data.types))])[data.node_type.cpu()]
        drop = is_chosen & data.prunable.cpu() & (torch.rand(data.node_type.numel()) < self.p)
        return remove_nodes(data, drop.to(data.node_type.device)) if bool(drop.any()) else data

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p}, kinds={self.kinds})"


class AddNodes(BaseTransform):
    """Puts processors with neutral parameters onto random edges.

    With ``wet=0`` the sound stays as it is: the new nodes are there and do nothing. A neutral equalizer, imager or gain
    does nothing at any weight; the others do little.

    Args:
        count: how many.
        kinds: names or letters of the types to choose from; by default all that have one inlet and one outlet.
        wet: dry/wet weight of the new nodes.
    """

    def __init__(self, count: int = 1, kinds: Iterable[str] | None = None, wet: float = 0.0) -> None:
        if count < 0 or not 0 <= wet <= 1:
            raise GraphError(f"cannot add {count} nodes of weight {wet}: give 0 or more, and a weight between 0 and 1.")
        self.count, self.kinds, self.wet = count, None if kinds is None else tuple(kinds), wet

    def forward(self, data: MixGraph) -> MixGraph:
        """The graph with them."""
        types = data.types.types
        chosen = [i for i in _indices(data, self.kinds) if types[i].is_processor]
        kinds = [types[i] for i in chosen if len(types[i].inlets) == 1 and len(types[i].outlets) == 1]
        if not kinds:
            raise GraphError("there is no type to add: none of them has one inlet and one outlet.")
        _refuse_added_attributes(data)
        graph = copy.copy(data)
        graph.params = dict(data.params)
        for _ in range(self.count if graph.edge_index.size(1) else 0):
            edge = int(torch.randint(graph.edge_index.size(1), ()))
            node = graph.add(kinds[int(torch.randint(len(kinds), ()))].name, wet=self.wet)
            (_, target), (_, inlet) = graph.edge_index[:, edge].tolist(), graph.edge_port[edge].tolist()
            graph.edge_index, graph.edge_port = graph.edge_index.clone(), graph.edge_port.clone()
            graph.edge_index[1, edge], graph.edge_port[edge, 1] = node, 0
            graph.connect(node, target, 0, inlet)
        return graph

    def __repr__(self) -> str:
        return f"{type(self).__name__}(count={self.count}, kinds={self.kinds}, wet={self.wet})"


class PermuteTracks(BaseTransform):
    """Puts the inputs of a graph into a random order; the sound stays as it is.

    Stems that the graph carries follow. A learner that gives the same answer for every order need not see this; for
    any other it shows that the order of tracks carries no information.
    """

    def forward(self, data: MixGraph) -> MixGraph:
        """The graph with its inputs in another order."""
        inputs = data.nodes_of("in").cpu()
        order = torch.arange(data.node_type.numel())
        shuffled = torch.randperm(inputs.numel())
        order[inputs] = inputs[shuffled]
        graph = renumber(data, order)
        for key in PER_INPUT:
            if key in data:
                graph[key] = data[key][shuffled.to(data[key].device)]
        return graph


def renumber(graph: MixGraph, order: Tensor | Sequence[int]) -> MixGraph:
    """The same graph with its nodes in another order: ``order[i]`` is the old number of node i.

    Parameters, weights, names, edges and added node attributes follow; edges keep their order.

    Raises:
        GraphError: ``order`` is no order of the nodes, or the graph is a batch.
    """
    if isinstance(graph.info, list):
        raise GraphError("renumber graphs one by one: this is a batch; use batch.to_data_list() first.")
    order = torch.as_tensor(order, dtype=torch.long)
    count = graph.node_type.numel()
    if not torch.equal(order.sort().values, torch.arange(count)):
        raise GraphError(f"the new order is no order of the {count} nodes of the graph.")
    device = graph.node_type.device
    order = order.to(device)
    result = copy.copy(graph)
    for key, value in graph:
        if isinstance(value, Tensor) and key not in ("edge_index", *PER_INPUT) and graph.is_node_attr(key):
            result[key] = value[order]
    place = torch.empty_like(order)
    place[order] = torch.arange(count, device=device)
    result.edge_index = place[graph.edge_index]
    rows = graph.rows()[order]
    result.params = {
        name: values[rows[result.node_type == graph.types.index(name)]] for name, values in graph.params.items()
    }
    names = graph.names
    result.info = replace(graph.info, names=tuple(names[old] for old in order.tolist()))
    return result


def _indices(graph: MixGraph, kinds: tuple[str, ...] | None) -> list[int]:
    """Indices of types by name or letter; those that the graph lacks are skipped."""
    types = graph.types.types
    return [i for i, t in enumerate(types) if kinds is None or t.name in kinds or t.letter in kinds]


def _refuse_added_attributes(graph: MixGraph) -> None:
    """New nodes have no positions or features yet."""
    own = {"node_type", "wet", "edge_index", "edge_port"}
    for key, value in graph:
        if (
            isinstance(value, Tensor)
            and key not in (*own, *PER_INPUT)
            and (graph.is_node_attr(key) or graph.is_edge_attr(key))
        ):
            raise GraphError(
                f"nodes cannot be added: the graph has the attribute {key!r}, which they lack. Add it after them."
            )
