"""The mixing console of section 2.2 of the pruning paper (figure 2a).

Each track passes through a chain of processors, tracks are summed by subgroup, each subgroup passes through the
same chain, and all go to the output. The chain is a string of letters, e.g. ``"ecnsgdr"``, with names in brackets where
letters run out (:mod:`graphmix.chain_string`). Real consoles have another chain behind the sum, the
master chain, which the paper's has not.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch

from graphmix.chain_string import split_chain
from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.spec import HasNodeTypes, NodeType

CONSOLE_CHAIN = "ecnsgdr"
"""The order of section 2.2: equalizer, compressor, noisegate, imager, gain, delay, reverb."""

SEND = "u"
"""Letter of what feeds a return."""
RETURN_CHAIN = "e"
"""What stands behind the effect of a return."""
MASTER_CHAIN = "ecsgl"
"""A usual order behind the sum: equalizer, compressor, imager, gain, limiter."""


def mixing_console(
    rack: HasNodeTypes,
    subgroups: Mapping[str, Sequence[str]],
    chain: str = CONSOLE_CHAIN,
    master: str = "",
    sends: str = "",
) -> MixGraph:
    """A full console over subgroups of tracks.

    Args:
        rack: whose node types and sample rate the graph takes: a :class:`graphmix.processors.Rack`, or
            :class:`graphmix.spec.NodeTypes` where no processors are at hand.
        subgroups: bus name to the names of its tracks; inputs are numbered in this order.
        chain: the processors on every track and every bus, by letter or by name in brackets; may be empty.
        master: the same of those behind the sum; none in the paper. The first of them sums the buses.
        sends: the same of shared effects, such as ``"dr"``; none in the paper. For each there is a return: every track
            feeds it through a send from behind its own chain, and effect and an equalizer lead to the sum. A return
            carries the effect alone, so its dry/wet weight is 1, and sends begin closed, at 0.

    Raises:
        GraphError: an unknown letter, a processor with several ports, a track in two subgroups, no track.
    """
    graph = MixGraph(rack.types, rack.sample_rate)
    kinds = _check_chain(graph, chain, "chain")
    behind = _check_chain(graph, master, "master chain")
    shared = _check_chain(graph, sends, "sends")
    returned = _check_chain(graph, RETURN_CHAIN if shared else "", "returns")
    if shared and all(t.letter != SEND for t in rack.types):
        raise GraphError(f"sends need the letter {SEND!r} of a send in the rack; it has: {_letters(rack.types)}.")
    for bus, members in subgroups.items():
        if isinstance(members, str):
            raise GraphError(f"the tracks of subgroup {bus!r} are the text {members!r}; give a list of names.")
    tracks = [track for members in subgroups.values() for track in members]
    if not tracks:
        raise GraphError("a console needs at least one track; all subgroups are empty.")
    twice = next((track for track in tracks if tracks.count(track) > 1), None)
    if twice is not None:
        raise GraphError(f"track {twice!r} is in two subgroups; give it to one.")
    plan = _Plan(["in"] * len(tracks), list(tracks))
    ends = {track: plan.chain(node, kinds) for node, track in enumerate(tracks)}
    to_sum = []
    for bus, members in subgroups.items():
        if members:
            mix = plan.node("mix", bus)
            plan.edges.extend((ends[track], mix, 0) for track in members)
            to_sum.append(plan.chain(mix, kinds))
    for kind in shared:
        feeds = [plan.node(SEND) for _ in tracks]
        mix = plan.node("mix", f"{graph.types.by_letter(kind).name} return")
        plan.edges.extend((ends[track], feed, 1) for track, feed in zip(tracks, feeds, strict=True))
        plan.edges.extend((feed, mix, 0) for feed in feeds)
        to_sum.append(plan.chain(mix, [kind, *returned]))
    total = plan.node(behind[0]) if behind else plan.node("out", "mix")
    plan.edges.extend((end, total, 0) for end in to_sum)
    if behind:
        end = plan.chain(total, behind[1:])
        plan.edges.append((end, plan.node("out", "mix"), 0))
    return plan.graph(graph)


@dataclass
class _Plan:
    """Nodes and edges of a console before it is a graph.

    Args:
        kinds: type of each node, name or letter.
        names: label of each node.
        edges: (source, target, inlet) of each.
    """

    kinds: list[str]
    names: list[str]
    edges: list[tuple[int, int, int]] = field(default_factory=list)

    def node(self, kind: str, name: str = "") -> int:
        """A new node."""
        self.kinds.append(kind)
        self.names.append(name)
        return len(self.kinds) - 1

    def chain(self, start: int, kinds: Sequence[str]) -> int:
        """The last node of a new chain behind a node."""
        nodes = [start, *(self.node(kind) for kind in kinds)]
        self.edges.extend((source, target, 0) for source, target in pairwise(nodes))
        return nodes[-1]

    def graph(self, like: MixGraph) -> MixGraph:
        """The graph, with types and sample rate of another one; sends are closed."""
        edges = [(source, target) for source, target, _ in self.edges]
        graph = MixGraph.from_lists(like.types.types, self.kinds, edges, self.names, like.sample_rate)
        graph.edge_port[:, 1] = torch.tensor([inlet for _, _, inlet in self.edges], dtype=torch.long)
        graph.wet[[node for node, kind in enumerate(self.kinds) if kind == SEND]] = 0.0
        return graph


def _check_chain(graph: MixGraph, chain: str, what: str) -> list[str]:
    """Letters and names of a chain, all of which can stand in one."""
    kinds = split_chain(chain, what)
    usable = [t for t in graph.types.types if t.can_be_bypassed and len(t.inlets) == 1]
    known = {t.name for t in usable} | {t.letter for t in usable}
    for position, kind in enumerate(kinds):
        if kind not in known:
            word, known_types = "letter" if len(kind) == 1 else "name", _letters(usable)
            raise GraphError(f"{word} {kind!r} at place {position + 1} of {what} {chain!r} is none of: {known_types}.")
    return kinds


def _letters(types: Iterable[NodeType]) -> str:
    return ", ".join(t.label for t in types)
