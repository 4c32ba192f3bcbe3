"""A graph as shapes for an SVG picture: the places of :mod:`graphmix.plots.geometry`, in hundredths of an inch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.path import Path

from graphmix.graph.mixgraph import MixGraph
from graphmix.plots.geometry import NAME_POINTS, PORT_POINTS, Geometry, Label, layout_of
from graphmix.plots.graph import DRY_STRENGTH
from graphmix.plots.labels import readable
from graphmix.plots.palette import color_of, ink_on, tint

UNITS = 100.0
"""In an inch."""
_POINT = UNITS / 72
_LETTERS = {
    int(Path.MOVETO): ("M", 1), int(Path.LINETO): ("L", 1), int(Path.CURVE3): ("Q", 2), int(Path.CURVE4): ("C", 3),
}  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """A node of the picture; all lengths in units."""

    node: int
    kind: str
    letter: str
    round: bool
    x: float
    y: float
    width: float
    height: float
    color: str
    tint: str
    ink: str
    wet: float
    label: str


@dataclass(frozen=True)
class Wire:
    """An edge of the picture."""

    path: str
    dashed: bool
    source: int
    target: int


@dataclass(frozen=True)
class Word:
    """Text of the picture."""

    x: float
    y: float
    text: str
    anchor: str
    size: float
    bold: bool


@dataclass(frozen=True)
class Drawing:
    """A picture of a graph."""

    width: float
    height: float
    bands: Sequence[tuple[float, float, float, float]]
    wires: Sequence[Wire]
    shapes: Sequence[Shape]
    words: Sequence[Word]
    legend: Sequence[tuple[str, str, str, str, bool]]
    """Letter, colour, ink, text and whether it is a circle, of each type that occurs."""


def draw(graph: MixGraph) -> Drawing:
    """The picture of a graph, as :func:`graphmix.plots.plot_graph` draws it.

    Raises:
        GraphError: as :func:`graphmix.plots.geometry.layout_of`.
    """
    places = Geometry(graph, layout_of(graph))
    wet = graph.wet.tolist()
    shapes = []
    for v, (t, box) in enumerate(zip(places.types, places.boxes, strict=True)):
        color = color_of(t.name)
        corner = _at(box.x - box.half_width), _at(box.y - box.half_height)
        size = _at(2 * box.half_width), _at(2 * box.half_height)
        name = graph.names[v] or f"{t.name.replace('_', ' ')} {v}"
        shapes.append(
            Shape(v, t.name, readable(t.letter), not t.is_processor, *corner, *size, color, tint(color, DRY_STRENGTH),
                  ink_on(color), min(1.0, max(0.0, wet[v])), name)
        )  # fmt: skip
    wires = [
        Wire(svg_path(line.path), line.dashed, edge.source, edge.target)
        for line, edge in zip(places.lines(), places.layout.edges, strict=True)
    ]
    words = [_word(label, NAME_POINTS) for label in places.labels()]
    words += [_word(label, PORT_POINTS) for label in places.port_labels()]
    bands = [(_at(b.left), _at(b.top), _at(b.right - b.left), _at(b.bottom - b.top)) for b in places.bands()]
    return Drawing(_at(places.right), _at(places.bottom) + 12, bands, wires, shapes, words, _legend(graph))


def _legend(graph: MixGraph) -> list[tuple[str, str, str, str, bool]]:
    found = []
    for index, t in enumerate(graph.types.types):
        count = int((graph.node_type == index).sum())
        if count:
            color = color_of(t.name)
            text = f"{readable(t.name.replace('_', ' '))} × {count}"
            found.append((readable(t.letter), color, ink_on(color), text, not t.is_processor))
    return found


def _word(label: Label, points: float) -> Word:
    anchor = "end" if label.align == "right" else "start"
    lift = -0.02 if label.above else points / 72 * 0.35
    bold = points == NAME_POINTS and label.align == "left"
    return Word(_at(label.x), _at(label.y + lift), label.text, anchor, round(points * _POINT, 2), bold)


def _at(inches: float) -> float:
    return round(inches * UNITS, 1)


def svg_path(path: Path) -> str:
    """A path of matplotlib as the ``d`` of an SVG path.

    >>> svg_path(Path([(0, 0), (1, 0.5)]))
    'M0 0L100 50'
    """
    vertices = np.asarray(path.vertices, dtype=np.float64)
    known = [int(Path.MOVETO), *[int(Path.LINETO)] * (len(vertices) - 1)]
    codes = known if path.codes is None else np.asarray(path.codes).tolist()
    text, i = "", 0
    while i < len(codes):
        letter, count = _LETTERS[codes[i]]
        text += letter + " ".join(f"{_at(x):g} {_at(y):g}" for x, y in vertices[i : i + count].tolist())
        i += count
    return text
