"""Is this graph one that can be rendered? One clear :class:`GraphError` where it is not.

Graphs are validated where they enter: after loading, before scheduling, after an edit by hand. Inside, they are
trusted.
"""

import numpy as np
import torch

from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph

_MAX_NAMED = 6


def validate(graph: MixGraph) -> MixGraph:
    """Return the graph as it is, or raise a :class:`GraphError` that names the node or edge at fault."""
    _check_shapes(graph)
    _check_values(graph)
    _check_edges(graph)
    _check_order(graph)
    _check_reach(graph)
    return graph


def _check_shapes(graph: MixGraph) -> None:
    n, types = graph.node_type.numel(), graph.types
    if graph.node_type.dim() != 1:
        raise GraphError(f"node_type has shape {list(graph.node_type.shape)}, expected [num_nodes].")
    if n and not 0 <= int(graph.node_type.min()) <= int(graph.node_type.max()) < len(types):
        raise GraphError(f"node_type has values up to {int(graph.node_type.max())}, but there are {len(types)} types.")
    if graph.wet.shape != (n,):
        raise GraphError(f"wet has shape {list(graph.wet.shape)}, expected [{n}]: one weight for each node.")
    if graph.edge_index.dim() != 2 or graph.edge_index.size(0) != 2:
        raise GraphError(f"edge_index has shape {list(graph.edge_index.shape)}, expected [2, num_edges].")
    e = graph.edge_index.size(1)
    if graph.edge_port.shape != (e, 2):
        raise GraphError(f"edge_port has shape {list(graph.edge_port.shape)}, expected [{e}, 2].")
    if len(graph.names) != n:
        raise GraphError(f"the graph has {len(graph.names)} names for {n} nodes; give each node one, '' if none.")
    counts = torch.bincount(graph.node_type, minlength=len(types)).tolist()
    for t, count in zip(types.types, counts, strict=True):
        if not t.is_processor:
            continue
        if t.name not in graph.params:
            raise GraphError(f"params lacks {t.name!r}; store [0, {t.width}] where a graph has no node of a type.")
        shape = list(graph.params[t.name].shape)
        if shape != [count, t.width]:
            raise GraphError(
                f"params[{t.name!r}] has shape {shape}, expected [{count}, {t.width}]: this graph has {count} "
                f"{t.name} nodes. Are these the parameters from before pruning?"
            )


def _check_values(graph: MixGraph) -> None:
    wet = graph.wet
    bad = ~((wet >= 0) & (wet <= 1))
    if bad.any():
        node = int(bad.nonzero()[0])
        raise GraphError(f"{graph.describe(node)} has wet {float(wet[node]):g}; it lies between 0 and 1.")
    for t in graph.types.types:
        if not t.is_processor or not graph.params[t.name].numel():
            continue
        values, (low, high) = graph.params[t.name].detach(), t.bounds()
        slack = 1e-4 * (high - low)
        bad = ~((values >= (low - slack).to(values)) & (values <= (high + slack).to(values)))
        if bad.any():
            row, column = (int(i) for i in bad.nonzero()[0])
            p = next(p for p in t.parameters if t.columns(p.name).start <= column < t.columns(p.name).stop)
            raise GraphError(
                f"{graph.describe(int(graph.nodes_of(t.name)[row]))}: {p.name} is {float(values[row, column]):g}; "
                f"it is a number between {p.low:g} and {p.high:g} {p.unit}."
            )


