"""Statistics of many mined songs: figures 6, 10 and 11 of the pruning paper, and its table 3 as a picture.

The functions take plain records, as :mod:`graphmix.evaluation.statistics` makes them; each returns a figure. Colours of
processor types are those of all plots; collections and policies have colours of their own, in the order of their names.
"""

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from graphmix.plots.importance import plot_importances
from graphmix.plots.labels import readable, shortened, sorted_types, type_label, without_math
from graphmix.plots.palette import color_of
from graphmix.plots.panels import INK, finish, hues, need, new_figure, new_panels, prepare
from graphmix.plots.pruning import plot_histories

_BINS = 16

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
    """All pictures for which there is data, by name: ``counts``, ``ratios``, ``histories``, ``importance``, ...

    Args:
        data: ``settings`` (a name), ``records`` (one for each song), ``types``, ``histories`` (song, trace),
            ``importance`` (song to points), ``repeats`` (song, kept places by run, losses), ``tradeoff`` (records).
    """
    figures = {
        "counts": plot_counts(data["records"], data["settings"]),
        "ratios": plot_ratios(data["records"], data["types"], data["settings"]),
    }
    if any(record.get("event") == "round" for _, trace in data["histories"] for record in trace):
        figures["histories"] = plot_histories(data["histories"], data["types"])
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
    need(records)
    colors = hues(record["collection"] for record in records)
    figure, panels = new_panels(len(COUNTS), columns=4, width=3.0, height=2.3)
    for axes, (key, label) in zip(panels, COUNTS.items(), strict=True):
        values = {name: [float(r[key]) for r in records if r["collection"] == name] for name in colors}
        edges = _edges([value for own in values.values() for value in own], key)
        axes.hist(list(values.values()), edges.tolist(), stacked=True, color=list(colors.values()), ec="white", lw=0.4)
        average = float(np.mean([float(record[key]) for record in records]))
        axes.axvline(average, color=INK, lw=1, ls=(0, (4, 2)), gid=f"mean-{key}")
        axes.set_title(f"{label}, mean {average:.3g}", fontsize=8.5)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    for axes in panels[::4]:
        axes.set_ylabel("songs", fontsize=8.5)
    counts = {name: sum(r["collection"] == name for r in records) for name in colors}
    handles = [
        Line2D([], [], marker="s", lw=0, ms=7, color=color, label=f"{without_math(name)} ({counts[name]})")
        for name, color in colors.items()
    ]
    return finish(figure, handles, _title(records, settings))


def plot_ratios(records: Sequence[Record], types: Sequence[str], settings: str = "") -> Figure:
    """Pruning ratio of each song by type and of all (table 3): a dot for each song, a bar at each collection's mean.

    Args:
        records: with ``collection``, ``pruning_ratio`` and ``pruning_ratio_TYPE``.
        types: names, in the order of the columns.
        settings: for the title.

    Raises:
        GraphmixError: there is no record.
    """
    need(records)
    colors = hues(record["collection"] for record in records)
    figure = new_figure(2.2 + 1.1 * (len(types) + 1), 4.0)
    axes = figure.subplots()
    prepare(axes)
    generator = np.random.default_rng(0)
    width = 0.8 / len(colors)
    for place, key in enumerate(["pruning_ratio", *(f"pruning_ratio_{name}" for name in types)]):
        for number, (name, color) in enumerate(colors.items()):
            values = [float(r[key]) for r in records if r["collection"] == name and r.get(key) is not None]
            if not values:
                continue
            middle = place + (number - (len(colors) - 1) / 2) * width
            spread = generator.uniform(-0.3, 0.3, len(values)) * width
            axes.scatter(middle + spread, values, s=9, color=color, alpha=0.45, lw=0, zorder=2)
            mean = float(np.mean(values))
            line = [middle - 0.42 * width, middle + 0.42 * width]
            axes.plot(line, [mean, mean], color=color, lw=3, zorder=3, gid=f"mean-{key}-{readable(name)}")
            at: dict[str, Any] = dict(ha="center", va="bottom", fontsize=6.5, color=INK, zorder=4)
            at["bbox"] = {"fc": "white", "ec": "none", "alpha": 0.7, "pad": 0.4}
            axes.annotate(f"{mean:.2f}", (middle, mean), (0, 2), textcoords="offset points", **at)
    axes.axvspan(-0.5, 0.5, color="#f3f3f3", lw=0, zorder=0)
    axes.set_xticks(range(len(types) + 1), ["all", *(type_label(name) for name in types)], fontsize=8.5)
    axes.set(ylabel="pruning ratio ρ", ylim=(-0.03, 1.08), xlim=(-0.5, len(types) + 0.5))
    axes.grid(visible=False, axis="x")
    handles = [Line2D([], [], lw=3, color=color, label=without_math(name)) for name, color in colors.items()]
    return finish(figure, handles, _title(records, settings))


