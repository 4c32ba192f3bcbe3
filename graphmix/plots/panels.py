"""Figures and axes as all plots but those of graphs have them."""

import math
from collections.abc import Iterable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from graphmix.errors import GraphmixError
from graphmix.plots.fonts import apply_fonts

INK, GRID, PHASE, FAINT = "#222222", "#e4e4e4", "#fff3b8", "#8a8a8a"
DPI = 150
_HUES = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#888888")
"""Paul Tol's "bright" set, which is safe for colour-blind readers."""


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, whose parts make room for one another."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")


def new_panels(count: int, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels of a size, row by row."""
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    figure = new_figure(0.6 + width * columns, 0.8 + height * rows)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in panels[count:]:
        axes.remove()
    for axes in panels[:count]:
        prepare(axes)
    return figure, panels[:count]


def prepare(axes: Axes) -> None:
    """A faint grid, and no frame above and to the right."""
    axes.grid(color=GRID, lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=7.5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def note(axes: Axes, text: str) -> None:
    """A remark in the middle of axes that have little to show."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=FAINT, fontsize=8, gid="note")


def legend_beside(axes: Axes) -> None:
    """A legend to the right of the axes, if they have anything to explain."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=7.5, frameon=False)


def finish(figure: Figure, handles: Sequence[Line2D] = (), title: str = "") -> Figure:
    """Put the title above and the legend below, and set the fonts; the title is readable text."""
    if title:
        figure.suptitle(title, fontsize=9.5)
    if handles:
        columns = min(len(handles), max(1, int(figure.get_size_inches()[0] / 1.3)))
        figure.legend(handles=list(handles), loc="outside lower center", ncols=columns, fontsize=8, frameon=False)
    apply_fonts(figure)
    return figure


def hues(names: Iterable[str]) -> dict[str, str]:
    """A colour for each name, in the order of the names."""
    return {name: _HUES[i % len(_HUES)] for i, name in enumerate(sorted(set(names)))}


def need(data: object) -> None:
    """Refuse to plot nothing.

    Raises:
        GraphmixError: there is no data.
    """
    if not data:
        raise GraphmixError("there is nothing to plot; mine some songs first.")
