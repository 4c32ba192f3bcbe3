"""Editing: graph in, graph out. Parameters, weights, ports and names follow; the given graph is not changed."""

import copy
from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor

from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph

_OWN_FIELDS = frozenset({"node_type", "wet", "edge_index", "edge_port"})


def _as_mask(graph: MixGraph, nodes: Tensor | Iterable[int]) -> Tensor:
    nodes = torch.as_tensor(nodes if isinstance(nodes, Tensor) else list(nodes), device=graph.node_type.device)
    if nodes.dtype == torch.bool:
        if nodes.shape != graph.node_type.shape:
            raise GraphError(f"the mask has shape {list(nodes.shape)}, but the graph has {graph.num_nodes} nodes.")
        return nodes
    mask = torch.zeros(graph.node_type.numel(), dtype=torch.bool, device=graph.node_type.device)
    if nodes.numel():
        wrong = next((node for node in nodes.tolist() if not 0 <= node < mask.numel()), None)
        if wrong is not None:
            raise GraphError(f"there is no node {wrong}: the nodes are 0 to {mask.numel() - 1}.")
        mask[nodes.long()] = True
    return mask


def _select(graph: MixGraph, keep: Tensor, edge_index: Tensor, edge_port: Tensor, origin: Tensor) -> MixGraph:
    """The nodes of ``keep`` with these edges (in old numbers, all among kept nodes).

    What somebody added to nodes or edges follows; that of an edge from the old one whose index is ``origin``.
    """
    if isinstance(graph.info, list):
        raise GraphError("edit graphs one by one: this is a batch; use batch.to_data_list() first.")
    result = copy.copy(graph)
    for key, value in graph:
        if isinstance(value, Tensor) and key not in _OWN_FIELDS:
            if graph.is_node_attr(key):
                result[key] = value[keep]
            elif graph.is_edge_attr(key):
                result[key] = value[origin]
    new_index = torch.cumsum(keep.long(), 0) - 1
    result.node_type = graph.node_type[keep]
    result.wet = graph.wet[keep]
    result.edge_index = new_index[edge_index] if edge_index.numel() else edge_index
    result.edge_port = edge_port
    result.params = {
        name: values[keep[graph.nodes_of(name)]] if values.size(0) else values for name, values in graph.params.items()
    }
    names = tuple(name for name, kept in zip(graph.names, keep.tolist(), strict=True) if kept)
    result.info = replace(graph.info, names=names)
    return result


def keep_nodes(graph: MixGraph, nodes: Tensor | Iterable[int]) -> MixGraph:
    """Keep some nodes and the edges among them. Edges to other nodes are cut, not re-routed."""
    keep = _as_mask(graph, nodes)
    inside = keep[graph.edge_index[0]] & keep[graph.edge_index[1]]
    origin = inside.nonzero().flatten()
    return _select(graph, keep, graph.edge_index[:, origin], graph.edge_port[origin], origin)


def remove_nodes(graph: MixGraph, nodes: Tensor | Iterable[int]) -> MixGraph:
    """Remove processors as if each were bypassed: what came into its first inlet goes to where it led.

    An edge into any other inlet (a sidechain) ends here. Where two paths fall together, both edges stay, so
    that the sum is the same (section 3 of the paper: equivalent to zero weights).

    Raises:
        GraphError: for a node with several outlets, an input or an output: it has no bypass.
    """
    drop = _as_mask(graph, nodes)
    for node in drop.nonzero().flatten().tolist():
        node_type = graph.type_of(node)
        if node_type.name in ("in", "out") or len(node_type.outlets) != 1:
            raise GraphError(f"{graph.describe(node)} cannot be bypassed: it has no dry signal to let through.")
    incoming: dict[int, list[tuple[int, int]]] = {}
    edges = [
        (s, t, o, i) for (s, t), (o, i) in zip(graph.edge_index.t().tolist(), graph.edge_port.tolist(), strict=True)
    ]
    dropped = drop.tolist()
    for s, t, o, i in edges:
        if dropped[t] and i == 0:
            incoming.setdefault(t, []).append((s, o))
    resolved: dict[int, list[tuple[int, int]]] = {}

    def sources(node: int) -> list[tuple[int, int]]:
        """Kept (node, outlet) pairs whose sum comes into a dropped node."""
        pending = [node]
        while pending:
            top = pending[-1]
            waiting = [s for s, _ in incoming.get(top, []) if dropped[s] and s not in resolved]
            if waiting:
                pending.extend(waiting)
                continue
            pending.pop()
            resolved[top] = [
                pair for s, o in incoming.get(top, []) for pair in (resolved[s] if dropped[s] else [(s, o)])
            ]
        return resolved[node]

    kept_edges: list[tuple[int, int, int, int, int]] = []
    for e, (s, t, o, i) in enumerate(edges):
        if dropped[t]:
            continue
        kept_edges += [(a, t, b, i, e) for a, b in sources(s)] if dropped[s] else [(s, t, o, i, e)]
    table = torch.tensor(kept_edges, dtype=torch.long, device=drop.device).reshape(-1, 5)
    ends, ports, origin = table[:, :2].t().contiguous(), table[:, 2:4].contiguous(), table[:, 4]
    return without_dead_ends(_select(graph, ~drop, ends, ports, origin))


def without_dead_ends(graph: MixGraph) -> MixGraph:
    """Drop processors and mixes that no longer lead anywhere, e.g. what only fed a removed sidechain."""
    reached = (graph.node_type == graph.types.index("out")) | (graph.node_type == graph.types.index("in"))
    source, target = graph.edge_index
    useful = graph.node_type == graph.types.index("out")
    while True:
        new = useful.clone()
        new[source[useful[target]]] = True
        if bool((new == useful).all()):
            break
        useful = new
    keep = useful | reached
    return graph if bool(keep.all()) else keep_nodes(graph, keep)


def bypass_nodes(graph: MixGraph, nodes: Tensor | Iterable[int]) -> MixGraph:
    """Set the dry/wet weight of some nodes to zero; they stay in the graph."""
    mask = _as_mask(graph, nodes)
    for node in mask.nonzero().flatten().tolist():
        if not graph.type_of(node).can_be_bypassed:
            raise GraphError(f"{graph.describe(node)} cannot be bypassed: it has no dry signal to let through.")
    result = copy.copy(graph)
    result.wet = graph.wet.masked_fill(mask, 0.0)
    return result
