"""A picture of a mixing graph in the style of figures 2 and 5 of the pruning paper.

Signal flows from left to right, each track has a row, each node is a box with the letter (or initials) of its type;
inputs, mixes and outputs are circles. The full colour fills a box up to its dry/wet weight, a tint the rest. Edges into
a second inlet (sidechains) are dashed; ports are named where a node has several. The figure grows with the graph and
its data coordinates are inches, rows downwards, so that a letter has the same size at 3 and at 130 tracks.
"""

import itertools
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch, Rectangle
from matplotlib.path import Path

from graphmix.errors import GraphError
from graphmix.graph import MixGraph
from graphmix.graph.topology import Edge, neighbours
from graphmix.plots.fonts import apply_fonts
from graphmix.plots.labels import readable, shortened, text_width
from graphmix.plots.layered import layered_layout
from graphmix.plots.lines import Point, angled, curved
from graphmix.plots.palette import color_of, ink_on, tint
from graphmix.plots.placement import (
    PORT_PITCH,
    Layout,
    height_of,
    nodes_overlap,
    port_offset,
)
from graphmix.plots.tree import is_mostly_tree, tree_layout

NODE = 0.2
"""Side of a box, in inches; as all lengths here."""
ROW = 0.265
_GAP = 0.13
_JOIN_GAP = 0.3
_LABEL_GAP = 0.05
_TRACK = 0.09
_MARGIN = 0.12
_LETTER_POINTS, _NAME_POINTS, _PORT_POINTS, _LEGEND_POINTS, _TITLE_POINTS = 7.5, 7.0, 5.0, 7.0, 10.0
_LONGEST_NAME, _LONGEST_BUS = 44, 28
_DRY_STRENGTH = 0.3
_INK, _EDGE, _BAND = "#222222", "#6a6a6a", "#f3f3f1"
_DPI, _LARGEST_SIDE_PIXELS = 150, 30000


def plot_graph(graph: MixGraph, title: str | None = None) -> Figure:
    """Draw a graph.

    Args:
        graph: any acyclic graph; one in which every node feeds one other is drawn as a console, with a band
            behind each subgroup.
        title: printed above.

    Raises:
        GraphError: the graph has no nodes, is a batch, or has a cycle.
    """
    if "info" in graph and isinstance(graph.info, list):
        raise GraphError("plot the graphs of a batch one by one: for graph in batch.to_data_list().")
    if "info" not in graph or graph.node_type.numel() == 0:
        raise GraphError("cannot plot a graph without nodes; add inputs, processors and an output first.")
    return _Drawing(graph, _laid_out(graph), title).figure


def _laid_out(graph: MixGraph) -> Layout:
    edges = graph.edges()
    if is_mostly_tree(edges):
        layout = tree_layout(graph, edges)
        if not nodes_overlap(graph, layout):
            return layout
    return layered_layout(graph, edges)


@dataclass(frozen=True)
class _Box:
    """A node on paper: its middle and half its sides."""

    x: float
    y: float
    half_width: float
    half_height: float


