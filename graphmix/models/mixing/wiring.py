"""The graphs that estimators set: consoles, and chains that lead straight to the output.

Silent tracks come last, after the output, so that they change the number of no other node.
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from graphmix.chain_string import split_chain
from graphmix.graph.consoles import mixing_console
from graphmix.graph.editing import remove_nodes
from graphmix.graph.mixgraph import MixGraph
from graphmix.spec import NodeType, NodeTypes

KEEP_FROM = 0.5
"""Probability from which a processor stays."""


def full_console(
    types: Iterable[NodeType], buses: Mapping[str, Sequence[str]], chain: str, sample_rate: int
) -> MixGraph:
    """The console of :func:`graphmix.graph.mixing_console`; without a track only its output."""
    if any(buses.values()):
        return mixing_console(NodeTypes(tuple(types), sample_rate), buses, chain)
    graph = MixGraph(types, sample_rate)
    graph.add("out", name="mix")
    return graph


def flat_console(types: Iterable[NodeType], tracks: Sequence[str], chain: str, sample_rate: int) -> MixGraph:
    """Each track through the same chain, and their sum: the channels of a DMC.

    Nodes are numbered track by track: its input, then its chain; the output is the last.
    """
    own = split_chain(chain)
    width = len(own) + 1
    out = width * len(tracks)
    starts = range(0, out, width)
    edges = [(node, node + 1) for start in starts for node in range(start, start + len(own))]
    edges += [(start + len(own), out) for start in starts]
    kinds = [*("in", *own) * len(tracks), "out"]
    names = [label for track in tracks for label in (track, *[""] * len(own))]
    return MixGraph.from_lists(types, kinds, edges, [*names, "mix"], sample_rate)


def console_places(num_tracks: int, num_buses: int, chain_length: int) -> tuple[Tensor, Tensor]:
    """Places of the nodes of a full console: (on a track 0 or a bus 1, place in its chain), [num_nodes] each.

    Both are -1 for inputs, mixes and the output. For consoles of :func:`graphmix.graph.mixing_console`, none of whose
    subgroups is empty.
    """
    place = torch.arange(chain_length)
    none, inputs = torch.full((1,), -1), torch.full((num_tracks,), -1)
    on_track, on_bus = torch.zeros(chain_length, dtype=torch.long), torch.ones(chain_length, dtype=torch.long)
    roles = [inputs, *[on_track] * num_tracks, *[none, on_bus] * num_buses, none]
    places = [inputs, *[place] * num_tracks, *[none, place] * num_buses, none]
    return torch.cat(roles), torch.cat(places)


def with_silent(graph: MixGraph, silent: Sequence[str]) -> MixGraph:
    """The graph with one more input for each silent track, and a bare edge from it to the output."""
    graph = copy.copy(graph)
    out = int(graph.nodes_of("out")[0])
    for name in silent:
        graph.connect(graph.add("in", name=name), out)
    return graph


def console_of_faders(
    types: Iterable[NodeType], tracks: Sequence[str], silent: Sequence[str], gain_db: Tensor, sample_rate: int
) -> MixGraph:
    """One gain for each track, the sum, and a bare edge from each silent track; on the CPU.

    Args:
        types: of the graph.
        tracks: names of the active ones.
        silent: names of the others.
        gain_db: left and right in dB, [tracks, 2].
        sample_rate: in Hz.
    """
    graph = flat_console(types, tracks, "g", sample_rate)
    graph.params["gain"] = gain_db
    return with_silent(graph, silent)


def set_console(
    console: MixGraph,
    silent: Sequence[str],
    params: Mapping[str, Tensor],
    wet: Tensor,
    keep: Tensor,
    *,
    soft: bool,
    model: str,
    center_db: float = 0.0,
    keep_from: float = KEEP_FROM,
) -> MixGraph:
    """A proposal: a console over the active tracks with its settings, and the silent tracks.

    Args:
        console: on the CPU.
        silent: names of silent tracks.
        params: {type: [nodes, width]}, physical; gradients flow through.
        wet: dry/wet weights, [num_nodes]; only those of processors count.
        keep: probability that each node stays, [num_nodes]; only those of processors count.
        soft: nodes have ``keep`` times their weight, else their weight.
        model: its name, for the provenance.
        center_db: gains whose left and right differ by less become equal.
        keep_from: nodes with a smaller probability are removed.
    """
    if center_db and "gain" in params:
        params = {**params, "gain": centered(params["gain"], center_db)}
    prunable = console.prunable.to(wet.device)
    graph = with_silent(console, silent).to(wet.device)
    weights = torch.where(prunable, wet * keep if soft else wet, 1.0)
    graph.wet = torch.cat([weights, weights.new_ones(len(silent))])
    graph.params = {**graph.params, **params}
    graph.info = replace(graph.info, provenance={"model": model})
    dropped = (prunable & (keep.detach() < keep_from)).nonzero().flatten()
    return remove_nodes(graph, dropped) if dropped.numel() else graph


def centered(gain_db: Tensor, within: float) -> Tensor:
    """Gains [nodes, 2]; left and right become their mean where they differ by less than so many dB."""
    near = (gain_db[:, :1] - gain_db[:, 1:]).abs() < within
    return torch.where(near, gain_db.mean(1, keepdim=True), gain_db)
