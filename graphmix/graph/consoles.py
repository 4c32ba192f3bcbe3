"""The mixing console of section 2.2 of the pruning paper (figure 2a).

Each track passes through a chain of processors, tracks are summed by subgroup, each subgroup passes through the
same chain, and all go to the output. The chain is a string of letters, e.g. ``"ecnsgdr"``. Real consoles have another
chain behind the sum, the master chain, which the paper's has not.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.spec import HasNodeTypes

CONSOLE_CHAIN = "ecnsgdr"
"""The order of section 2.2: equalizer, compressor, noisegate, imager, gain, delay, reverb."""

MASTER_CHAIN = "ecsgl"
"""A usual order behind the sum: equalizer, compressor, imager, gain, limiter."""


def mixing_console(
    rack: HasNodeTypes, subgroups: Mapping[str, Sequence[str]], chain: str = CONSOLE_CHAIN, master: str = ""
) -> MixGraph:
    """A full console over subgroups of tracks.

    Args:
        rack: whose node types and sample rate the graph takes: a :class:`graphmix.processors.Rack`, or
            :class:`graphmix.spec.NodeTypes` where no processors are at hand.
        subgroups: bus name to the names of its tracks; inputs are numbered in this order.
        chain: letters of the processors on every track and every bus; may be empty.
        master: letters of the processors behind the sum; none in the paper. The first of them sums the buses.

    Raises:
        GraphError: an unknown letter, a processor with several ports, a track in two subgroups, no track.
    """
    graph = MixGraph(rack.types, rack.sample_rate)
    _check_chain(graph, chain, "chain")
    _check_chain(graph, master, "master chain")
    for bus, members in subgroups.items():
        if isinstance(members, str):
            raise GraphError(f"the tracks of subgroup {bus!r} are the text {members!r}; give a list of names.")
    tracks = [track for members in subgroups.values() for track in members]
    if not tracks:
        raise GraphError("a console needs at least one track; all subgroups are empty.")
    twice = next((track for track in tracks if tracks.count(track) > 1), None)
    if twice is not None:
        raise GraphError(f"track {twice!r} is in two subgroups; give it to one.")
    kinds, names, edges = ["in"] * len(tracks), list(tracks), list[tuple[int, int]]()

    def add_chain(start: int, letters: str = chain) -> int:
        """The last node of a new chain behind a node."""
        nodes = [start, *range(len(kinds), len(kinds) + len(letters))]
        kinds.extend(letters)
        names.extend([""] * len(letters))
        edges.extend(pairwise(nodes))
        return nodes[-1]

    ends = {track: add_chain(node) for node, track in enumerate(tracks)}
    buses = []
    for bus, members in subgroups.items():
        if not members:
            continue
        mix = len(kinds)
        kinds.append("mix")
        names.append(bus)
        edges.extend((ends[track], mix) for track in members)
        buses.append(add_chain(mix))
    total = len(kinds)
    kinds.append(master[0] if master else "out")
    names.append("" if master else "mix")
    edges.extend((end, total) for end in buses)
    if master:
        edges.append((add_chain(total, master[1:]), len(kinds)))
        kinds.append("out")
        names.append("mix")
    return MixGraph.from_lists(graph.types.types, kinds, edges, names, rack.sample_rate)


def _check_chain(graph: MixGraph, chain: str, what: str) -> None:
    usable = {t.letter: t for t in graph.types.types if t.can_be_bypassed and len(t.inlets) == 1}
    for position, letter in enumerate(chain):
        if letter not in usable:
            known = ", ".join(f"{t.letter} {t.name}" for t in usable.values())
            raise GraphError(f"letter {letter!r} at place {position + 1} of {what} {chain!r} is none of: {known}.")
