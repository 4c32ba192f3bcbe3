"""Editing: graph in, graph out. Parameters, weights, ports and names follow; the given graph is not changed."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.topology import neighbours, reachable
from graphmix.spec import NodeType, TypeTable


def keep_nodes(graph: MixGraph, nodes: Tensor | Iterable[int]) -> MixGraph:
    """Keep some nodes and the edges among them. Edges to other nodes are cut, not re-routed."""
    return graph.subgraph(nodes)


def remove_nodes(graph: MixGraph, nodes: Tensor | Iterable[int]) -> MixGraph:
    """Remove processors as if each were bypassed: its first inlet is connected to where it led.

    An edge into any other inlet (a sidechain) ends here. Where two paths fall together, both edges stay, so
    that the sum is the same (section 3 of the paper: equivalent to zero weights).

    Raises:
        GraphError: for a node with several outlets, an input or an output: it has no bypass.
    """
    drop = graph.mask_of(nodes)
    for node in drop.nonzero().flatten().tolist():
        node_type = graph.type_of(node)
        if node_type.name in ("in", "out") or len(node_type.outlets) != 1:
            raise GraphError(f"{graph.describe(node)} cannot be bypassed: it has no dry signal to let through.")
    incoming: dict[int, list[tuple[int, int]]] = {}
    edges = graph.edges()
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
    return without_dead_ends(graph.rewired(~drop, ends, ports, origin))


def renumber(graph: MixGraph, order: Sequence[int]) -> MixGraph:
    """The same graph with its nodes in another order, and its edges sorted by source, target and ports.

    Args:
        graph: one graph, no batch.
        order: node ``i`` of the result is node ``order[i]``.

    Raises:
        GraphError: the order is no permutation of the nodes.
    """
    if isinstance(graph.info, list):
        raise GraphError("edit graphs one by one: this is a batch; use batch.to_data_list() first.")
    if sorted(order) != list(range(graph.node_type.numel())):
        raise GraphError(f"{list(order)[:6]} … is no order of {graph.node_type.numel()} nodes; give each once.")
    device = graph.node_type.device
    index = torch.tensor(order, dtype=torch.long, device=device)
    place = {node: i for i, node in enumerate(order)}
    edges = [(place[s], place[t], o, i, e) for e, (s, t, o, i) in enumerate(graph.edges())]
    table = torch.tensor(sorted(edges), dtype=torch.long, device=device).reshape(-1, 5)
    rows, names = graph.rows(), graph.names
    result = copy.copy(graph)
    for key, value in graph:
        if isinstance(value, Tensor) and key not in ("node_type", "wet", "edge_index", "edge_port"):
            if graph.is_node_attr(key):
                result[key] = value[index]
            elif graph.is_edge_attr(key):
                result[key] = value[table[:, 4]]
    result.edge_index, result.edge_port = table[:, :2].t().contiguous(), table[:, 2:4].contiguous()
    result.node_type, result.wet = graph.node_type[index], graph.wet[index]
    result.params = {
        name: values[rows[index[result.node_type == graph.types.index(name)]]] for name, values in graph.params.items()
    }
    result.info = replace(graph.info, names=tuple(names[node] for node in order))
    return result


def retype(graph: MixGraph, types: TypeTable) -> MixGraph:
    """The same graph with another table of types, e.g. that of a dataset or a model.

    Args:
        graph: one graph, no batch.
        types: holds at least the types that the nodes have, in any order.

    Raises:
        GraphError: a node of a type that the table lacks, or has with other parameters or ports.
    """
    if isinstance(graph.info, list):
        raise GraphError("edit graphs one by one: this is a batch; use batch.to_data_list() first.")
    if graph.types is types:
        return graph
    known = {t.name: t for t in types.types}
    used = {graph.types[index].name: graph.types[index] for index in graph.node_type.unique().tolist()}
    for name, node_type in used.items():
        if name not in known:
            raise GraphError(f"the graph has a {name!r}, which is none of the types {', '.join(types.names)}.")
        if node_type.digest != known[name].digest:
            raise GraphError(
                f"the graph's {name!r} is from {node_type.source or 'graphmix'}, and the {name!r} that it is to become "
                f"from {known[name].source or 'graphmix'}: another capture sounds otherwise."
            )
        if not node_type.is_same(known[name]):
            raise GraphError(
                f"the graph's {name!r} has other parameters or ports than the {name!r} that it is to become; "
                "make both at one sample rate."
            )
    result = copy.copy(graph)
    if graph.types != types:
        place = torch.tensor([types.index(t.name) if t.name in used else -1 for t in graph.types.types])
        result.node_type = place.to(graph.node_type.device)[graph.node_type]
        result.params = {
            t.name: graph.params[t.name] if t.name in used else graph.wet.new_zeros(0, t.width)
            for t in types.types
            if t.is_processor
        }
    result.info = replace(graph.info, types=types)
    return result


def with_type(graph: MixGraph, node_type: NodeType) -> MixGraph:
    """The graph with one more node type, the last; itself where it has the type."""
    if node_type in graph.types.types:
        return graph
    return retype(graph, TypeTable((*graph.types.types, node_type)))


def without_dead_ends(graph: MixGraph) -> MixGraph:
    """Drop processors and mixes that no longer lead anywhere, e.g. what only fed a removed sidechain."""
    before, _ = neighbours(graph.node_type.numel(), graph.edges())
    outputs, inputs = (graph.nodes_of(kind).tolist() for kind in ("out", "in"))
    keep = reachable(before, outputs).union(inputs)
    return graph if len(keep) == graph.node_type.numel() else keep_nodes(graph, sorted(keep))


def bypass_nodes(graph: MixGraph, nodes: Tensor | Iterable[int]) -> MixGraph:
    """Set the dry/wet weight of some nodes to zero; they stay in the graph."""
    mask = graph.mask_of(nodes)
    for node in mask.nonzero().flatten().tolist():
        if not graph.type_of(node).can_be_bypassed:
            raise GraphError(f"{graph.describe(node)} cannot be bypassed: it has no dry signal to let through.")
    result = copy.copy(graph)
    result.wet = graph.wet.masked_fill(mask, 0.0)
    return result


def insert_after(
    graph: MixGraph, node: int, kind: str, name: str = "", **parameters: Sequence[float] | float
) -> MixGraph:
    """The graph with one more processor, which takes what leaves a node's first outlet to where it went.

    Args:
        graph: one graph; its types have the kind.
        node: number of the node.
        kind: node type of the new one, which is the last of the result.
        name: its label.
        parameters: physical values by name; neutral where not given.
    """
    return _insert(graph, node, 0, kind, name, parameters)


def insert_before(
    graph: MixGraph, node: int, kind: str, name: str = "", **parameters: Sequence[float] | float
) -> MixGraph:
    """The graph with one more processor that takes what went into a node's first inlet; see :func:`insert_after`."""
    return _insert(graph, node, 1, kind, name, parameters)


def _insert(graph: MixGraph, node: int, side: int, kind: str, name: str, parameters: Mapping[str, Any]) -> MixGraph:
    """A new processor on the side of a node's outlet (0) or inlet (1)."""
    result = graph.clone()
    new = result.add(kind, name=name, **parameters)
    moved = (result.edge_index[side] == node) & (result.edge_port[:, side] == 0)
    result.edge_index, result.edge_port = result.edge_index.clone(), result.edge_port.clone()
    result.edge_index[side, moved], result.edge_port[moved, side] = new, 0
    return result.connect(*((node, new) if side == 0 else (new, node)))
