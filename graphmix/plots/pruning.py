"""Histories of searches: pruning ratios, dry/wet weights and losses over the steps (figure 3 of the pruning paper).

A trace is a sequence of records, as a search writes them to a file of JSON lines. Each has an ``event``:

============  ==========================================================================================
``train``     ``step``, ``loss``; optionally ``wet``: mean dry/wet weight by type name
``evaluate``  ``step``, ``loss``
``trial``     ``round``, ``step``, ``loss_after``, ``kept`` and more that these plots do not need
``round``     ``round``, ``step``, ``loss``, ``ratio``: pruning ratio by type name, and of all as ``"all"``
============  ==========================================================================================

A loss, a weight or a ratio that is null or not finite has no point. Records of other events are ignored.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from numbers import Real
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from graphmix.errors import GraphmixError
from graphmix.plots.labels import readable, sorted_types, type_label
from graphmix.plots.palette import color_of
from graphmix.plots.panels import INK, PHASE, finish, legend_beside, need, new_figure, note, prepare

_EVENTS = ("train", "evaluate", "trial", "round")
_ALL = "all"
_NARROWEST = 0.006
"""Least width of a pruning phase, as a share of all steps."""

Points = list[tuple[float, float]]
Trace = Sequence[Mapping[str, Any]]


@dataclass
class _History:
    """A trace as (step, value) points, and the first and last step of each pruning phase."""

    ratio: dict[str, Points] = field(default_factory=dict)
    wet: dict[str, Points] = field(default_factory=dict)
    train: Points = field(default_factory=list)
    evaluated: Points = field(default_factory=list)
    pruned: Points = field(default_factory=list)
    phases: list[tuple[float, float]] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)

    @property
    def ends(self) -> tuple[float, float]:
        """First and last step; never the same, so that there is something to draw between them."""
        low, high = min(self.steps), max(self.steps)
        return low, high if high > low else low + 1

    def held_ratio(self, name: str) -> Points:
        """The ratio of a type, zero before the first round, and held from one round to the next."""
        points = self.ratio[name]
        first, last = self.ends
        return [(first, 0.0), *points, (last, points[-1][1])]


def plot_pruning(trace: Trace, loss_name: str = "audio loss") -> Figure:
    """Draw the history of a search: pruning ratios, mean dry/wet weights and loss over optimisation steps.

    Args:
        trace: records as described above, in the order in which they were written. From the first trial of a
            pruning phase to its last round the background is yellow.
        loss_name: of what the search minimised.

    Raises:
        GraphmixError: nothing to draw, or a record that lacks a field or has something else than a number there.
    """
    history = _read(trace)
    if not history.steps:
        raise GraphmixError("the trace has no train, evaluate or round record; there is nothing to plot.")
    figure = new_figure(6.6, 6.2)
    ratios, weights, losses = figure.subplots(3, 1, sharex=True)
    for axes in (ratios, weights, losses):
        prepare(axes)
        _shade_phases(axes, history)
    _draw_ratios(ratios, history)
    _draw_by_type(weights, history.wet)
    if not history.wet:
        note(weights, "no weights recorded")
    weights.set(ylabel="mean dry/wet weight", ylim=(-0.03, 1.03))
    _draw_losses(losses, history)
    losses.set(xlabel="optimisation step", ylabel=loss_name)
    losses.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (ratios, weights, losses):
        legend_beside(axes)
    return finish(figure)


def plot_histories(traces: Sequence[tuple[str, Trace]], types: Sequence[str]) -> Figure:
    """Draw pruning ratios and mean dry/wet weights of several songs over the steps, a line for each song.

    Args:
        traces: (song, its trace). The background is yellow from the first trial of any of them to the last round.
        types: names, in the order of the columns.

    Raises:
        GraphmixError: there is no trace, or one with a bad record.
    """
    need(traces)
    histories = [_read(trace) for _, trace in traces]
    columns = [_ALL, *types]
    figure = new_figure(1.2 + 1.55 * len(columns), 4.2)
    grid = figure.subplots(2, len(columns), sharex=True, sharey=True, squeeze=False)
    phases = list(chain.from_iterable(chain.from_iterable(history.phases for history in histories)))
    for axes in grid.flat:
        prepare(axes)
        if phases:
            axes.axvspan(min(phases), max(phases), color=PHASE, lw=0, zorder=0, gid="pruning-phase")
    for number, history in enumerate(histories):
        color = colormaps["turbo"](0.05 + 0.9 * number / max(1, len(histories) - 1))
        for column, name in enumerate(columns):
            if name in history.ratio:
                _line(grid[0, column], history.held_ratio(name), color=color, lw=0.9, drawstyle="steps-post")
            weights = _mean_weights(history.wet) if name == _ALL else history.wet.get(name, [])
            if weights:
                _line(grid[1, column], weights, color=color, lw=0.9)
    for column, name in enumerate(columns):
        tone = INK if name == _ALL else color_of(name)
        grid[0, column].set_title(type_label(name), fontsize=9, color=tone, fontweight="bold")
        grid[1, column].xaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
    grid[0, 0].set(ylabel="pruning ratio ρ", ylim=(-0.03, 1.03))
    grid[1, 0].set_ylabel("mean dry/wet weight")
    figure.supxlabel("optimisation step", fontsize=9)
    songs = "1 song" if len(traces) == 1 else f"{len(traces)} songs, each with its colour"
    return finish(figure, title=songs)


# --- reading


def _read(trace: Trace) -> _History:
    history = _History()
    last_round = -math.inf
    for i, record in enumerate(trace):
        event = record.get("event") if isinstance(record, Mapping) else None
        if event not in _EVENTS:
            if event is None:
                raise GraphmixError(f"record {i} of the trace has no event; it is {str(record)[:80]}.")
            continue
        step = _number(record, "step", i)
        if event in ("train", "evaluate"):
            history.steps.append(step)
            _append(history.train if event == "train" else history.evaluated, step, _value(record, "loss", i))
            _add(history.wet, step, record.get("wet") or {}, i)
            continue
        number = _number(record, "round", i)
        if not history.phases or number < last_round:  # a second search in the same trace
            history.phases.append((step, step))
        last_round = number
        history.phases[-1] = (history.phases[-1][0], step)
        if event == "round":
            history.steps.append(step)
            _append(history.pruned, step, _value(record, "loss", i))
            _add(history.ratio, step, record.get("ratio"), i)
    return history


def _number(record: Mapping[str, Any], key: str, index: int) -> float:
    value = record.get(key)
    if not isinstance(value, Real) or isinstance(value, bool):
        raise GraphmixError(
            f"record {index} of the trace ({record['event']}) has {key} {value!r}; it needs a number there."
        )
    return float(value)


def _value(record: Mapping[str, Any], key: str, index: int) -> float | None:
    """A number, or None for null and for what is not finite."""
    if key in record and record[key] is None:
        return None
    value = _number(record, key, index)
    return value if math.isfinite(value) else None


def _append(points: Points, step: float, value: float | None) -> None:
    if value is not None:
        points.append((step, value))


def _add(lines: dict[str, Points], step: float, values: Any, index: int) -> None:
    if not isinstance(values, Mapping):
        raise GraphmixError(f"record {index} of the trace has {values!r} where it needs numbers by type name.")
    for name in values:
        value = _value({"event": "by type", **values}, name, index)
        if value is not None:
            lines.setdefault(name, []).append((step, value))


def _mean_weights(wet: Mapping[str, Points]) -> Points:
    """The mean over the types at each step."""
    by_step: dict[float, list[float]] = {}
    for step, weight in chain.from_iterable(wet.values()):
        by_step.setdefault(step, []).append(weight)
    return [(step, sum(weights) / len(weights)) for step, weights in sorted(by_step.items())]


# --- drawing


def _shade_phases(axes: Axes, history: _History) -> None:
    first, last = history.ends
    for start, end in history.phases:
        missing = max(0.0, _NARROWEST * (last - first) - (end - start)) / 2
        axes.axvspan(start - missing, end + missing, color=PHASE, lw=0, zorder=0, gid="pruning-phase")


def _draw_ratios(axes: Axes, history: _History) -> None:
    _draw_by_type(
        axes, {name: history.held_ratio(name) for name in history.ratio if name != _ALL}, drawstyle="steps-post"
    )
    if _ALL in history.ratio:
        _line(axes, history.held_ratio(_ALL), color=INK, lw=2.2, drawstyle="steps-post", label=_ALL, gid=_ALL)
    if not history.ratio:
        note(axes, "no pruning round")
    elif not any(ratio for points in history.ratio.values() for _, ratio in points):
        note(axes, "no processor was removed")
    axes.set(ylabel="pruning ratio", ylim=(-0.03, 1.03))


def _draw_by_type(axes: Axes, lines: Mapping[str, Points], **look: Any) -> None:
    for name in sorted_types(lines):
        label, gid = type_label(name), f"type-{readable(name)}"
        _line(axes, lines[name], color=color_of(name), lw=1.4, label=label, gid=gid, **look)


def _draw_losses(axes: Axes, history: _History) -> None:
    looks: list[tuple[str, str, Points, dict[str, Any]]] = [
        ("train", "training", history.train, {"color": "#b9b9b9", "lw": 0.7}),
        ("evaluate", "evaluated", history.evaluated, {"color": INK, "lw": 1.2, "marker": "o", "ms": 3}),
        ("round", "after round", history.pruned, {"color": "#c1272d", "lw": 0, "marker": "D", "ms": 3.5}),
    ]
    for gid, label, points, look in looks:
        if points:
            _line(axes, points, gid=gid, label=label, **look)
    values = [value for _, _, points, _ in looks for _, value in points]
    if not values:
        note(axes, "no finite loss")
        axes.set_ylim(0, 1)
    elif min(values) == max(values) >= 0:
        axes.set_ylim(0, 2 * max(values) or 1)


def _line(axes: Axes, points: Points, **look: Any) -> None:
    """A line; a single point gets a dot, since a line through it cannot be seen."""
    if len(points) == 1:
        look = {"marker": "o", "ms": 3, **look}
    axes.plot(*zip(*points, strict=True), **look)
