"""A sheet of settings: chain by chain what each processor is set to, and beside an equalizer or filter its curve.

The words are those of :mod:`graphmix.graph.engineering`. Lengths are inches.
"""

import math
import textwrap
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from graphmix.errors import GraphError
from graphmix.graph import MixGraph
from graphmix.graph.engineering import folded_db
from graphmix.graph.tables import ChainRow, ProcessorRow, Reductions, describe_graph
from graphmix.plots.fonts import apply_fonts
from graphmix.plots.labels import readable, shortened
from graphmix.plots.palette import color_of, ink_on
from graphmix.plots.panels import DPI, FAINT, GRID, INK
from graphmix.processors.base import LTIProcessor
from graphmix.processors.filters import Equalizer
from graphmix.processors.gear import FILTERS, Kinds

_WIDTH, _LINE, _MARGIN, _BOX = 8.6, 0.17, 0.15, 0.15
_TEXT_LEFT, _CURVE_LEFT, _CURVE_WIDTH, _CURVE_HEIGHT = 0.42, 6.0, 2.4, 0.6
_CHARACTERS, _LONGEST_NAME = 86, 60
_POINTS, _SMALL = 7.5, 5.0
_LOWEST_HZ, _LEAST_RANGE_DB = 20.0, 12.0
_BINS = 1 << 13
_TICKS_HZ = (100, 1000, 10000)
_LARGEST_SIDE_PIXELS = 30000


def plot_settings(graph: MixGraph, reductions: Reductions | None = None, title: str | None = None) -> Figure:
    """Draw the settings of a graph.

    Args:
        graph: one graph.
        reductions: what compressors and gates take off, where it is known.
        title: printed above.

    Raises:
        GraphError: the graph is a batch, or has no nodes.
    """
    if "info" not in graph or isinstance(graph.info, list) or graph.node_type.numel() == 0:
        raise GraphError("the settings of one graph with nodes can be drawn; take a batch apart first.")
    chains = describe_graph(graph, reductions)
    height = 2 * _MARGIN + _LINE * (1.5 if title else 0) + sum(map(_chain_height, chains))
    dpi = min(DPI, _LARGEST_SIDE_PIXELS / max(height, _WIDTH))
    figure = Figure(figsize=(_WIDTH, height), dpi=dpi, facecolor="white")
    sheet = figure.add_axes((0, 0, 1, 1))
    sheet.set(xlim=(0, _WIDTH), ylim=(height, 0))
    sheet.set_axis_off()
    y = _MARGIN
    if title:
        _write(sheet, _MARGIN, y + _LINE / 2, readable(title), weight="bold", fontsize=9.5, gid="title")
        y += 1.5 * _LINE
    for chain in chains:
        _write(sheet, _MARGIN, y + _LINE / 2, _heading(chain), weight="bold", gid=f"chain-{chain.node}")
        y += _LINE
        for row in chain.processors:
            _draw_row(figure, sheet, graph, row, y)
            y += _row_height(row)
        y += _LINE / 2
    apply_fonts(figure)
    return figure


def _heading(chain: ChainRow) -> str:
    where = f"  → {', '.join(map(readable, chain.outputs))}" if chain.outputs else ""
    return shortened(readable(chain.label) + where, _LONGEST_NAME)


def _lines(row: ProcessorRow) -> list[str]:
    """The settings, over several lines where they are long, and the weight where they do not say it."""
    text = row.settings if row.folded else ", ".join(filter(None, [row.settings, f"{100 * row.wet:.3g} % wet"]))
    return textwrap.wrap(readable(text), _CHARACTERS) or [""]


def _row_height(row: ProcessorRow) -> float:
    lines = _LINE * (len(_lines(row)) + 0.2)
    return max(lines, _CURVE_HEIGHT + 0.15) if _has_curve(row) else lines


def _chain_height(chain: ChainRow) -> float:
    return 1.5 * _LINE + sum(map(_row_height, chain.processors))


