"""The nodes of a graph as a page shows them: settings, curves, and what goes in and comes out where it is loudest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from graphmix.audio.song import Song
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.strips import find_strips, place_names
from graphmix.graph.tables import ProcessorRow, Reductions, describe_graph
from graphmix.graph.topology import neighbours, reachable
from graphmix.processors.rack import Rack
from graphmix.render.taps import Tap
from graphmix.report.chart import Played
from graphmix.report.charts import charts_of
from graphmix.report.page import NodePart, TrackPart
from graphmix.report.signals import read_signals, tap_into
from graphmix.report.sound import Sound, prepare
from graphmix.report.windows import Energies, choose_windows

_FEW = 6
"""A parameter with more values than this is not listed value by value."""


@dataclass(frozen=True)
class Parts:
    """What a page shows of a graph's nodes and tracks, and the sounds that these name by key."""

    nodes: list[NodePart] = field(default_factory=list)
    tracks: list[TrackPart] = field(default_factory=list)
    pieces: dict[str, Sound] = field(default_factory=dict)


def piece_count(graph: MixGraph) -> int:
    """How many pieces of sound the nodes of a graph need."""
    edges = graph.edges()
    taps = {Tap(v) for v in range(graph.node_type.numel())}
    return len(taps | {tap_into(graph, v, edges) for v in range(graph.node_type.numel()) if graph.type_of(v).inlets})


def describe_nodes(
    graph: MixGraph,
    song: Song | None,
    rack: Rack | None,
    energies: Energies | None,
    seconds: float,
    song_seconds: float,
    reductions: Reductions | None = None,
) -> Parts:
    """The nodes of a graph with their settings, and where song and rack are known, with their sounds and curves.

    Args:
        graph: to be shown.
        song: at the graph's rate.
        rack: its processors.
        energies: of the song's tracks, see :func:`graphmix.report.windows.survey`.
        seconds: length of a piece.
        song_seconds: length of the song.
        reductions: what compressors and gates take off over the song.
    """
    signals, starts = dict[tuple[Tap, float], Tensor](), dict[int, float]()
    if song is not None and rack is not None and energies is not None:
        starts = _starts(graph, song, energies, seconds, song_seconds)
        signals = _read(graph, song, rack, starts, seconds)
    reader = _Describer(graph, rack, signals, starts, song_seconds, reductions or {})
    return reader.parts()


def _feeds(graph: MixGraph, tracks: Sequence[str]) -> dict[int, list[int]]:
    """Node -> rows of the tracks whose sound reaches it."""
    row = {name: i for i, name in enumerate(tracks)}
    before, _ = neighbours(graph.node_type.numel(), graph.edges())
    inputs = {node: row[name] for node, name in zip(graph.nodes_of("in").tolist(), graph.input_names, strict=True)}
    return {v: sorted(inputs[n] for n in reachable(before, [v]) if n in inputs) for v in range(len(before))}


def _starts(graph: MixGraph, song: Song, energies: Energies, seconds: float, song_seconds: float) -> dict[int, float]:
    """Where the piece of each node begins: one stretch for all of a chain, so that its pieces can be shared."""
    feeds = _feeds(graph, song.track_names)
    return choose_windows(energies, feeds, seconds, song_seconds)


def _taps_of(graph: MixGraph, node: int) -> list[Tap]:
    edges = graph.edges()
    return [Tap(node)] if not graph.type_of(node).inlets else [tap_into(graph, node, edges), Tap(node)]


def _read(
    graph: MixGraph, song: Song, rack: Rack, starts: Mapping[int, float], seconds: float
) -> dict[tuple[Tap, float], Tensor]:
    """The signals at all nodes, each in its stretch."""
    wanted: dict[float, set[Tap]] = {}
    for node, start in starts.items():
        wanted.setdefault(start, set()).update(_taps_of(graph, node))
        wanted[start].update(_detector(graph, node))
    signals: dict[tuple[Tap, float], Tensor] = {}
    for start, taps in wanted.items():
        found = read_signals(graph, song, rack, taps, start, min(seconds, song.num_samples / song.sample_rate))
        signals |= {(tap, start): signal for tap, signal in found.items()}
    return signals


def _detector(graph: MixGraph, node: int) -> list[Tap]:
    """Where the input of a sidechain's detector can be read, if one edge brings it."""
    inlets = len(graph.type_of(node).inlets)
    if inlets < 2:
        return []
    into = [edge for edge in graph.edges() if edge.target == node and edge.inlet == inlets - 1]
    return [Tap(into[0].source)] if len(into) == 1 and into[0].outlet == 0 else []


