"""Where everything of a graph's picture lies: boxes, lines, bands, names, ports. No drawing.

Lengths are inches, x to the right and y downwards from the upper left corner of the picture, so that a letter has the
same size at 3 and at 130 tracks. :func:`graphmix.plots.plot_graph` draws it with matplotlib, a report as SVG.
"""

import itertools
from dataclasses import dataclass
from typing import NamedTuple

from matplotlib.path import Path

from graphmix.errors import GraphError
from graphmix.graph import MixGraph
from graphmix.graph.topology import Edge, neighbours
from graphmix.plots.labels import readable, shortened, text_width
from graphmix.plots.layered import layered_layout
from graphmix.plots.lines import Point, angled, curved
from graphmix.plots.placement import PORT_PITCH, Layout, height_of, nodes_overlap, port_offset
from graphmix.plots.tree import is_mostly_tree, tree_layout

NODE = 0.2
"""Side of a box."""
ROW = 0.265
MARGIN = 0.12
LABEL_GAP = 0.05
JOIN_GAP = 0.3
NAME_POINTS, PORT_POINTS = 7.0, 5.0
_GAP = 0.13
_TRACK = 0.09
_LONGEST_NAME, _LONGEST_BUS = 44, 28
_BAND_PAD = 0.07


def layout_of(graph: MixGraph) -> Layout:
    """Places of a graph's nodes and edges.

    Raises:
        GraphError: the graph has no nodes, is a batch, or has a cycle.
    """
    if "info" in graph and isinstance(graph.info, list):
        raise GraphError("plot the graphs of a batch one by one: for graph in batch.to_data_list().")
    if "info" not in graph or graph.node_type.numel() == 0:
        raise GraphError("cannot plot a graph without nodes; add inputs, processors and an output first.")
    edges = graph.edges()
    if is_mostly_tree(edges):
        layout = tree_layout(graph, edges)
        if not nodes_overlap(graph, layout):
            return layout
    return layered_layout(graph, edges)


@dataclass(frozen=True)
class Box:
    """A node on paper: its middle and half its sides."""

    x: float
    y: float
    half_width: float
    half_height: float


class Band(NamedTuple):
    """The area behind a subgroup."""

    left: float
    top: float
    right: float
    bottom: float


class Line(NamedTuple):
    """An edge on paper; those into a second inlet are dashed."""

    path: Path
    dashed: bool


class Label(NamedTuple):
    """A word on paper.

    Attributes:
        x, y: of its end, by ``align``, and of its middle, or of its lower edge where it stands ``above`` a line.
        text: to be written.
        align: ``"left"`` or ``"right"``.
        above: whether it stands on a line.
        node: to which it belongs.
    """

    x: float
    y: float
    text: str
    align: str
    above: bool
    node: int