def _has_curve(row: ProcessorRow) -> bool:
    own = _filters(row.type.base_rate or 30000).get(row.type.name)
    return own is not None and [p.name for p in own.node_type.parameters] == [p.name for p in row.type.parameters]


@lru_cache(maxsize=4)
def _filters(sample_rate: int) -> dict[str, LTIProcessor]:
    """Filters whose curve is drawn, by name: they have one outlet, and are the same on both channels."""
    kinds: Kinds = (Equalizer, *FILTERS)
    found = (kind(sample_rate) for kind in kinds)
    return {p.node_type.name: p for p in found if isinstance(p, LTIProcessor)}


def _gain_db(row: ProcessorRow, values: torch.Tensor, sample_rate: int) -> np.ndarray:
    """Gain at equally spaced frequencies from 0 to half the sample rate, with the dry/wet weight in it."""
    if row.type.name == "equalizer":  # as it is set; its window smooths that a little
        return folded_db(values.numpy(), row.wet)
    with torch.no_grad():
        response = _filters(sample_rate)[row.type.name].response(values[None], _BINS)[0, 0]
    return np.asarray(20 * np.log10(np.maximum((row.wet * response + 1 - row.wet).abs().numpy(), 1e-5)))


def _draw_row(figure: Figure, sheet: Axes, graph: MixGraph, row: ProcessorRow, y: float) -> None:
    color = color_of(row.type.name)
    x = _MARGIN + 0.06
    box = FancyBboxPatch(
        (x + 0.03, y + 0.04), _BOX - 0.06, _BOX - 0.06, boxstyle="round,pad=0.03,rounding_size=0.04",
        facecolor=color, edgecolor="none", gid=f"node-{row.node}",
    )  # fmt: skip
    sheet.add_patch(box)
    middle = y + 0.01 + _BOX / 2
    letter = {"ha": "center", "color": ink_on(color), "fontsize": _POINTS - 1}
    _write(sheet, x + _BOX / 2, middle, readable(row.type.mark), **letter)
    for i, line in enumerate(_lines(row)):
        _write(sheet, _TEXT_LEFT, middle + i * _LINE, line, gid=f"settings-{row.node}")
    if _has_curve(row):
        values = graph.params[row.type.name][int(graph.rows()[row.node])].detach().double().cpu()
        width, height = figure.get_size_inches()
        bottom = height - y - _CURVE_HEIGHT
        place = (_CURVE_LEFT / width, bottom / height, _CURVE_WIDTH / width, _CURVE_HEIGHT / height)
        _draw_curve(
            figure.add_axes(place, gid=f"curve-{row.node}"),
            _gain_db(row, values, graph.sample_rate),
            graph.sample_rate,
            color,
        )


def _draw_curve(axes: Axes, gain_db: np.ndarray, sample_rate: int, color: str) -> None:
    """Gain over the logarithm of frequency, from 20 Hz to half the sample rate."""
    known = np.arange(len(gain_db)) * (sample_rate / max(2 * len(gain_db) - 1, 1))
    at = np.geomspace(_LOWEST_HZ, sample_rate / 2, 240)
    curve = np.interp(at, known, gain_db)
    reach = max(_LEAST_RANGE_DB, 6 * math.ceil(min(np.abs(curve).max(), 60) / 6))
    axes.axhline(0, color=FAINT, lw=0.5)
    axes.plot(at, curve, color=color, lw=1.1)
    axes.set(xscale="log", xlim=(_LOWEST_HZ, sample_rate / 2), ylim=(-reach, reach), yticks=[-reach, 0, reach])
    axes.set_xticks(_TICKS_HZ, ["100", "1k", "10k"])
    axes.minorticks_off()
    axes.grid(color=GRID, lw=0.4)
    axes.tick_params(labelsize=_SMALL, length=1.5, width=0.4, pad=1, colors=INK)
    for spine in axes.spines.values():
        spine.set_linewidth(0.4)


def _write(axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
    axes.text(x, y, text, parse_math=False, **{"color": INK, "va": "center_baseline", "fontsize": _POINTS, **style})
