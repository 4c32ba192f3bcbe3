"""Statistics of many mined songs: figures 3, 4, 6, 10 and 11 of the pruning paper, and its table 3 as a picture.

The functions take plain records, as :mod:`graphmix.evaluation.statistics` makes them; each returns a figure. Colours of
processor types are those of all plots; collections and policies have a set of their own (Paul Tol's "bright", which
colour-blind eyes tell apart), in the order of their names.
"""

import math
from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from graphmix.errors import GraphmixError
from graphmix.plots.labels import shortened
from graphmix.plots.palette import LETTERS, color_of

_HUES = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#888888")
_INK, _GRID, _SHADE, _MEAN = "#222222", "#e4e4e4", "#fff3b8", "#111111"
_BINS = 16
_MARKERS = "osD^vPX"
_ALL = "all"

Record = Mapping[str, Any]

COUNTS = {
    "tracks": "tracks",
    "subgroups": "subgroups",
    "processors_before": "processors, full console",
    "processors_left": "processors, pruned graph",
    "nodes_before": "nodes, full console",
    "nodes_left": "nodes, pruned graph",
    "pruning_ratio": "pruning ratio ρ",
    "audio_loss": "audio loss $L_a$",
}


def draw_statistics(data: Mapping[str, Any]) -> dict[str, Figure]:
    """All pictures for which there is data, by name: ``counts``, ``ratios``, ``courses``, ``importance``, ...

    Args:
        data: ``settings`` (a name), ``records`` (one for each song), ``types``, ``courses`` (song, trace),
            ``importance`` (song to points), ``repeats`` (song, kept places by run, losses), ``tradeoff`` (records).
    """
    figures = {
        "counts": plot_counts(data["records"], data["settings"]),
        "ratios": plot_ratios(data["records"], data["types"], data["settings"]),
    }
    if any(record.get("event") == "round" for _, trace in data["courses"] for record in trace):
        figures["courses"] = plot_courses(data["courses"], data["types"])
    if data["importance"]:
        figures["importance"] = plot_importances(data["importance"])
    if len({record["settings"] for record in data["tradeoff"]}) > 1:
        figures["tradeoff"] = plot_tradeoff(data["tradeoff"])
    for number, (song, kept, losses) in enumerate(data["repeats"], 1):
        if len(kept) > 1:
            figures[f"repeats_{number}"] = plot_repeats(song, kept, losses)
    return figures


def plot_counts(records: Sequence[Record], settings: str = "") -> Figure:
    """Histograms over songs, stacked by collection (figure 6): sizes of songs, consoles and graphs, ratio, loss.

    Args:
        records: with ``collection`` and the keys of :data:`COUNTS`.
        settings: for the title.

    Raises:
        GraphmixError: there is no record.
    """
    _need(records)
    colors = hues(record["collection"] for record in records)
    figure, panels = _panels(len(COUNTS), columns=4, width=3.0, height=2.3)
    for axes, (key, label) in zip(panels, COUNTS.items(), strict=True):
        values = {name: [float(r[key]) for r in records if r["collection"] == name] for name in colors}
        edges = _edges([value for own in values.values() for value in own], key)
        axes.hist(list(values.values()), edges.tolist(), stacked=True, color=list(colors.values()), ec="white", lw=0.4)
        average = float(np.mean([float(record[key]) for record in records]))
        axes.axvline(average, color=_MEAN, lw=1, ls=(0, (4, 2)), gid=f"mean-{key}")
        axes.set_title(f"{label}, mean {average:.3g}", fontsize=8.5)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    for axes in panels[::4]:
        axes.set_ylabel("songs", fontsize=8.5)
    counts = {name: sum(r["collection"] == name for r in records) for name in colors}
    handles = [
        Line2D([], [], marker="s", lw=0, ms=7, color=c, label=f"{_safe(n)} ({counts[n]})") for n, c in colors.items()
    ]
    _finish(figure, handles, f"{len(records)} songs, {settings}" if settings else f"{len(records)} songs")
    return figure


