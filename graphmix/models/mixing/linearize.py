"""A mixing graph as a sequence of nodes, and back: the target of an autoregressive decoder.

First come the inputs, then each node after all its sources. A node is its type and its edges; an edge says which
inlet it enters, and from which place of the sequence, through which outlet, it comes. So there can be no cycle.

The order is *canonical*: it follows from the graph and the order of its inputs and not from how its nodes are numbered.
Of the nodes that could come next, one follows whose source is the last node of the sequence, or the latest there is: a
chain stays together. Ties are broken by the edges, then by type, parameters, names and whatever is connected,
near or far (colour refinement, also known as the Weisfeiler-Leman test). Where even that sees no difference, nodes are
exchangeable in all but artificial graphs, and come in the order of their numbers.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphmix.errors import GraphError
from graphmix.graph.mixgraph import GraphInfo, MixGraph
from graphmix.graph.validation import validate


class IncomingEdge(NamedTuple):
    """An edge into a node; edges sort by inlet, then source, then outlet."""

    inlet: int
    source: int
    outlet: int


@dataclass(frozen=True, eq=False)
class GraphSequence:
    """A graph in decoding order.

    Args:
        info: types, sample rate and provenance; names are those of the nodes in order.
        num_inputs: how many nodes are inputs; they come first.
        node_type: index of each node's type, inputs included.
        edges: of each node after the inputs, sorted.
        wet: dry/wet weights of all nodes, [nodes].
        params: {type: [nodes of the type, width]}, rows in order.
        order: the number that each node had in the graph.
    """

    info: GraphInfo
    num_inputs: int
    node_type: tuple[int, ...]
    edges: tuple[tuple[IncomingEdge, ...], ...]
    wet: Tensor
    params: dict[str, Tensor]
    order: tuple[int, ...]

    @property
    def prototype(self) -> tuple[int, tuple[int, ...], tuple[tuple[IncomingEdge, ...], ...]]:
        """Types and edges without parameters: equal for graphs that differ in nothing else."""
        return self.num_inputs, self.node_type, self.edges

    def to_graph(self) -> MixGraph:
        """The graph, its nodes numbered in the order of the sequence."""
        graph = MixGraph((t for t in self.info.types.types if t.is_processor), self.info.sample_rate)
        graph.info = self.info
        graph.node_type = torch.tensor(self.node_type, dtype=torch.long)
        edges = [
            (source, target, outlet, inlet)
            for target, incoming in enumerate(self.edges, start=self.num_inputs)
            for inlet, source, outlet in incoming
        ]
        table = torch.tensor(edges, dtype=torch.long).reshape(-1, 4)
        graph.edge_index, graph.edge_port = table[:, :2].t().contiguous(), table[:, 2:].contiguous()
        graph.wet, graph.params = self.wet.clone(), {name: values.clone() for name, values in self.params.items()}
        return graph


def linearize(graph: MixGraph, inputs: Sequence[int] | None = None) -> GraphSequence:
    """A graph in canonical decoding order.

    Args:
        graph: one graph, no batch.
        inputs: its input nodes in the order in which they are to come; node order by default.

    Returns:
        A sequence whose :meth:`GraphSequence.to_graph` is the graph with its nodes renumbered; linearizing that graph
        gives the same sequence again.

    Raises:
        GraphError: an invalid graph, a batch, or ``inputs`` that are not the graph's.
    """
    if isinstance(graph.info, list):
        raise GraphError("linearize graphs one by one: this is a batch; use batch.to_data_list() first.")
    validate(graph)
    own = graph.nodes_of("in").tolist()
    first = own if inputs is None else [int(node) for node in inputs]
    if sorted(first) != own:
        raise GraphError(f"the inputs of the graph are the nodes {own}, and {first} were given; give each once.")
    order, edges = _in_order(graph, first)
    rows, node_type = graph.rows().tolist(), graph.node_type.tolist()
    index = torch.tensor(order, dtype=torch.long, device=graph.wet.device)
    params = {}
    for name, values in graph.params.items():
        number = graph.types.index(name)
        own_rows = [rows[node] for node in order if node_type[node] == number]
        params[name] = values[torch.tensor(own_rows, dtype=torch.long, device=values.device)]
    labels = graph.names
    return GraphSequence(
        info=replace(graph.info, names=tuple(labels[node] for node in order)),
        num_inputs=len(first),
        node_type=tuple(node_type[node] for node in order),
        edges=tuple(edges),
        wet=graph.wet[index],
        params=params,
        order=tuple(order),
    )


def _in_order(graph: MixGraph, first: list[int]) -> tuple[list[int], list[tuple[IncomingEdge, ...]]]:
    """Nodes in decoding order, and the edges of each after the inputs."""
    into, out_of = _neighbours(graph)
    colours = _colours(graph, first, into, out_of)
    place = {node: i for i, node in enumerate(first)}
    missing = [len(sources) for sources in into]
    ready: list[tuple[int, tuple[IncomingEdge, ...], int, int]] = []

    def push(node: int) -> None:
        edges = tuple(sorted(IncomingEdge(inlet, place[source], outlet) for source, outlet, inlet in into[node]))
        latest = max((edge.source for edge in edges), default=-1)
        recency = latest if latest >= len(first) else -1  # all inputs are equally far away
        heapq.heappush(ready, (-recency, edges, colours[node], node))

    def placed(node: int) -> None:
        for target, _, _ in out_of[node]:
            missing[target] -= 1
            if not missing[target]:
                push(target)

    for node in range(len(into)):
        if not into[node] and node not in place:
            push(node)
    for node in first:
        placed(node)
    order, edges_in_order = list(first), list[tuple[IncomingEdge, ...]]()
    while ready:
        _, edges, _, node = heapq.heappop(ready)
        place[node] = len(order)
        order.append(node)
        edges_in_order.append(edges)
        placed(node)
    return order, edges_in_order


Neighbours = list[list[tuple[int, int, int]]]
"""For each node (other node, outlet, inlet) of its edges."""


def _neighbours(graph: MixGraph) -> tuple[Neighbours, Neighbours]:
    """Edges that come in, and edges that go out."""
    into: Neighbours = [[] for _ in range(graph.node_type.numel())]
    out_of: Neighbours = [[] for _ in into]
    for source, target, outlet, inlet in graph.edges():
        into[target].append((source, outlet, inlet))
        out_of[source].append((target, outlet, inlet))
    return into, out_of


def _colours(graph: MixGraph, first: list[int], into: Neighbours, out_of: Neighbours) -> list[int]:
    """A number for each node that does not depend on how nodes are numbered; equal for those that look alike."""
    rank = {node: i for i, node in enumerate(first)}
    node_type, rows, names = graph.node_type.tolist(), graph.rows().tolist(), graph.names
    weights = graph.wet.detach().tolist()
    values = {name: table.detach().cpu().numpy() for name, table in graph.params.items()}
    keys: list[Any] = []
    for node, kind in enumerate(node_type):
        name = graph.types[kind].name
        row = values[name][rows[node]].tobytes() if name in values else b""
        keys.append((rank.get(node, -1), kind, weights[node], row, names[node]))
    colours = _ranked(keys)
    while max(colours, default=0) + 1 < len(colours):
        keys = [
            (
                colours[node],
                tuple(sorted((inlet, colours[other], outlet) for other, outlet, inlet in into[node])),
                tuple(sorted((outlet, colours[other], inlet) for other, outlet, inlet in out_of[node])),
            )
            for node in range(len(colours))
        ]
        finer = _ranked(keys)
        if max(finer) == max(colours):
            break
        colours = finer
    return colours


def _ranked(keys: list[Any]) -> list[int]:
    """The place of each key among the different ones."""
    place = {key: i for i, key in enumerate(sorted(set(keys)))}
    return [place[key] for key in keys]