class _Drawing:
    """One figure in the making; the steps of ``__init__`` are in the order of the picture's layers."""

    def __init__(self, graph: MixGraph, layout: Layout, title: str | None) -> None:
        self.graph, self.layout = graph, layout
        self.types = [graph.types[index] for index in graph.node_type.tolist()]
        self.before, self.after = neighbours(len(self.types), layout.edges)
        limits = [_LONGEST_BUS if sources else _LONGEST_NAME for sources in self.before]
        self.names = [shortened(name, limit) for name, limit in zip(graph.names, limits, strict=True)]
        self.left = max(
            (text_width(n, _NAME_POINTS) for v, n in enumerate(self.names) if n and not self.before[v]), default=0.0
        )
        self.middles = self._column_middles()
        self.right = self.middles[-1] + NODE / 2 + _MARGIN + self._room_after(len(self.middles) - 1)
        legend = self._legend_items()
        widest = max((width for *_, width in legend), default=0.0)
        self.width = max(self.right, widest + 2 * _MARGIN, 2.4)
        self.title = self._wrapped(title)
        self.top = _MARGIN + 0.19 * len(self.title) + (0.06 if self.title else 0)
        bottom = self.top + self._rows() * ROW
        lines = self._legend_lines(legend)
        self.height = bottom + 0.14 + 0.22 * len(lines) + _MARGIN / 2
        self.boxes = [self._box(v) for v in range(len(self.types))]
        self.figure, self.axes = self._canvas()
        self._draw_title()
        self._draw_bands()
        self._draw_edges()
        self._draw_nodes()
        self._draw_names()
        self._draw_ports()
        self._draw_legend(lines, bottom + 0.14)
        apply_fonts(self.figure)

    # --- measures

    def _rows(self) -> float:
        tall = (row + (height_of(t) + 1) / 2 for row, t in zip(self.layout.row, self.types, strict=True))
        return max(self.layout.rows, *tall)

    def _column_middles(self) -> list[float]:
        """x of each column: gaps hold the labels on both sides and the lines that join or cross."""
        middles = [_MARGIN + self.left + _LABEL_GAP + NODE / 2]
        turning, spread = self._turning_columns(), self._spread()
        for c in range(1, max(self.layout.column) + 1):
            labels = self._room_after(c - 1) + self._room_before(c)
            gap = _LABEL_GAP if labels and self.layout.angled else _GAP + min(0.6, 0.06 * spread.get(c, 0.0))
            tracks = _TRACK * self.layout.tracks.get(c, 0)
            middles.append(middles[-1] + NODE + labels + tracks + (_JOIN_GAP if c in turning else gap))
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
                room = max(room, 2 * _LABEL_GAP + text_width(self.names[v], _NAME_POINTS, "bold"))
            if len(t.outlets) > 1:
                room = max(room, *(0.1 + text_width(readable(name), _PORT_POINTS) for name in t.outlets))
        return room

    def _room_before(self, column: int) -> float:
        at = [t for v, t in enumerate(self.types) if self.layout.column[v] == column and len(t.inlets) > 1]
        return max((0.1 + text_width(readable(name), _PORT_POINTS) for t in at for name in t.inlets), default=0.0)

    def _y(self, row: float) -> float:
        return self.top + (row + 0.5) * ROW

    def _box(self, v: int) -> _Box:
        ports = max(len(self.types[v].inlets), len(self.types[v].outlets), 1)
        half = NODE / 2 + (ports - 1) * PORT_PITCH * ROW / 2
        return _Box(self.middles[self.layout.column[v]], self._y(self.layout.row[v]), NODE / 2, half)

    def _canvas(self) -> tuple[Figure, Axes]:
        dpi = min(_DPI, _LARGEST_SIDE_PIXELS / max(self.width, self.height))
        figure = Figure(figsize=(self.width, self.height), dpi=dpi, facecolor="white")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, self.width), ylim=(self.height, 0))
        axes.set_axis_off()
        return figure, axes

    def _write(self, x: float, y: float, text: str, points: float, **style: Any) -> None:
        look = {"color": _INK, "va": "center_baseline", **style}
        self.axes.text(x, y, text, fontsize=points, parse_math=False, **look)

    # --- layers, from the back to the front

    def _wrapped(self, title: str | None) -> list[str]:
        if not title:
            return []
        characters = int((self.width - 2 * _MARGIN) / text_width("n", _TITLE_POINTS, "bold"))
        return textwrap.wrap(readable(title), max(10, characters))

    def _draw_title(self) -> None:
        for i, line in enumerate(self.title):
            y = _MARGIN + 0.19 * (i + 0.5)
            self._write(_MARGIN, y, line, _TITLE_POINTS, weight="bold", gid="title")

    def _draw_bands(self) -> None:
        outs = [self.boxes[v].x for v, sources in enumerate(self.before) if sources and not self.after[v]]
        end = min(outs, default=self.right) - NODE / 2 - _JOIN_GAP + 0.06
        pad = 0.07
        for i, (first, last) in enumerate(self.layout.bands):
            y, bottom = self._y(first) - ROW / 2 - 0.02, self._y(last) + ROW / 2 + 0.02
            band = FancyBboxPatch(
                (pad + 0.03, y + 0.03),
                end - pad - 0.06,
                bottom - y - 0.06,
                boxstyle="round,pad=0.03,rounding_size=0.06",
                facecolor=_BAND,
                edgecolor="none",
                zorder=0,
                gid=f"band-{i}",
            )
            self.axes.add_patch(band)

    def _draw_edges(self) -> None:
        solid: list[Path] = []
        dashed: list[Path] = []
        twins: dict[Edge, int] = {}
        for i, edge in enumerate(self.layout.edges):
            twins[edge] = twins.get(edge, 0) + 1
            path = self._angled(i, edge) if self.layout.angled else self._curved(i, edge, twins[edge] - 1)
            (dashed if edge.inlet > 0 else solid).append(path)
        look: dict[str, Any] = {"facecolors": "none", "edgecolors": _EDGE, "linewidths": 0.8, "zorder": 1}
        for paths, style in ((solid, "solid"), (dashed, (0, (3.2, 1.8)))):
            if paths:
                self.axes.add_collection(PathCollection(paths, linestyles=[style], **look))

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
            turn = end[0] - self._room_before(column) - _JOIN_GAP / 2
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

    def _draw_nodes(self) -> None:
        for v, (t, box, wet) in enumerate(zip(self.types, self.boxes, self.graph.wet.tolist(), strict=True)):
            color = color_of(t.name)
            if not t.is_processor:
                circle = Circle((box.x, box.y), NODE / 2, facecolor=color, edgecolor="white", lw=0.6, zorder=3)
                circle.set_gid(f"node-{v}")
                self.axes.add_patch(circle)
            else:
                self._draw_processor(v, color, box, min(1.0, max(0.0, wet)))
            look = {"ha": "center", "color": ink_on(color), "zorder": 5, "gid": f"letter-{v}"}
            self._write(box.x, box.y, readable(t.mark), _LETTER_POINTS, **look)

    def _draw_processor(self, v: int, color: str, box: _Box, wet: float) -> None:
        inset = 0.03
        frame = FancyBboxPatch(
            (box.x - box.half_width + inset, box.y - box.half_height + inset),
            2 * (box.half_width - inset),
            2 * (box.half_height - inset),
            boxstyle=f"round,pad={inset},rounding_size=0.045",
            facecolor=color if wet == 1 else tint(color, _DRY_STRENGTH),
            edgecolor="none" if wet == 1 else color,
            lw=0.6,
            zorder=3,
            gid=f"node-{v}",
        )
        self.axes.add_patch(frame)
        if 0 < wet < 1:
            height = 2 * box.half_height * wet
            corner = (box.x - box.half_width, box.y + box.half_height - height)
            fill = Rectangle(corner, 2 * box.half_width, height, facecolor=color, lw=0, zorder=4, gid=f"wet-{v}")
            self.axes.add_patch(fill)
            fill.set_clip_path(frame)

    def _draw_names(self) -> None:
        """Tracks to the left of their inputs; all else to the right of its node, above the edge."""
        for v, (name, box) in enumerate(zip(self.names, self.boxes, strict=True)):
            if not name:
                continue
            gid = f"name-{v}"
            if not self.before[v]:
                self._write(box.x - NODE / 2 - _LABEL_GAP, box.y, name, _NAME_POINTS, ha="right", gid=gid)
                continue
            above = "center_baseline" if not self.after[v] else "bottom"
            y = box.y if not self.after[v] else box.y - 0.015
            self._write(box.x + NODE / 2 + _LABEL_GAP, y, name, _NAME_POINTS, weight="bold", va=above, gid=gid)

    def _draw_ports(self) -> None:
        for v, (t, box) in enumerate(zip(self.types, self.boxes, strict=True)):
            for side, ports, align in ((-1, t.inlets, "right"), (1, t.outlets, "left")):
                if len(ports) < 2:
                    continue
                for i, name in enumerate(map(readable, ports)):
                    y = box.y + port_offset(i, len(ports)) * ROW
                    x = box.x + side * (box.half_width + 0.03)
                    self._write(x, y - 0.01, name, _PORT_POINTS, ha=align, va="bottom", gid=f"port-{v}-{name}")

    # --- legend

    def _legend_items(self) -> list[tuple[str, str, str, float]]:
        """(letter, colour, text, width) of the types that occur, and of the weights where they matter."""
        items = []
        for index, t in enumerate(self.graph.types.types):
            count = int((self.graph.node_type == index).sum())
            if count:
                items.append((t.mark, t.name, f"{readable(t.name.replace('_', ' '))} × {count}"))
        weighted = any(t.is_processor and wet < 1 for t, wet in zip(self.types, self.graph.wet.tolist(), strict=True))
        if weighted:
            items.append(("", "", "filled to its dry/wet weight"))
        return [(a, b, c, NODE + _LABEL_GAP + text_width(c, _LEGEND_POINTS) + 0.16) for a, b, c in items]

    def _legend_lines(self, items: Sequence[tuple[str, str, str, float]]) -> list[list[tuple[str, str, str, float]]]:
        lines: list[list[tuple[str, str, str, float]]] = [[]]
        for item in items:
            if lines[-1] and sum(width for *_, width in [*lines[-1], item]) > self.width - 2 * _MARGIN:
                lines.append([])
            lines[-1].append(item)
        return lines

    def _draw_legend(self, lines: list[list[tuple[str, str, str, float]]], top: float) -> None:
        for i, line in enumerate(lines):
            x, y = _MARGIN, top + 0.22 * i + NODE / 2
            for letter, name, text, width in line:
                self._draw_sample(x + NODE / 2, y, letter, name)
                self._write(x + NODE + _LABEL_GAP, y, text, _LEGEND_POINTS, gid="legend")
                x += width

    def _draw_sample(self, x: float, y: float, letter: str, name: str) -> None:
        half = NODE / 2 - 0.015
        if not name:
            grey = color_of("mix")
            for height, color in ((2 * half, tint(grey, _DRY_STRENGTH)), (1.2 * half, grey)):
                self.axes.add_patch(Rectangle((x - half, y + half - height), 2 * half, height, facecolor=color))
            return
        color = color_of(name)
        if self.graph.types.by_letter(name).is_processor:
            box = (x - half + 0.03, y - half + 0.03)
            side = 2 * half - 0.06
            style = "round,pad=0.03,rounding_size=0.045"
            self.axes.add_patch(FancyBboxPatch(box, side, side, boxstyle=style, facecolor=color, edgecolor="none"))
        else:
            self.axes.add_patch(Circle((x, y), half, facecolor=color))
        self._write(x, y, readable(letter), _LETTER_POINTS - 0.5, ha="center", color=ink_on(color), gid="legend-letter")