class Geometry:
    """Places on paper.

    Args:
        graph: any acyclic graph.
        layout: of its nodes.
        top: what is left free above it.
    """

    def __init__(self, graph: MixGraph, layout: Layout, top: float = MARGIN) -> None:
        self.graph, self.layout = graph, layout
        self.types = [graph.types[index] for index in graph.node_type.tolist()]
        self.before, self.after = neighbours(len(self.types), layout.edges)
        limits = [_LONGEST_BUS if sources else _LONGEST_NAME for sources in self.before]
        self.names = [shortened(name, limit) for name, limit in zip(graph.names, limits, strict=True)]
        self.left = max(
            (text_width(n, NAME_POINTS) for v, n in enumerate(self.names) if n and not self.before[v]), default=0.0
        )
        self.middles = self._column_middles()
        self.right = self.middles[-1] + NODE / 2 + MARGIN + self._room_after(len(self.middles) - 1)
        self.start_at(top)

    def start_at(self, top: float) -> None:
        """Leave so much free above."""
        self.top = top
        self.bottom = top + self._rows() * ROW
        self.boxes = [self._box(v) for v in range(len(self.types))]

    # --- measures

    def _rows(self) -> float:
        tall = (row + (height_of(t) + 1) / 2 for row, t in zip(self.layout.row, self.types, strict=True))
        return max(self.layout.rows, *tall)

    def _column_middles(self) -> list[float]:
        """x of each column: gaps hold the labels on both sides and the lines that join or cross."""
        middles = [MARGIN + self.left + LABEL_GAP + NODE / 2]
        turning, spread = self._turning_columns(), self._spread()
        for c in range(1, max(self.layout.column) + 1):
            labels = self._room_after(c - 1) + self._room_before(c)
            gap = LABEL_GAP if labels and self.layout.angled else _GAP + min(0.6, 0.06 * spread.get(c, 0.0))
            tracks = _TRACK * self.layout.tracks.get(c, 0)
            middles.append(middles[-1] + NODE + labels + tracks + (JOIN_GAP if c in turning else gap))
        return middles

    def _turning_columns(self) -> set[int]:
        """Columns before which a main edge of a tree leaves its row."""
        if not self.layout.angled:
            return set()
        main = (edge for i, edge in enumerate(self.layout.edges) if i not in self.layout.detours)
        return {self.layout.column[c.target] for c in main if abs(self._drop(c)) > 1e-6}

    def _drop(self, edge: Edge) -> float:
        """From outlet to inlet, in rows."""
        rows = []
        for v, port, ports in (
            (edge.source, edge.outlet, self.types[edge.source].outlets),
            (edge.target, edge.inlet, self.types[edge.target].inlets),
        ):
            rows.append(self.layout.row[v] + port_offset(port, max(1, len(ports))))
        return rows[1] - rows[0]

    def _spread(self) -> dict[int, float]:
        """For each column the most rows that one curved edge climbs to reach it."""
        spread: dict[int, float] = {}
        for i, edge in enumerate(self.layout.edges if not self.layout.angled else []):
            ends = [(self.layout.column[v], self.layout.row[v]) for v in (edge.source, edge.target)]
            stops = [ends[0], *self.layout.bends.get(i, []), ends[1]]
            for (_, a), (c, b) in itertools.pairwise(stops):
                spread[c] = max(spread.get(c, 0.0), abs(a - b))
        return spread

    def _room_after(self, column: int) -> float:
        """Width of the labels to the right of the nodes of a column."""
        room = 0.0
        for v, t in enumerate(self.types):
            if self.layout.column[v] != column:
                continue
            if self.names[v] and self.before[v]:
                room = max(room, 2 * LABEL_GAP + text_width(self.names[v], NAME_POINTS, "bold"))
            if len(t.outlets) > 1:
                room = max(room, *(0.1 + text_width(readable(name), PORT_POINTS) for name in t.outlets))
        return room

    def _room_before(self, column: int) -> float:
        at = [t for v, t in enumerate(self.types) if self.layout.column[v] == column and len(t.inlets) > 1]
        return max((0.1 + text_width(readable(name), PORT_POINTS) for t in at for name in t.inlets), default=0.0)

    def _y(self, row: float) -> float:
        return self.top + (row + 0.5) * ROW

    def _box(self, v: int) -> Box:
        ports = max(len(self.types[v].inlets), len(self.types[v].outlets), 1)
        half = NODE / 2 + (ports - 1) * PORT_PITCH * ROW / 2
        return Box(self.middles[self.layout.column[v]], self._y(self.layout.row[v]), NODE / 2, half)

    # --- what lies where

    def bands(self) -> list[Band]:
        """Areas of the subgroups."""
        outs = [self.boxes[v].x for v, sources in enumerate(self.before) if sources and not self.after[v]]
        end = min(outs, default=self.right) - NODE / 2 - JOIN_GAP + 0.06
        rows = ((self._y(first) - ROW / 2 - 0.02, self._y(last) + ROW / 2 + 0.02) for first, last in self.layout.bands)
        return [Band(_BAND_PAD, top, end, bottom) for top, bottom in rows]

    def lines(self) -> list[Line]:
        """The edges, in their order."""
        twins: dict[Edge, int] = {}
        found = []
        for i, edge in enumerate(self.layout.edges):
            twins[edge] = twins.get(edge, 0) + 1
            path = self._angled(i, edge) if self.layout.angled else self._curved(i, edge, twins[edge] - 1)
            found.append(Line(path, edge.inlet > 0))
        return found

    def labels(self) -> list[Label]:
        """Names: of tracks to the left of their inputs; all else to the right of its node, above the edge."""
        found = []
        for v, (name, box) in enumerate(zip(self.names, self.boxes, strict=True)):
            if not name:
                continue
            if not self.before[v]:
                found.append(Label(box.x - NODE / 2 - LABEL_GAP, box.y, name, "right", False, v))
                continue
            above = bool(self.after[v])
            y = box.y - 0.015 if above else box.y
            found.append(Label(box.x + NODE / 2 + LABEL_GAP, y, name, "left", above, v))
        return found

    def port_labels(self) -> list[Label]:
        """Names of ports, where a node has several."""
        found = []
        for v, (t, box) in enumerate(zip(self.types, self.boxes, strict=True)):
            for side, ports, align in ((-1, t.inlets, "right"), (1, t.outlets, "left")):
                for i, name in enumerate(map(readable, ports)) if len(ports) > 1 else ():
                    y = box.y + port_offset(i, len(ports)) * ROW
                    x = box.x + side * (box.half_width + 0.03)
                    found.append(Label(x, y - 0.01, name, align, True, v))
        return found

    def _ends(self, edge: Edge) -> tuple[Point, Point]:
        source, target = self.boxes[edge.source], self.boxes[edge.target]
        outlets, inlets = self.types[edge.source].outlets, self.types[edge.target].inlets
        start = (source.x + NODE / 2, source.y + port_offset(edge.outlet, len(outlets)) * ROW)
        end = (target.x - NODE / 2, target.y + port_offset(edge.inlet, max(1, len(inlets))) * ROW)
        return start, end

    def _angled(self, index: int, edge: Edge) -> Path:
        start, end = self._ends(edge)
        detour = self.layout.detours.get(index)
        column = self.layout.column[edge.target]
        if detour is None:  # the edges into one mix share a line before it
            turn = end[0] - self._room_before(column) - JOIN_GAP / 2
            return angled([start, (turn, start[1]), (turn, end[1]), end])
        x = self._track(self.layout.column[edge.source] + 1, detour.first_track)
        y = end[1] if detour.lane is None else self._y(detour.lane)
        last = end[0] if detour.lane is None else self._track(column, detour.last_track)
        return angled([start, (x, start[1]), (x, y), (last, y), (last, end[1]), end])

    def _track(self, column: int, track: int) -> float:
        """x of an upright track before a column."""
        return self.middles[column - 1] + NODE / 2 + self._room_after(column - 1) + _TRACK * (track + 0.8)

    def _curved(self, index: int, edge: Edge, twin: int) -> Path:
        start, end = self._ends(edge)
        start, end = ((x, y + 0.045 * twin) for x, y in (start, end))
        room = self._room_after(self.layout.column[edge.source])
        bends = [(self.middles[column], self._y(row)) for column, row in self.layout.bends.get(index, [])]
        pieces = [(start, (start[0] + room, start[1]))]
        pieces += [((x - NODE / 2, y), (x + NODE / 2, y)) for x, y in bends]
        pieces.append(((end[0] - self._room_before(self.layout.column[edge.target]), end[1]), end))
        return curved(pieces)
