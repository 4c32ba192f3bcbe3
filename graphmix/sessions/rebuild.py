"""A graph from what a session's file says, node by node."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import torch

from graphmix.errors import GraphError
from graphmix.graph.editing import without_dead_ends
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.topology import topological_order
from graphmix.graph.validation import validate
from graphmix.processors.align import Align
from graphmix.processors.rack import Rack
from graphmix.processors.ride import Ride
from graphmix.spec import NodeType


@dataclass(eq=False)
class FoundNode:
    """A node as a file gives it.

    Args:
        kind: name of its type.
        name: its label.
        values: physical values by name; neutral where not given.
        wet: dry/wet weight.
        number: its place in the graph of which the file was made; None in files of others.
        base_rate: of a type whose response is made at another rate.
    """

    kind: str
    name: str = ""
    values: Mapping[str, Sequence[float]] = field(default_factory=dict)
    wet: float = 1.0
    number: int | None = None
    base_rate: int = 0


Link = tuple[FoundNode, FoundNode, int, int]
"""From a node to a node, outlet and inlet."""


def rebuild(nodes: Sequence[FoundNode], links: Sequence[Link], sample_rate: int) -> MixGraph:
    """A valid graph of nodes and the connections between them.

    Nodes are in the order of their numbers where all of them have one, else as they come. Values are brought into the
    ranges of their types. What leads to no output (a muted channel) goes; inputs stay.

    Raises:
        GraphError: a loop, an unknown type, a wrong number of values.
    """
    numbers = [node.number for node in nodes]
    if None not in numbers and len(set(numbers)) == len(numbers):
        nodes = sorted(nodes, key=lambda node: node.number or 0)
    graph = MixGraph(_types(nodes, sample_rate), sample_rate)
    place = {}
    for node in nodes:
        try:
            place[id(node)] = graph.add(node.kind, node.name, min(1.0, max(0.0, node.wet)), **dict(node.values))
        except (TypeError, ValueError, OverflowError) as error:
            raise GraphError(f"{node.kind} {node.name!r}: {error}") from None
    for source, target, outlet, inlet in links:
        graph.connect(place[id(source)], place[id(target)], outlet, inlet)
    for node_type in graph.types.types:
        if node_type.is_processor:
            low, high = node_type.bounds()
            values = torch.nan_to_num(graph.params[node_type.name])
            graph.params[node_type.name] = torch.minimum(torch.maximum(values, low), high)
    graph.info = replace(graph.info, provenance={"made_by": "graphmix import"})
    topological_order(graph.num_nodes, graph.edges(), graph.describe)  # a loop that leads nowhere is one all the same
    return validate(without_dead_ends(graph))


def _types(nodes: Sequence[FoundNode], sample_rate: int) -> list[NodeType]:
    """graphmix's own types, those of another base rate as they were."""
    rack = [*Rack.standard(sample_rate).types, Align(sample_rate).node_type, Ride(sample_rate).node_type]
    types = {node_type.name: node_type for node_type in rack}
    for node in nodes:
        if node.kind not in types and node.kind in own_kinds():
            types[node.kind] = own_type(node.kind, 0, sample_rate)
        if node.base_rate and node.kind in types:
            types[node.kind] = own_type(node.kind, node.base_rate, sample_rate)
    return list(types.values())


@cache
def own_kinds() -> frozenset[str]:
    """The kinds of all processors of graphmix that take audio."""
    return frozenset(Rack.full().names)


@cache
def own_type(kind: str, base_rate: int, sample_rate: int) -> NodeType:
    """A type of graphmix, its response made at the base rate where it has one.

    Raises:
        GraphError: graphmix has no such type.
    """
    rate = base_rate or sample_rate
    standard = Rack.standard(rate)
    processor = (standard if kind in standard else Rack.full(rate))[kind]
    return (processor.at_rate(sample_rate) if base_rate else processor).node_type


def tell_apart(inputs: Sequence[FoundNode]) -> None:
    """Give inputs of one name a number behind it."""
    taken: set[str] = set()
    for node in inputs:
        name, number = node.name, 1
        while node.name in taken:
            number += 1
            node.name = f"{name} {number}"
        taken.add(node.name)