def _check_edges(graph: MixGraph) -> None:
    n = graph.node_type.numel()
    edges, ports = graph.edge_index.t().tolist(), graph.edge_port.tolist()
    types, node_type = graph.types, graph.node_type.tolist()
    for e, ((source, target), (outlet, inlet)) in enumerate(zip(edges, ports, strict=True)):
        if not (0 <= source < n and 0 <= target < n):
            raise GraphError(f"edge {e} joins nodes {source} and {target}, but the nodes are 0 to {n - 1}.")
        a, b = types[node_type[source]], types[node_type[target]]
        if b.name != "in" and a.name != "out" and 0 <= outlet < len(a.outlets) and 0 <= inlet < len(b.inlets):
            continue
        label = f"edge {e} ({graph.describe(source)} -> {graph.describe(target)})"
        if b.name == "in":
            raise GraphError(f"{label} ends at an input node, and inputs take no edges. Connect it to a mix or out.")
        if a.name == "out":
            raise GraphError(f"{label} starts at an output node, and outputs send nothing on. Use a mix node there.")
        if not 0 <= outlet < len(a.outlets):
            raise GraphError(f"{label} leaves outlet {outlet}; {a.name} has {len(a.outlets)}: {', '.join(a.outlets)}.")
        if not 0 <= inlet < len(b.inlets):
            raise GraphError(f"{label} enters inlet {inlet}; {b.name} has {len(b.inlets)}: {', '.join(b.inlets)}.")


def _check_order(graph: MixGraph) -> None:
    """No cycle: peel off nodes without predecessors; what remains contains one, which is walked and named."""
    n = graph.node_type.numel()
    source, target = graph.edge_index.cpu().numpy()
    degree = np.bincount(target, minlength=n)
    order = np.argsort(source, kind="stable")
    starts = np.searchsorted(source[order], np.arange(n + 1))
    ready = list(np.flatnonzero(degree == 0))
    done = np.zeros(n, dtype=bool)
    while ready:
        node = ready.pop()
        done[node] = True
        for successor in target[order[starts[node] : starts[node + 1]]]:
            degree[successor] -= 1
            if degree[successor] == 0:
                ready.append(successor)
    if done.all():
        return
    before = {int(t): int(s) for s, t in zip(source, target, strict=True) if not done[s] and not done[t]}
    place, walk = next(iter(before)), dict[int, int]()
    while place not in walk:
        walk[place] = len(walk)
        place = before[place]
    cycle = list(walk)[: walk[place] - 1 if walk[place] else None : -1]
    shown = " -> ".join(graph.describe(i) for i in cycle[:_MAX_NAMED])
    more = f" -> … ({len(cycle)} nodes)" if len(cycle) > _MAX_NAMED else f" -> {graph.describe(cycle[0])}"
    raise GraphError(f"the graph has a cycle: {shown}{more}. Remove one of these edges; feedback cannot be rendered.")


def _check_reach(graph: MixGraph) -> None:
    """Every node leads to an output: sound that nobody hears is a mistake in the graph.

    Only an input may have no edge at all: a muted track, or one that a removed sidechain listened to. It stays,
    because inputs and stems are counted together.
    """
    n = graph.node_type.numel()
    if n == 0:
        return
    reached = graph.node_type == graph.types.index("out")
    if not reached.any():
        raise GraphError("the graph has no out node; add one and connect what should be heard to it.")
    source, target = graph.edge_index.cpu().numpy()
    order = np.argsort(target, kind="stable")
    starts = np.searchsorted(target[order], np.arange(n + 1)).tolist()
    before = source[order].tolist()
    heard = reached.tolist()
    pending = [node for node in range(n) if heard[node]]
    while pending:
        node = pending.pop()
        for other in before[starts[node] : starts[node + 1]]:
            if not heard[other]:
                heard[other] = True
                pending.append(other)
    muted = graph.node_type == graph.types.index("in")
    muted[graph.edge_index[0]] = False
    reached = torch.tensor(heard, device=muted.device) | muted
    if not reached.all():
        node = int((~reached).nonzero()[0])
        raise GraphError(f"{graph.describe(node)} reaches no output; connect it towards an out node or remove it.")


def is_finite(graph: MixGraph) -> bool:
    """Are all parameters and weights numbers?"""
    return bool(torch.isfinite(graph.wet).all()) and all(
        bool(torch.isfinite(values).all()) for values in graph.params.values()
    )
