"""Validation: a graph that cannot be rendered is refused with one clear :class:`GraphError`.

Graphs are validated where they enter: after loading, before scheduling, after an edit by hand. Inside, they are
trusted.
"""

import torch

from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.topology import neighbours, reachable, topological_order
from graphmix.spec import NodeType, ParameterSpec

PRECISIONS = (torch.float32, torch.float64)
"""Types of numbers that parameters and weights may have."""


def validate(graph: MixGraph) -> MixGraph:
    """Return the graph as it is, or raise a :class:`GraphError` that names the node or edge at fault."""
    _check_shapes(graph)
    _check_values(graph)
    _check_edges(graph)
    topological_order(graph.node_type.numel(), graph.edges(), graph.describe)
    _check_reach(graph)
    return graph


def _check_shapes(graph: MixGraph) -> None:
    n = graph.node_type.numel() if "node_type" in graph else 0
    if not n:
        raise GraphError("the graph has no nodes; add inputs and an out node, or build it by mixing_console(...).")
    types = graph.types
    if graph.node_type.dim() != 1:
        raise GraphError(f"node_type has shape {list(graph.node_type.shape)}, expected [num_nodes].")
    if not 0 <= int(graph.node_type.min()) <= int(graph.node_type.max()) < len(types):
        raise GraphError(f"node_type has values up to {int(graph.node_type.max())}, but there are {len(types)} types.")
    if graph.wet.shape != (n,):
        raise GraphError(f"wet has shape {list(graph.wet.shape)}, expected [{n}]: one weight for each node.")
    if graph.wet.dtype not in PRECISIONS:
        raise GraphError(f"wet is {graph.wet.dtype}; weights are torch.float32 or torch.float64.")
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
        shape, dtype = list(graph.params[t.name].shape), graph.params[t.name].dtype
        if dtype not in PRECISIONS:
            raise GraphError(f"params[{t.name!r}] is {dtype}; parameters are torch.float32 or torch.float64.")
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
        for p in t.parameters:
            if p.ascending:
                _check_order(graph, t, p)


def _check_order(graph: MixGraph, node_type: NodeType, parameter: ParameterSpec) -> None:
    values = graph.params[node_type.name].detach()[:, node_type.columns(parameter.name)]
    falling = values[:, 1:] < values[:, :-1]
    if falling.any():
        row, place = (int(i) for i in falling.nonzero()[0])
        before, after = values[row, place].item(), values[row, place + 1].item()
        raise GraphError(
            f"{graph.describe(int(graph.nodes_of(node_type.name)[row]))}: {parameter.name} goes back from {before:g} "
            f"to {after:g} {parameter.unit} at entry {place + 1}; sort its entries, and repeat the last one where some "
            "are not used."
        )


def _check_edges(graph: MixGraph) -> None:
    n = graph.node_type.numel()
    types, node_type = graph.types, graph.node_type.tolist()
    for e, (source, target, outlet, inlet) in enumerate(graph.edges()):
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


def _check_reach(graph: MixGraph) -> None:
    """Every node leads to an output: sound that is never mixed is a mistake in the graph.

    Only an input may have no edge at all: a muted track, or one that fed only a removed sidechain. It stays,
    because inputs and stems are counted together.
    """
    outputs = graph.nodes_of("out").tolist()
    if not outputs:
        raise GraphError("the graph has no out node; add one and connect to it what belongs to the mix.")
    before, after = neighbours(graph.node_type.numel(), graph.edges())
    reached = reachable(before, outputs)
    muted = {node for node in graph.nodes_of("in").tolist() if not after[node]}
    for node in range(graph.node_type.numel()):
        if node not in reached and node not in muted:
            raise GraphError(f"{graph.describe(node)} reaches no output; connect it towards an out node or remove it.")
