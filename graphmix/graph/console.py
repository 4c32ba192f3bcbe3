"""The mixing console of section 2.2 of the pruning paper (figure 2a).

Each track passes through a chain of processors, tracks are summed by subgroup, each subgroup passes through the
same chain, and all go to the output. The chain is a string of letters, e.g. ``"ecnsgdr"``.
"""

from collections.abc import Iterable, Mapping, Sequence

from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.spec import NodeType

CONSOLE_CHAIN = "ecnsgdr"
"""The order of section 2.2: equalizer, compressor, noisegate, imager, gain, delay, reverb."""


def mixing_console(
    types: Iterable[NodeType],
    subgroups: Mapping[str, Sequence[str]],
    chain: str = CONSOLE_CHAIN,
    sample_rate: int = 30000,
) -> MixGraph:
    """A full console over subgroups of tracks.

    Args:
        types: processor types, e.g. ``rack.types``.
        subgroups: bus name to the names of its tracks; inputs are numbered in this order.
        chain: letters of the processors on every track and every bus; may be empty.
        sample_rate: in Hz.

    Raises:
        GraphError: an unknown letter, a processor with several ports, a track in two subgroups, no track.
    """
    graph = MixGraph(types, sample_rate)
    _check_chain(graph, chain)
    for bus, members in subgroups.items():
        if isinstance(members, str):
            raise GraphError(f"the tracks of subgroup {bus!r} are the text {members!r}; give a list of names.")
    tracks = [track for members in subgroups.values() for track in members]
    if not tracks:
        raise GraphError("a console needs at least one track; all subgroups are empty.")
    twice = next((track for track in tracks if tracks.count(track) > 1), None)
    if twice is not None:
        raise GraphError(f"track {twice!r} is in two subgroups; give it to one.")
    inputs = {track: graph.add("in", name=track) for track in tracks}
    ends = {track: _add_chain(graph, inputs[track], chain) for track in tracks}
    buses = []
    for bus, members in subgroups.items():
        if not members:
            continue
        mix = graph.add("mix", name=bus)
        for track in members:
            graph.connect(ends[track], mix)
        buses.append(_add_chain(graph, mix, chain))
    out = graph.add("out", name="mix")
    for bus_end in buses:
        graph.connect(bus_end, out)
    return graph


def _check_chain(graph: MixGraph, chain: str) -> None:
    usable = {t.letter: t for t in graph.types.types if t.can_be_bypassed and len(t.inlets) == 1}
    for position, letter in enumerate(chain):
        if letter not in usable:
            known = ", ".join(f"{t.letter} {t.name}" for t in usable.values())
            raise GraphError(f"letter {letter!r} at place {position + 1} of chain {chain!r} is none of: {known}.")


def _add_chain(graph: MixGraph, start: int, chain: str) -> int:
    nodes = [start, *(graph.add(letter) for letter in chain)]
    graph.chain(*nodes)
    return nodes[-1]
