"""Strips: the processors of each track and each bus, up to where the signal branches or is summed.

A console gives every track and every bus a strip of its own. Sparse graphs have strips as well, with fewer processors;
what lies behind a branch or in no strip (a send, a sidechain, a chain on the master) belongs to none.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from graphmix.graph.mixgraph import MixGraph


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
    after: dict[int, list[int]] = {}
    before: dict[int, list[int]] = {}
    for source, target in graph.edge_index.t().tolist():
        after.setdefault(source, []).append(target)
        before.setdefault(target, []).append(source)
    types = graph.types.types
    kinds = [types[index] for index in graph.node_type.tolist()]

    def strip(start: int) -> Iterator[int]:
        node = start
        while len(after.get(node, [])) == 1:
            node = after[node][0]
            if not kinds[node].is_processor or len(before[node]) > 1:
                return
            yield node

    names = graph.names
    tracks = {names[node]: tuple(strip(node)) for node in graph.nodes_of("in").tolist()}
    mixes = graph.nodes_of("mix").tolist()
    inputs = {node: names[node] for node in graph.nodes_of("in").tolist()}
    members = {node: frozenset(_inputs_before(node, before, inputs)) for node in mixes}
    return Strips(tracks, {node: tuple(strip(node)) for node in mixes}, members)


def _inputs_before(node: int, before: Mapping[int, list[int]], inputs: Mapping[int, str]) -> Iterator[str]:
    """Names of the inputs that lead to a node."""
    pending, seen = [node], {node}
    while pending:
        for source in before.get(pending.pop(), []):
            if source not in seen:
                seen.add(source)
                pending.append(source)
    return (inputs[found] for found in sorted(seen & inputs.keys()))