def plot_tradeoff(records: Sequence[Record]) -> Figure:
    """Loss increase over the console against the processors that remain, by policy over tolerances (figure 10).

    The faint lines are songs; the strong one is the mean of the songs that have all of a policy's tolerances.

    Args:
        records: with ``song_id``, ``policy``, ``tolerance``, ``settings``, ``loss increase``, ``remaining``.

    Raises:
        GraphmixError: there is no record.
    """
    need(records)
    colors = hues(record["policy"] for record in records)
    figure = new_figure(6.4, 4.2)
    axes = figure.subplots()
    prepare(axes)
    sides = ((5, 5), "left"), ((-5, -11), "right")  # of a point, so that two policies' labels keep apart
    for number, (policy, color) in enumerate(colors.items()):
        own = [record for record in records if record["policy"] == policy]
        tolerances = sorted({record["tolerance"] for record in own})
        lines = [_by_tolerance(tolerances, members) for members in _by_song(own)]
        for line in (line for line in lines if len(line) > 1 or len(lines) == 1):
            axes.plot(line[:, 0], line[:, 1], ".-", color=color, alpha=0.25, lw=0.8, ms=4, zorder=2)
        complete = [line for line in lines if len(line) == len(tolerances)]
        if not complete:
            continue
        mean = np.mean(complete, axis=0)
        axes.plot(mean[:, 0], mean[:, 1], "o-", color=color, lw=2.2, ms=5, zorder=4, gid=f"mean-{readable(policy)}")
        offset, align = sides[number % 2]
        for point, tolerance in zip(mean, tolerances, strict=True):
            look: dict[str, Any] = {"textcoords": "offset points", "fontsize": 7, "ha": align, "color": color}
            axes.annotate(f"τ {tolerance:g}", tuple(point), offset, **look)
    axes.axhline(0, color=INK, lw=0.8, zorder=1)
    axes.set(
        xlabel="share of the processors that remains, 1 − ρ",
        ylabel="loss increase over the console",
        xlim=(-0.02, 1.02),
    )
    handles = [
        Line2D([], [], marker="o", lw=2.2, color=color, label=without_math(name)) for name, color in colors.items()
    ]
    return finish(figure, handles, "sparsity and match: faint lines are songs, strong ones their mean")


def plot_repeats(song: str, kept: Mapping[str, Set[tuple[str, str, int]]], losses: Sequence[float] = ()) -> Figure:
    """Which processors each of several runs of one song keeps (figure 11): a column for each run.

    Args:
        song: its name.
        kept: run -> (track or subgroup, type, rank there) of the processors in its graph.
        losses: audio loss of each run, for the labels.

    Raises:
        GraphmixError: there is no run.
    """
    need(kept)
    every = set().union(*kept.values())
    owners = _unique(owner for owner, _, _ in sorted(every, key=lambda place: (place[0].casefold(), place)))
    order = {name: i for i, name in enumerate(sorted_types({kind for _, kind, _ in every}))}
    rows = sorted(every, key=lambda place: (owners.index(place[0]), order[place[1]], place[2]))
    height = 1.5 + 0.14 * max(6, len(rows))
    figure = new_figure(3.4 + 0.55 * len(kept), height)
    axes = figure.subplots()
    picture = np.ones((max(1, len(rows)), len(kept), 3))
    for column, own in enumerate(kept.values()):
        for row, place in enumerate(rows):
            if place in own:
                picture[row, column] = to_rgb(color_of(place[1]))
    axes.imshow(picture, aspect="auto", interpolation="nearest")
    starts = [next(i for i, place in enumerate(rows) if place[0] == owner) for owner in owners]
    middles = [(a + b - 1) / 2 for a, b in pairwise([*starts, len(rows)])]
    axes.set_yticks(middles, [without_math(shortened(owner, 28)) for owner in owners], fontsize=6.5)
    for start in starts[1:]:
        axes.axhline(start - 0.5, color="#999999", lw=0.6)
    for column in range(1, len(kept)):
        axes.axvline(column - 0.5, color="white", lw=2)
    labels = [f"{without_math(run)}\n{len(own)}" for run, own in kept.items()]
    if len(losses) >= len(kept):
        labels = [f"{label}\n{loss:.3f}" for label, loss in zip(labels, losses, strict=False)]
    axes.set_xticks(range(len(kept)), labels, fontsize=6.5)
    axes.tick_params(length=0)
    axes.set_xlabel("run, processors kept" + (", audio loss" if len(losses) >= len(kept) else ""), fontsize=8)
    common = len(set.intersection(*(set(own) for own in kept.values())))
    handles = [Line2D([], [], marker="s", lw=0, ms=6, color=color_of(name), label=type_label(name)) for name in order]
    title = f"{without_math(shortened(song, 40))}: {common} of {len(every)} processors are kept by every run"
    return finish(figure, handles, title)


# --- parts


def _title(records: Sequence[Record], settings: str) -> str:
    songs = "1 song" if len(records) == 1 else f"{len(records)} songs"
    return f"{songs}, {without_math(settings)}" if settings else songs


def _edges(values: Sequence[float], key: str) -> np.ndarray:
    """Bins from the least to the greatest value; whole numbers lie in the middle of theirs."""
    if key == "pruning_ratio":
        return np.linspace(0, 1, 21)
    low, high = min(values), max(values)
    if key == "audio_loss":
        return np.linspace(low, high, _BINS + 1) if high > low else np.array([low - 0.05, low + 0.05])
    step = max(1, math.ceil((high - low + 1) / _BINS))
    return np.arange(low, high + step + 1, step) - 0.5


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _by_song(records: Sequence[Record]) -> list[list[Record]]:
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.get("collection", ""), record["song_id"]), []).append(record)
    return list(groups.values())


def _by_tolerance(tolerances: Sequence[float], records: Sequence[Record]) -> np.ndarray:
    """(remaining, loss increase) of a song at each tolerance that it has."""
    found = {record["tolerance"]: (record["remaining"], record["loss increase"]) for record in records}
    return np.array([found[tolerance] for tolerance in tolerances if tolerance in found], dtype=float)
