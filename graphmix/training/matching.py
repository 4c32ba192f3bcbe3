"""Correspondence of nodes between two graphs, such as a sparse true graph and a full console.

A console gives every track and every bus a *strip*: the processors that the signal passes one after the other before
it is summed. Nodes correspond where they stand in the strip of the same track or bus and are of the same type; where
a strip has several of a type, the first corresponds to the first. Tracks are the same by name; buses by name, and else
by the tracks that they sum. What lies behind a branch or in no strip (a send, a sidechain, a chain on the master) has
no place in a console and corresponds to nothing.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from graphmix.audio.subgroups import DEFAULT_BUS, UNGROUPED_BUS
from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.strips import Strips, find_strips
from graphmix.graph.topology import Neighbours, neighbours
from graphmix.processors.rack import Rack

LEAST_OVERLAP = 0.5
"""Share of common tracks from which two buses of different names are the same bus."""


def match_nodes(source: MixGraph, target: MixGraph) -> Tensor:
    """For each node of ``target`` the corresponding processor of ``source``, or -1; int64 [num_nodes].

    Args:
        source: e.g. a true, sparse graph.
        target: e.g. the full console over the same tracks.
    """
    theirs, ours = find_strips(source), find_strips(target)
    match = torch.full((target.node_type.numel(),), -1, dtype=torch.long)
    pairs = [(theirs.tracks[name], strip) for name, strip in ours.tracks.items() if name in theirs.tracks]
    for own, other in match_buses(source, target, theirs, ours).items():
        pairs.append((theirs.buses[other], ours.buses[own]))
    their_kinds, our_kinds = kinds_of(source), kinds_of(target)
    for found, wanted in pairs:
        free: dict[str, list[int]] = {}
        for node in found:
            free.setdefault(their_kinds[node], []).append(node)
        for node in wanted:
            same = free.get(our_kinds[node])
            if same:
                match[node] = same.pop(0)
    return match


def check_effects(true: MixGraph, rack: Rack, path: Path) -> None:
    """Refuse a true graph whose captured effects are not those that a model has under the same name.

    Raises:
        GraphError: another capture.
    """
    for node_type in true.types.types:
        own = rack.get(node_type.name)
        if own is not None and own.node_type.digest != node_type.digest:
            raise GraphError(
                f"the {node_type.name!r} of {path} is from {node_type.source or 'graphmix'}, and the model's from "
                f"{own.node_type.source or 'graphmix'}: another capture sounds otherwise."
            )


def kinds_of(graph: MixGraph) -> list[str]:
    """Name of the type of each node, of a captured effect with its digest: another capture is another type."""
    names = [f"{t.name} {t.digest}".rstrip() for t in graph.types.types]
    return [names[index] for index in graph.node_type.tolist()]


def match_buses(source: MixGraph, target: MixGraph, theirs: Strips, ours: Strips) -> dict[int, int]:
    """Mix node of ``target`` -> that of ``source``: those of one name, then those that share the most tracks."""
    their_names = source.names
    by_name = {their_names[node]: node for node in reversed(list(theirs.buses)) if their_names[node]}
    names = target.names
    match = {node: by_name.pop(names[node]) for node in ours.buses if names[node] in by_name}
    taken = set(match.values())
    candidates = []
    for own, members in ours.members.items():
        for other, their_members in theirs.members.items():
            union = len(members | their_members)
            if own not in match and other not in taken and union:
                candidates.append((-len(members & their_members) / union, own, other))
    for overlap, own, other in sorted(candidates):
        if -overlap >= LEAST_OVERLAP and own not in match and other not in taken:
            match[own] = other
            taken.add(other)
    return match


def unmatched(source: MixGraph, match: Tensor) -> list[int]:
    """Processors of ``source`` that are not bypassed and that no node of the target corresponds to."""
    found = set(match.tolist())
    wet = source.wet.tolist()
    return [node for node in source.processors.tolist() if node not in found and wet[node] > 0]


@dataclass(frozen=True)
class ConsoleTarget:
    """Settings of a console that reproduce a true graph.

    Args:
        keep: bool [num_nodes], processors of the console that the true graph has and does not bypass.
        wet: [num_nodes], their dry/wet weights; 0 elsewhere.
        params: {type: [nodes of that type, width]}, physical; neutral where not kept.
        processors: bool [num_nodes], which nodes can be kept or dropped at all.
        lost: processors of the true graph that have no place in the console.
    """

    keep: Tensor
    wet: Tensor
    params: dict[str, Tensor]
    processors: Tensor
    lost: int


def console_target(true: MixGraph, console: MixGraph) -> ConsoleTarget:
    """The settings of a console that reproduce a true graph over the same tracks, both on the CPU."""
    assert true.wet.device.type == console.wet.device.type == "cpu", "graphs are compared on the CPU"
    match = match_nodes(true, console)
    wet = true.wet.detach()[match.clamp(min=0)].masked_fill(match < 0, 0.0)
    keep = wet > 0
    rows = true.rows()
    params = {}
    for t in console.types.types:
        if not t.is_processor:
            continue
        nodes = console.nodes_of(t.name)
        values = t.neutral().expand(nodes.numel(), -1).clone()
        chosen = match[nodes]
        there = chosen >= 0
        if bool(there.any()):
            values[there] = true.params[t.name].detach()[rows[chosen[there]]]
        params[t.name] = values
    return ConsoleTarget(keep, wet, params, console.prunable, len(unmatched(true, match)))


def carry_over(source: MixGraph, target: MixGraph) -> MixGraph:
    """``target`` with the parameters and weights of the corresponding nodes of ``source``; others as they are.

    Both graphs are on the CPU; gradients are not carried over.
    """
    result = target.clone()
    match = match_nodes(source, target)
    rows = source.rows()
    wet = result.wet.clone()
    there = match >= 0
    wet[there] = source.wet.detach()[match[there]]
    result.wet = wet
    for t in target.types.types:
        if not t.is_processor:
            continue
        nodes = target.nodes_of(t.name)
        chosen = match[nodes]
        matched = chosen >= 0
        if bool(matched.any()):
            values = result.params[t.name].clone()
            values[matched] = source.params[t.name].detach()[rows[chosen[matched]]]
            result.params[t.name] = values
    return result


def find_subgroups(graph: MixGraph) -> dict[str, tuple[str, ...]]:
    """Bus -> tracks, read off a graph: the sum that a track comes to first is its bus.

    A track that comes to the output or to nothing first is on the bus ``"ungrouped"``; the names of sums without a
    name are their numbers. Where a track is sent to several sums, its bus is the one with the fewest edges between. If
    no track comes to a sum, all are on ``"mix bus"``, as in a song without subgroups.
    """
    _, after = neighbours(graph.node_type.numel(), graph.edges())
    mixes = set(graph.nodes_of("mix").tolist())
    names = graph.names
    groups: dict[str, list[str]] = {}
    for node in graph.nodes_of("in").tolist():
        bus = _nearest(node, after, mixes | set(graph.nodes_of("out").tolist()))
        name = UNGROUPED_BUS if bus is None or bus not in mixes else names[bus] or f"bus {bus}"
        groups.setdefault(name, []).append(names[node])
    if set(groups) == {UNGROUPED_BUS}:
        return {DEFAULT_BUS: tuple(groups[UNGROUPED_BUS])}
    return {name: tuple(tracks) for name, tracks in groups.items()}


def _nearest(start: int, after: Neighbours, ends: set[int]) -> int | None:
    """The first of some nodes that a signal comes to, by number of edges."""
    level, seen = [start], {start}
    while level:
        following = sorted({target for node in level for target in after[node]} - seen)
        found = next((node for node in following if node in ends), None)
        if found is not None:
            return found
        seen.update(following)
        level = following
    return None