def plot_ratios(records: Sequence[Record], types: Sequence[str], settings: str = "") -> Figure:
    """Pruning ratio of each song by type and of all (table 3): a dot for each song, a bar at each collection's mean.

    Args:
        records: with ``collection``, ``pruning_ratio`` and ``pruning_ratio_TYPE``.
        types: names, in the order of the columns.
        settings: for the title.

    Raises:
        GraphmixError: there is no record.
    """
    _need(records)
    colors = hues(record["collection"] for record in records)
    figure = Figure(figsize=(2.2 + 1.1 * (len(types) + 1), 4.0), dpi=150, layout="constrained", facecolor="white")
    axes = figure.subplots()
    _prepare(axes)
    chance = np.random.default_rng(0)
    width = 0.8 / len(colors)
    for place, key in enumerate(["pruning_ratio", *(f"pruning_ratio_{name}" for name in types)]):
        for number, (name, color) in enumerate(colors.items()):
            values = [float(r[key]) for r in records if r["collection"] == name and r.get(key) is not None]
            if not values:
                continue
            middle = place + (number - (len(colors) - 1) / 2) * width
            spread = chance.uniform(-0.3, 0.3, len(values)) * width
            axes.scatter(middle + spread, values, s=9, color=color, alpha=0.45, lw=0, zorder=2)
            mean = float(np.mean(values))
            line = [middle - 0.42 * width, middle + 0.42 * width]
            axes.plot(line, [mean, mean], color=color, lw=3, zorder=3, gid=f"mean-{key}-{name}")
            at: dict[str, Any] = dict(ha="center", va="bottom", fontsize=6.5, color=_INK, zorder=4)
            at["bbox"] = {"fc": "white", "ec": "none", "alpha": 0.7, "pad": 0.4}
            axes.annotate(f"{mean:.2f}", (middle, mean), (0, 2), textcoords="offset points", **at)
    axes.axvspan(-0.5, 0.5, color="#f3f3f3", lw=0, zorder=0)
    axes.set_xticks(range(len(types) + 1), ["all", *(_readable(name) for name in types)], fontsize=8.5)
    axes.set(ylabel="pruning ratio ρ", ylim=(-0.03, 1.08), xlim=(-0.5, len(types) + 0.5))
    axes.grid(visible=False, axis="x")
    handles = [Line2D([], [], lw=3, color=color, label=_safe(name)) for name, color in colors.items()]
    _finish(figure, handles, f"{len(records)} songs, {settings}" if settings else f"{len(records)} songs")
    return figure


def plot_courses(courses: Sequence[tuple[str, Sequence[Record]]], types: Sequence[str]) -> Figure:
    """Pruning ratios and mean dry/wet weights over the steps, a line for each song (figure 3).

    Args:
        courses: (song, records of its trace), as :func:`graphmix.plots.plot_pruning` takes them. The background is
            yellow from the first trial of any of them to the last round.
        types: names, in the order of the columns.

    Raises:
        GraphmixError: there is no course.
    """
    _need(courses)
    columns = [_ALL, *types]
    figure = Figure(figsize=(1.2 + 1.55 * len(columns), 4.2), dpi=150, layout="constrained", facecolor="white")
    grid = figure.subplots(2, len(columns), sharex=True, sharey=True, squeeze=False)
    steps = [r["step"] for _, trace in courses for r in trace if r.get("event") in ("trial", "round") and "step" in r]
    for axes in grid.flat:
        _prepare(axes)
        if steps:
            axes.axvspan(min(steps), max(steps), color=_SHADE, lw=0, zorder=0, gid="pruning-phase")
    for number, (_, trace) in enumerate(courses):
        color = _rainbow(number / max(1, len(courses) - 1))
        ends = [r["step"] for r in trace if r.get("event") in ("train", "round") and "step" in r]
        for column, name in enumerate(columns):
            ratio = [(r["step"], r["ratio"][name]) for r in trace if r.get("event") == "round" and name in r["ratio"]]
            if ratio:
                ratio = [(min(ends), 0.0), *ratio, (max(ends), ratio[-1][1])]
                grid[0, column].plot(*zip(*ratio, strict=True), color=color, lw=0.9, drawstyle="steps-post")
            wet = [(r["step"], weight) for r in trace if (weight := _weight(r, name)) is not None]
            if wet:
                grid[1, column].plot(*zip(*wet, strict=True), color=color, lw=0.9)
    for column, name in enumerate(columns):
        tone = _INK if name == _ALL else color_of(name)
        grid[0, column].set_title(_readable(name), fontsize=9, color=tone, fontweight="bold")
        grid[1, column].xaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
    grid[0, 0].set(ylabel="pruning ratio ρ", ylim=(-0.03, 1.03))
    grid[1, 0].set_ylabel("mean dry/wet weight")
    figure.supxlabel("optimisation step", fontsize=9)
    figure.suptitle(f"{len(courses)} songs, each with its colour", fontsize=9.5)
    return figure


