"""The course of a search (figure 3 of the pruning paper) and what weights tell about importance (figure 4).

A trace is a sequence of records, as a search writes them to a file of JSON lines. Each has an ``event``:

============  ==========================================================================================
``train``     ``step``, ``loss``; optionally ``wet``: mean dry/wet weight by type name
``evaluate``  ``step``, ``loss``
``trial``     ``round``, ``step``, ``loss_after``, ``kept`` and more that these plots do not need
``round``     ``round``, ``step``, ``loss``, ``ratio``: pruning ratio by type name, and of all as ``"all"``
============  ==========================================================================================

Records of other events are passed over.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from graphmix.errors import GraphmixError
from graphmix.plots.palette import LETTERS, color_of

_SHADE, _INK, _GRID = "#fff3b8", "#222222", "#e4e4e4"
_EVENTS = ("train", "evaluate", "trial", "round")
_MARKERS = "osD^vPpX<>hd"
_WIDE = 30.0
"""How many times the median the largest loss increase may be before the axis becomes logarithmic."""

Points = list[tuple[float, float]]


@dataclass
class _Course:
    """What a trace holds, as (step, value) points."""

    ratio: dict[str, Points] = field(default_factory=dict)
    wet: dict[str, Points] = field(default_factory=dict)
    train: Points = field(default_factory=list)
    evaluated: Points = field(default_factory=list)
    pruned: Points = field(default_factory=list)
    phases: list[tuple[float, float]] = field(default_factory=list)


def plot_pruning(trace: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the course of a search: pruning ratios, mean dry/wet weights and loss over optimisation steps.

    Args:
        trace: records as described above, in the order in which they were written. From the first trial of a
            pruning phase to its last round the background is yellow.

    Raises:
        GraphmixError: nothing to draw, or a record that lacks a field or has something else than a number there.
    """
    course = _read(trace)
    figure = Figure(figsize=(6.6, 6.2), dpi=150, layout="constrained", facecolor="white")
    ratios, weights, losses = figure.subplots(3, 1, sharex=True)
    for axes in (ratios, weights, losses):
        _prepare(axes)
        for start, end in course.phases:
            axes.axvspan(start, end, color=_SHADE, lw=0, zorder=0, gid="pruning-phase")
    _draw_ratios(ratios, course)
    _draw_by_type(weights, course.wet)
    weights.set(ylabel="mean dry/wet weight", ylim=(-0.03, 1.03))
    _draw_losses(losses, course)
    losses.set(xlabel="optimisation step", ylabel="audio loss")
    for axes in (ratios, weights, losses):
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=7, frameon=False)
    return figure


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
    points = [(float(w), float(d)) for w, d in zip(weights, increases, strict=True)]
    for i, point in enumerate(points):
        if not all(map(math.isfinite, point)):
            raise GraphmixError(f"processor {i} has weight {point[0]} and increase {point[1]}; both must be finite.")
    figure = Figure(figsize=(5.6, 3.8), dpi=150, layout="constrained", facecolor="white")
    axes = figure.subplots()
    _prepare(axes)
    axes.axhline(0, color=_INK, lw=0.8, zorder=1, gid="zero")
    for marker, name in zip(_cycle(_MARKERS), _in_order(types), strict=False):
        chosen = [point for point, kind in zip(points, types, strict=True) if kind == name]
        look: dict[str, Any] = {"color": color_of(name), "marker": marker, "s": 26}
        label = f"{_readable(name)} ({len(chosen)})"
        axes.scatter(*zip(*chosen, strict=True), label=label, zorder=3, lw=0.5, ec="white", **look)
    sizes = sorted(abs(increase) for _, increase in points if increase)
    if sizes and sizes[-1] > _WIDE * sizes[len(sizes) // 2]:
        axes.set_yscale("symlog", linthresh=sizes[len(sizes) // 2])
    axes.set(xlabel="dry/wet weight", ylabel="loss increase when pruned", xlim=(-0.03, 1.03))
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=7.5, frameon=False)
    return figure


# --- reading


def _read(trace: Sequence[Mapping[str, Any]]) -> _Course:
    course = _Course()
    last_round = -math.inf
    for i, record in enumerate(trace):
        event = record.get("event") if isinstance(record, Mapping) else None
        if event not in _EVENTS:
            if event is None:
                raise GraphmixError(f"record {i} of the trace has no event; it is {str(record)[:80]}.")
            continue
        step = _number(record, "step", i)
        if event in ("train", "evaluate"):
            (course.train if event == "train" else course.evaluated).append((step, _number(record, "loss", i)))
            _add(course.wet, step, record.get("wet", {}), i)
            continue
        number = _number(record, "round", i)
        if not course.phases or number < last_round:  # a second search in the same trace
            course.phases.append((step, step))
        last_round = number
        course.phases[-1] = (course.phases[-1][0], step)
        if event == "round":
            course.pruned.append((step, _number(record, "loss", i)))
            _add(course.ratio, step, record.get("ratio"), i)
    if not (course.train or course.evaluated or course.pruned):
        raise GraphmixError("the trace has no train, evaluate or round record; there is nothing to plot.")
    return course


def _number(record: Mapping[str, Any], key: str, index: int) -> float:
    value = record.get(key)
    if not isinstance(value, Real) or isinstance(value, bool):
        raise GraphmixError(
            f"record {index} of the trace ({record['event']}) has {key} {value!r}; it needs a number there."
        )
    return float(value)


def _add(lines: dict[str, Points], step: float, values: Any, index: int) -> None:
    if not isinstance(values, Mapping):
        raise GraphmixError(f"record {index} of the trace has {values!r} where it needs numbers by type name.")
    for name, value in values.items():
        if value is not None:
            entry = {"event": "by type", name: value}
            lines.setdefault(name, []).append((step, _number(entry, name, index)))


# --- drawing


def _prepare(axes: Axes) -> None:
    axes.grid(color=_GRID, lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _draw_ratios(axes: Axes, course: _Course) -> None:
    """Ratios hold from one round to the next; before the first they are zero."""
    steps = [step for points in (course.train, course.evaluated, course.pruned) for step, _ in points]
    ends = min(steps), max(steps)
    lines = {name: [(ends[0], 0.0), *points, (ends[1], points[-1][1])] for name, points in course.ratio.items()}
    total = lines.pop("all", [])
    _draw_by_type(axes, lines, drawstyle="steps-post")
    if total:
        axes.plot(*zip(*total, strict=True), color=_INK, lw=2.2, drawstyle="steps-post", label="all", gid="all")
    axes.set(ylabel="pruning ratio", ylim=(-0.03, 1.03))


def _draw_by_type(axes: Axes, lines: Mapping[str, Points], **look: Any) -> None:
    for name in _in_order(lines):
        x, y = zip(*lines[name], strict=True)
        axes.plot(x, y, color=color_of(name), lw=1.4, label=_readable(name), gid=f"type-{name}", **look)


def _draw_losses(axes: Axes, course: _Course) -> None:
    looks: list[tuple[str, str, Points, dict[str, Any]]] = [
        ("train", "training", course.train, {"color": "#b9b9b9", "lw": 0.7}),
        ("evaluate", "evaluated", course.evaluated, {"color": _INK, "lw": 1.2, "marker": "o", "ms": 3}),
        ("round", "after round", course.pruned, {"color": "#c1272d", "lw": 0, "marker": "D", "ms": 3.5}),
    ]
    for gid, label, points, look in looks:
        if points:
            axes.plot(*zip(*points, strict=True), gid=gid, label=label, **look)


def _in_order(names: Iterable[str]) -> list[str]:
    """Types once each: those of graphmix in their order, then others by name."""
    known = {name: i for i, name in enumerate([*LETTERS, *LETTERS.values()])}
    return sorted(set(names), key=lambda name: (known.get(name, len(known)), name))


def _readable(name: str) -> str:
    by_letter = {letter: full for full, letter in LETTERS.items()}
    return by_letter.get(name, name).replace("_", " ").replace("$", r"\$")


def _cycle(markers: str) -> Iterable[str]:
    while True:
        yield from markers
