"""What dry/wet weights say about the importance of processors (figure 4 of the pruning paper)."""

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from graphmix.errors import GraphmixError
from graphmix.plots.labels import shortened, sorted_types, type_label, without_math
from graphmix.plots.palette import color_of
from graphmix.plots.panels import INK, finish, legend_beside, need, new_figure, new_panels, prepare

_MARKERS = "osD^vPpX<>hd"
_WIDE = 30.0
"""How many times the median the largest loss increase may be before the axis becomes logarithmic."""
_DECADES = 1e-9
"""Least part of the largest loss increase that a logarithmic axis resolves."""
Processor = tuple[str, float, float]
"""Type, dry/wet weight, loss increase when pruned."""


def plot_importance(weights: Sequence[float], increases: Sequence[float], types: Sequence[str]) -> Figure:
    """Scatter each processor's dry/wet weight against the loss increase when it is pruned (equation 9).

    Args:
        weights: dry/wet weights in [0, 1].
        increases: loss without the processor minus loss with it.
        types: its type's name or letter; all three have one entry for each processor.

    Raises:
        GraphmixError: nothing to draw, unequal lengths, or a number that is not finite.
    """
    if not len(weights) == len(increases) == len(types):
        raise GraphmixError(
            f"there are {len(weights)} weights, {len(increases)} loss increases and {len(types)} types; give one "
            "of each for every processor."
        )
    if len(weights) == 0:
        raise GraphmixError("there is no processor to plot; give the weight, increase and type of at least one.")
    points = [(name, float(w), float(d)) for name, w, d in zip(types, weights, increases, strict=True)]
    for i, (_, weight, increase) in enumerate(points):
        if not math.isfinite(weight) or not math.isfinite(increase):
            raise GraphmixError(f"processor {i} has weight {weight} and increase {increase}; both must be finite.")
    figure = new_figure(5.6, 3.8)
    axes = figure.subplots()
    prepare(axes)
    _scatter(axes, points, sorted_types(types), size=26)
    axes.set(xlabel="dry/wet weight", ylabel="loss increase when pruned")
    legend_beside(axes)
    return finish(figure)


def plot_importances(points: Mapping[str, Sequence[Processor]]) -> Figure:
    """Weight of each processor against the loss increase when it is pruned, a panel for each song.

    Args:
        points: song -> (type, dry/wet weight, loss increase); what is not finite is left out.

    Raises:
        GraphmixError: there is no song.
    """
    need(points)
    figure, panels = new_panels(len(points), columns=3, width=3.2, height=2.6)
    types = sorted_types(kind for own in points.values() for kind, _, _ in own)
    for axes, (song, own) in zip(panels, points.items(), strict=True):
        finite = [point for point in own if math.isfinite(point[1]) and math.isfinite(point[2])]
        _scatter(axes, finite, types, size=16)
        axes.set_title(f"{without_math(shortened(song, 34))}, {len(own)} processors", fontsize=8.5)
    for axes in panels[max(0, len(panels) - 3) :]:
        axes.set_xlabel("dry/wet weight", fontsize=8.5)
    for axes in panels[::3]:
        axes.set_ylabel("loss increase when pruned", fontsize=8.5)
    handles = [
        Line2D([], [], lw=0, ms=5, marker=marker, color=color_of(name), label=type_label(name))
        for name, marker in zip(types, cycle(_MARKERS), strict=False)
    ]
    return finish(figure, handles)


def _scatter(axes: Axes, points: Sequence[Processor], types: Sequence[str], size: float) -> None:
    """A point for each processor, in the colour and with the marker of its type."""
    axes.axhline(0, color=INK, lw=0.8, zorder=1, gid="zero")
    for name, marker in zip(types, cycle(_MARKERS), strict=False):
        chosen = [(weight, increase) for kind, weight, increase in points if kind == name]
        if chosen:
            look: dict[str, Any] = {"color": color_of(name), "marker": marker, "s": size, "zorder": 3}
            label = f"{type_label(name)} ({len(chosen)})"
            axes.scatter(*zip(*chosen, strict=True), label=label, lw=0.5, ec="white", **look)
    sizes = sorted(abs(increase) for _, _, increase in points if increase)
    if sizes and sizes[-1] > _WIDE * sizes[len(sizes) // 2]:
        axes.set_yscale("symlog", linthresh=max(sizes[len(sizes) // 2], _DECADES * sizes[-1]))
    axes.set_xlim(-0.03, 1.03)
