"""A picture of a mixing graph in the style of figures 2 and 5 of the pruning paper.

Signal flows from left to right, each track has a row, each node is a box with the letter (or initials) of its type;
inputs, mixes and outputs are circles. The full colour fills a box up to its dry/wet weight, a tint the rest. Edges into
a second inlet (sidechains) are dashed; ports are named where a node has several. The figure grows with the graph and
its data coordinates are inches, rows downwards; where everything lies says :mod:`graphmix.plots.geometry`.
"""

import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch, Rectangle

from graphmix.graph import MixGraph
from graphmix.plots.fonts import apply_fonts
from graphmix.plots.geometry import LABEL_GAP, MARGIN, NAME_POINTS, NODE, PORT_POINTS, Box, Geometry, layout_of
from graphmix.plots.labels import readable, text_width
from graphmix.plots.palette import color_of, ink_on, tint
from graphmix.plots.placement import Layout

_LETTER_POINTS, _LEGEND_POINTS, _TITLE_POINTS = 7.5, 7.0, 10.0
DRY_STRENGTH = 0.3
"""Of the colour that stands for the dry part of a processor."""
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
    return _Drawing(graph, layout_of(graph), title).figure


class _Drawing:
    """One figure in the making; the steps of ``__init__`` are in the order of the picture's layers."""

    def __init__(self, graph: MixGraph, layout: Layout, title: str | None) -> None:
        self.graph = graph
        self.places = places = Geometry(graph, layout)
        self.types, self.boxes = places.types, places.boxes
        legend = self._legend_items()
        widest = max((width for *_, width in legend), default=0.0)
        self.width = max(places.right, widest + 2 * MARGIN, 2.4)
        self.title = self._wrapped(title)
        places.start_at(MARGIN + 0.19 * len(self.title) + (0.06 if self.title else 0))
        self.boxes = places.boxes
        lines = self._legend_lines(legend)
        self.height = places.bottom + 0.14 + 0.22 * len(lines) + MARGIN / 2
        self.figure, self.axes = self._canvas()
        self._draw_title()
        self._draw_bands()
        self._draw_edges()
        self._draw_nodes()
        self._draw_names()
        self._draw_ports()
        self._draw_legend(lines, places.bottom + 0.14)
        apply_fonts(self.figure)

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
        characters = int((self.width - 2 * MARGIN) / text_width("n", _TITLE_POINTS, "bold"))
        return textwrap.wrap(readable(title), max(10, characters))

    def _draw_title(self) -> None:
        for i, line in enumerate(self.title):
            y = MARGIN + 0.19 * (i + 0.5)
            self._write(MARGIN, y, line, _TITLE_POINTS, weight="bold", gid="title")

    def _draw_bands(self) -> None:
        for i, band in enumerate(self.places.bands()):
            patch = FancyBboxPatch(
                (band.left + 0.03, band.top + 0.03),
                band.right - band.left - 0.06,
                band.bottom - band.top - 0.06,
                boxstyle="round,pad=0.03,rounding_size=0.06",
                facecolor=_BAND,
                edgecolor="none",
                zorder=0,
                gid=f"band-{i}",
            )
            self.axes.add_patch(patch)

    def _draw_edges(self) -> None:
        lines = self.places.lines()
        look: dict[str, Any] = {"facecolors": "none", "edgecolors": _EDGE, "linewidths": 0.8, "zorder": 1}
        for dashed, style in ((False, "solid"), (True, (0, (3.2, 1.8)))):
            paths = [line.path for line in lines if line.dashed == dashed]
            if paths:
                self.axes.add_collection(PathCollection(paths, linestyles=[style], **look))

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

    def _draw_processor(self, v: int, color: str, box: Box, wet: float) -> None:
        inset = 0.03
        frame = FancyBboxPatch(
            (box.x - box.half_width + inset, box.y - box.half_height + inset),
            2 * (box.half_width - inset),
            2 * (box.half_height - inset),
            boxstyle=f"round,pad={inset},rounding_size=0.045",
            facecolor=color if wet == 1 else tint(color, DRY_STRENGTH),
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
        for name in self.places.labels():
            look: dict[str, Any] = {"ha": name.align, "gid": f"name-{name.node}"}
            if name.align == "left":
                look |= {"weight": "bold", "va": "bottom" if name.above else "center_baseline"}
            self._write(name.x, name.y, name.text, NAME_POINTS, **look)

    def _draw_ports(self) -> None:
        for port in self.places.port_labels():
            look = {"ha": port.align, "va": "bottom", "gid": f"port-{port.node}-{port.text}"}
            self._write(port.x, port.y, port.text, PORT_POINTS, **look)

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
        return [(a, b, c, NODE + LABEL_GAP + text_width(c, _LEGEND_POINTS) + 0.16) for a, b, c in items]

    def _legend_lines(self, items: Sequence[tuple[str, str, str, float]]) -> list[list[tuple[str, str, str, float]]]:
        lines: list[list[tuple[str, str, str, float]]] = [[]]
        for item in items:
            if lines[-1] and sum(width for *_, width in [*lines[-1], item]) > self.width - 2 * MARGIN:
                lines.append([])
            lines[-1].append(item)
        return lines

    def _draw_legend(self, lines: list[list[tuple[str, str, str, float]]], top: float) -> None:
        for i, line in enumerate(lines):
            x, y = MARGIN, top + 0.22 * i + NODE / 2
            for letter, name, text, width in line:
                self._draw_sample(x + NODE / 2, y, letter, name)
                self._write(x + NODE + LABEL_GAP, y, text, _LEGEND_POINTS, gid="legend")
                x += width

    def _draw_sample(self, x: float, y: float, letter: str, name: str) -> None:
        half = NODE / 2 - 0.015
        if not name:
            grey = color_of("mix")
            for height, color in ((2 * half, tint(grey, DRY_STRENGTH)), (1.2 * half, grey)):
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
