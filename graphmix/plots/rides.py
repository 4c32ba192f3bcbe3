"""Gains that move over the time of a song: fades, rides and mutes."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from graphmix.plots.labels import shortened, without_math
from graphmix.plots.panels import finish, hues, legend_beside, need, new_figure, prepare

_LEAST_DB, _ROOM_DB = -60.0, 3.0
"""Softer than this is drawn as this; and what is left above and below the curves."""


def plot_rides(rides: Mapping[str, Sequence[tuple[float, float]]], seconds: float) -> Figure:
    """Draw curves in dB over the song.

    Args:
        rides: breakpoints, seconds and dB, of each track, subgroup or mix by name.
        seconds: length of the song.

    Raises:
        GraphmixError: there is no ride.
    """
    need(rides)
    figure = new_figure(7.0, 2.8)
    axes = figure.subplots()
    prepare(axes)
    colors = hues(rides)
    for name, points in rides.items():
        times, gains = zip(*points, strict=True)
        shown = [max(gain, _LEAST_DB) for gain in (gains[0], *gains, gains[-1])]
        label = without_math(shortened(name, 30))
        axes.plot([0.0, *times, seconds], shown, color=colors[name], lw=1.6, marker=".", ms=5, label=label)
    axes.axhline(0, color="#888888", lw=0.8, zorder=1)
    low = min(max(min(g for _, g in points), _LEAST_DB) for points in rides.values())
    high = max(max(g for _, g in points) for points in rides.values())
    axes.set(xlim=(0, seconds), ylim=(min(low, 0) - _ROOM_DB, max(high, 0) + _ROOM_DB))
    axes.set(xlabel="time / s", ylabel="gain / dB")
    legend_beside(axes)
    return finish(figure)