class _Describer:
    """Makes the parts of one graph."""

    def __init__(
        self,
        graph: MixGraph,
        rack: Rack | None,
        signals: Mapping[tuple[Tap, float], Tensor],
        starts: Mapping[int, float],
        song_seconds: float,
        reductions: Reductions,
    ) -> None:
        self.graph, self.rack, self.signals, self.starts = graph, rack, signals, starts
        self.song_seconds = song_seconds
        self.pieces: dict[str, Sound] = {}
        chains = describe_graph(graph, reductions)
        self.rows = {row.node: row for chain in chains for row in chain.processors}
        self.inputs = {chain.node: chain for chain in chains}
        self.places = place_names(graph)
        self.row = graph.rows().tolist()

    def parts(self) -> Parts:
        """All nodes in node order, and the tracks in the order of the song."""
        nodes = [self._node(v) for v in range(self.graph.node_type.numel())]
        return Parts(nodes, self._tracks() if self.signals else [], self.pieces)

    def _tracks(self) -> list[TrackPart]:
        strips = find_strips(self.graph)
        inputs = dict(zip(self.graph.input_names, self.graph.nodes_of("in").tolist(), strict=True))
        order = [chain.label for chain in self.inputs.values() if chain.kind == "track"]
        found = []
        for name in order:
            node, strip = inputs.get(name), strips.tracks.get(name, ())
            if node is None:
                continue
            dry = self._piece(Tap(node), node)
            chain = self._piece(Tap(strip[-1]), node) if strip else None
            words = ", ".join(self.graph.type_of(v).name.replace("_", " ") for v in strip)
            if dry is not None:
                found.append(TrackPart(name, dry, chain, words or "straight into the mix"))
        return found

    def _piece(self, tap: Tap, node: int) -> str | None:
        """Key of the sound at a tap in a node's stretch."""
        start = self.starts.get(node)
        signal = None if start is None else self.signals.get((tap, start))
        if signal is None or start is None:
            return None
        key = f"{'in' if tap.incoming else 'out'}-{tap.node}-{start:g}"
        if key not in self.pieces:
            self.pieces[key] = prepare(signal, self.graph.sample_rate, start)
        return key

    def _node(self, v: int) -> NodePart:
        kind, row = self.graph.type_of(v), self.rows.get(v)
        words = {"in": "A track, as it lies on disk.", "mix": "A sum.", "out": "The mix."}
        taps = _taps_of(self.graph, v)
        before = self._piece(taps[0], v) if len(taps) > 1 else None
        name = self.graph.names[v]
        title = kind.name.replace("_", " ") if row is not None else (name or kind.name)
        return NodePart(
            node=v,
            title=f"{title}: {name}" if row is not None and name else title,
            kind=kind.name.replace("_", " "),
            place=self.places[v],
            settings=words.get(kind.name, "") if row is None else row.settings,
            wet=1.0 if row is None else round(row.wet, 4),
            folded=True if row is None else row.folded,
            values=() if row is None else self._values(v, row),
            charts=() if row is None else self._charts(v),
            before=before,
            after=self._piece(Tap(v), v),
        )

    def _values(self, v: int, row: ProcessorRow) -> list[tuple[str, str]]:
        """Parameters of few values, as they are stored."""
        stored = self.graph.params[row.type.name][self.row[v]].detach().double().cpu().numpy()
        found = []
        for p in row.type.parameters:
            if p.size <= _FEW:
                entries = stored[row.type.columns(p.name)]
                names = [p.choice_of(v).replace("_", " ") if p.choices else f"{v:.4g}" for v in entries]
                own = ", ".join(names)
                label = p.name.removesuffix("_" + p.unit.lower().replace("/", "_per_")).replace("_", " ")
                found.append((label, f"{own} {p.unit}".strip()))
        return found

    def _charts(self, v: int) -> list:
        kind = self.graph.type_of(v)
        processor = None if self.rack is None else self.rack.get(kind.name)
        if processor is None:
            return []
        params = self.graph.params[kind.name][self.row[v]].detach().cpu()
        stored = params.double().numpy()
        values = {p.name: np.asarray(stored[kind.columns(p.name)]) for p in kind.parameters}
        start, taps = self.starts.get(v, 0.0), _taps_of(self.graph, v)
        detector = _detector(self.graph, v)
        return charts_of(
            Played(
                processor, params, float(self.graph.wet[v]), self.song_seconds,
                self.signals.get((taps[0], start)) if len(taps) > 1 else None,
                self.signals.get((Tap(v), start)),
                self.signals.get((detector[0], start)) if detector else None,
                start, values,
            )
        )  # fmt: skip


def node_names(graph: MixGraph) -> list[str]:
    """For each node its type and where it stands, such as ``gain of 02_Bass.wav``."""
    places = place_names(graph)
    found = []
    for v, place in enumerate(places):
        kind = graph.type_of(v)
        if not kind.is_processor:
            found.append(graph.names[v] or kind.name)
        else:
            found.append(kind.name.replace("_", " ") + (f" of {place}" if place else ""))
    return found