def plot_importances(points: Mapping[str, Sequence[tuple[str, float, float]]]) -> Figure:
    """Weight of each processor against the loss increase when it is pruned, a panel for each song (figure 4).

    Args:
        points: song -> (type, dry/wet weight, loss increase).

    Raises:
        GraphmixError: there is no song.
    """
    _need(points)
    figure, panels = _panels(len(points), columns=3, width=3.2, height=2.6)
    types = _in_order({kind for own in points.values() for kind, _, _ in own})
    for axes, (song, own) in zip(panels, points.items(), strict=True):
        axes.axhline(0, color=_INK, lw=0.8, zorder=1)
        for number, name in enumerate(types):
            chosen = [(weight, increase) for kind, weight, increase in own if kind == name]
            if chosen:
                marker = _MARKERS[number % len(_MARKERS)]
                x, y = zip(*chosen, strict=True)
                axes.scatter(x, y, s=16, marker=marker, color=color_of(name), lw=0.4, ec="white", zorder=3)
        sizes = sorted(abs(increase) for _, _, increase in own if increase)
        if sizes and sizes[-1] > 30 * sizes[len(sizes) // 2]:
            axes.set_yscale("symlog", linthresh=sizes[len(sizes) // 2])
        axes.set_title(f"{_safe(shortened(song, 34))}, {len(own)} processors", fontsize=8.5)
        axes.set_xlim(-0.03, 1.03)
    for axes in panels[max(0, len(panels) - 3) :]:
        axes.set_xlabel("dry/wet weight", fontsize=8.5)
    for axes in panels[::3]:
        axes.set_ylabel("loss increase when pruned", fontsize=8.5)
    handles = [
        Line2D([], [], lw=0, ms=5, marker=_MARKERS[i % len(_MARKERS)], color=color_of(name), label=_readable(name))
        for i, name in enumerate(types)
    ]
    _finish(figure, handles)
    return figure


def plot_tradeoff(records: Sequence[Record]) -> Figure:
    """Loss increase over the console against the processors that remain, by policy over tolerances (figure 10).

    The faint lines are songs; the strong one is the mean of the songs that have all of a policy's tolerances.

    Args:
        records: with ``song_id``, ``policy``, ``tolerance``, ``settings``, ``loss increase``, ``remaining``.

    Raises:
        GraphmixError: there is no record.
    """
    _need(records)
    colors = hues(record["policy"] for record in records)
    figure = Figure(figsize=(6.4, 4.2), dpi=150, layout="constrained", facecolor="white")
    axes = figure.subplots()
    _prepare(axes)
    sides = ((5, 5), "left"), ((-5, -11), "right")  # of a point, so that two policies' labels keep apart
    for number, (policy, color) in enumerate(colors.items()):
        own = [record for record in records if record["policy"] == policy]
        tolerances = sorted({record["tolerance"] for record in own})
        lines = [
            _over(tolerances, [r for r in own if r["song_id"] == song]) for song in _once(r["song_id"] for r in own)
        ]
        for line in (line for line in lines if len(line) > 1 or len(lines) == 1):
            axes.plot(line[:, 0], line[:, 1], ".-", color=color, alpha=0.25, lw=0.8, ms=4, zorder=2)
        whole = [line for line in lines if len(line) == len(tolerances)]
        if whole:
            mean = np.mean(whole, axis=0)
            axes.plot(mean[:, 0], mean[:, 1], "o-", color=color, lw=2.2, ms=5, zorder=4, gid=f"mean-{policy}")
            for (x, y), tolerance in zip(mean, tolerances, strict=True):
                look: dict[str, Any] = {
                    "textcoords": "offset points",
                    "fontsize": 7,
                    "ha": sides[number % 2][1],
                    "color": color,
                }
                axes.annotate(f"τ {tolerance:g}", (x, y), sides[number % 2][0], **look)
    axes.axhline(0, color=_INK, lw=0.8, zorder=1)
    axes.set(
        xlabel="share of the processors that remains, 1 − ρ",
        ylabel="loss increase over the console",
        xlim=(-0.02, 1.02),
    )
    handles = [Line2D([], [], marker="o", lw=2.2, color=color, label=_safe(name)) for name, color in colors.items()]
    _finish(figure, handles, "sparsity and match: faint lines are songs, strong ones their mean")
    return figure


def plot_repeats(song: str, kept: Mapping[str, Set[tuple[str, str, int]]], losses: Sequence[float] = ()) -> Figure:
    """Which processors each of several runs of one song keeps (figure 11): a column for each run.

    Args:
        song: its name.
        kept: run -> (track or subgroup, type, rank there) of the processors in its graph.
        losses: audio loss of each run, for the labels.

    Raises:
        GraphmixError: there is no run.
    """
    _need(kept)
    every = set().union(*kept.values())
    owners = _once(owner for owner, _, _ in sorted(every, key=lambda place: (place[0].casefold(), place)))
    order = {name: i for i, name in enumerate(_in_order({kind for _, kind, _ in every}))}
    rows = sorted(every, key=lambda place: (owners.index(place[0]), order[place[1]], place[2]))
    height = 1.5 + 0.14 * max(6, len(rows))
    figure = Figure(figsize=(3.4 + 0.55 * len(kept), height), dpi=150, layout="constrained", facecolor="white")
    axes = figure.subplots()
    picture = np.ones((max(1, len(rows)), len(kept), 3))
    for column, own in enumerate(kept.values()):
        for row, place in enumerate(rows):
            if place in own:
                picture[row, column] = to_rgb(color_of(place[1]))
    axes.imshow(picture, aspect="auto", interpolation="nearest")
    starts = [next(i for i, place in enumerate(rows) if place[0] == owner) for owner in owners]
    ends = [*starts[1:], len(rows)]
    axes.set_yticks([(a + b - 1) / 2 for a, b in zip(starts, ends, strict=True)])
    axes.set_yticklabels([_safe(shortened(owner, 28)) for owner in owners], fontsize=6.5)
    for start in starts[1:]:
        axes.axhline(start - 0.5, color="#999999", lw=0.6)
    for column in range(1, len(kept)):
        axes.axvline(column - 0.5, color="white", lw=2)
    labels = [f"{run}\n{len(own)}" for run, own in kept.items()]
    if len(losses) >= len(kept):
        labels = [f"{label}\n{loss:.3f}" for label, loss in zip(labels, losses, strict=False)]
    axes.set_xticks(range(len(kept)), labels, fontsize=6.5)
    axes.tick_params(length=0)
    axes.set_xlabel("run, processors kept" + (", audio loss" if len(losses) >= len(kept) else ""), fontsize=8)
    common = len(set.intersection(*(set(own) for own in kept.values())))
    handles = [Line2D([], [], marker="s", lw=0, ms=6, color=color_of(name), label=_readable(name)) for name in order]
    title = f"{_safe(shortened(song, 40))}: {common} of {len(every)} processors are kept by every run"
    _finish(figure, handles, title)
    return figure


# --- parts


def hues(names: Any) -> dict[str, str]:
    """A colour for each name, in the order of the names."""
    return {name: _HUES[i % len(_HUES)] for i, name in enumerate(sorted(set(names)))}


def _need(data: Any) -> None:
    if not data:
        raise GraphmixError("there is nothing to plot; mine some songs first.")


def _panels(count: int, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    size = (0.6 + width * columns, 0.8 + height * rows)
    figure = Figure(figsize=size, dpi=150, layout="constrained", facecolor="white")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in panels[count:]:
        axes.remove()
    for axes in panels[:count]:
        _prepare(axes)
    return figure, panels[:count]


def _prepare(axes: Axes) -> None:
    axes.grid(color=_GRID, lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=7.5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _finish(figure: Figure, handles: Sequence[Line2D], title: str = "") -> None:
    if title:
        figure.suptitle(title, fontsize=9.5)
    columns = min(len(handles), max(1, int(figure.get_size_inches()[0] / 1.3)))
    figure.legend(handles=list(handles), loc="outside lower center", ncols=columns, fontsize=8, frameon=False)


def _edges(values: Sequence[float], key: str) -> np.ndarray:
    """Bins from the least to the greatest value; whole numbers lie in the middle of theirs."""
    low, high = min(values), max(values)
    if key in ("pruning_ratio", "audio_loss"):
        if key == "pruning_ratio":
            return np.linspace(0, 1, 21)
        return np.linspace(low, high, _BINS + 1) if high > low else np.array([low - 0.05, low + 0.05])
    step = max(1, math.ceil((high - low + 1) / _BINS))
    return np.arange(low, high + step + 1, step) - 0.5


def _weight(record: Record, name: str) -> float | None:
    """Mean dry/wet weight of a type, or of all types, in a record of a trace."""
    weights = record.get("wet") if record.get("event") in ("train", "evaluate") else None
    if not isinstance(weights, Mapping):
        return None
    if name == _ALL:
        known = [float(weight) for weight in weights.values() if weight is not None]
        return float(np.mean(known)) if known else None
    weight = weights.get(name)
    return None if weight is None else float(weight)


def _over(tolerances: Sequence[float], records: Sequence[Record]) -> np.ndarray:
    """(remaining, loss increase) of a song, by tolerance."""
    found = {record["tolerance"]: (record["remaining"], record["loss increase"]) for record in records}
    return np.array([found[tolerance] for tolerance in tolerances if tolerance in found], dtype=float)


def _rainbow(share: float) -> tuple[float, ...]:
    from matplotlib import colormaps

    return tuple(colormaps["turbo"](0.05 + 0.9 * share))


def _in_order(names: Set[str]) -> list[str]:
    known = {name: i for i, name in enumerate(LETTERS)}
    return sorted(names, key=lambda name: (known.get(name, len(known)), name))


def _once(names: Any) -> list[str]:
    return list(dict.fromkeys(names))


def _readable(name: str) -> str:
    return _safe(name.replace("_", " "))


def _safe(text: str) -> str:
    """Nothing a user wrote is read as mathematics."""
    return text.replace("$", r"\$")
