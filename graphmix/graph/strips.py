"""Strips: the processors of each track and each bus, up to where the signal branches or is summed.

A console gives every track and every bus a strip of its own. Sparse graphs have strips as well, with fewer processors;
what lies behind a branch or in no strip (a send, a sidechain, a chain on the master) belongs to none.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.topology import follow, neighbours, reachable, topological_order


@dataclass(frozen=True)
class Strips:
    """The chains of a graph.

    Args:
        tracks: name of an input -> its processors in order.
        buses: mix node -> its processors in order.
        members: mix node -> names of the inputs that it sums, directly or not.
    """

    tracks: Mapping[str, tuple[int, ...]]
    buses: Mapping[int, tuple[int, ...]]
    members: Mapping[int, frozenset[str]]


def find_strips(graph: MixGraph) -> Strips:
    """The processors of each track and bus, up to where the signal branches or is summed.

    Example:
        >>> from graphmix.graph import mixing_console
        >>> from graphmix.processors import Rack
        >>> console = mixing_console(Rack.console("eg"), {"band": ["voice"]}, "eg")
        >>> find_strips(console).tracks
        {'voice': (1, 2)}
    """
    before, after = neighbours(graph.node_type.numel(), graph.edges())
    types = graph.types.types
    kinds = [types[index] for index in graph.node_type.tolist()]

    def strip(start: int) -> Iterator[int]:
        for node in follow(after, start):
            if not kinds[node].is_processor or len(before[node]) > 1:
                return
            yield node

    inputs = dict(zip(graph.nodes_of("in").tolist(), graph.input_names, strict=True))
    tracks = {name: tuple(strip(node)) for node, name in inputs.items()}
    mixes = graph.nodes_of("mix").tolist()
    members = {node: frozenset(inputs[found] for found in reachable(before, [node]) & inputs.keys()) for node in mixes}
    return Strips(tracks, {node: tuple(strip(node)) for node in mixes}, members)


def sound_edges(graph: MixGraph) -> list[tuple[int, int, int, int]]:
    """The edges that carry what is mixed: into first inlets and into sends, and not a detector's or other control."""
    kinds = [graph.types[index].name for index in graph.node_type.tolist()]
    return [edge for edge in graph.edges() if edge[3] == 0 or kinds[edge[1]] == "send"]


def find_returns(graph: MixGraph, send: str = "send") -> list[int]:
    """The mixes and processors of shared returns: those that get nothing but what sends let through.

    Args:
        graph: one graph.
        send: name of the type that feeds returns.
    """
    count, edges = graph.node_type.numel(), graph.edges()
    before, _ = neighbours(count, edges)
    kinds = [graph.types[index].name for index in graph.node_type.tolist()]
    sent = [kind == send for kind in kinds]
    returns = []
    for node in topological_order(count, edges, graph.describe):
        if not sent[node] and kinds[node] != "out" and before[node] and all(sent[source] for source in before[node]):
            sent[node] = True
            returns.append(node)
    return sorted(returns)


def place_names(graph: MixGraph) -> list[str]:
    """For each node in words where it stands: the track or bus of its strip, or behind which it is."""
    strips = find_strips(graph)
    names = [""] * graph.node_type.numel()
    for track, strip in strips.tracks.items():
        for v in strip:
            names[v] = track
    for bus, strip in strips.buses.items():
        for v in strip:
            names[v] = graph.names[bus] or f"mix {bus}"
    for v in range(len(names)):
        if not graph.type_of(v).is_processor:
            names[v] = ""
    return names
