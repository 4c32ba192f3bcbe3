"""Notes beside the note that they imitate: spectrograms on a logarithmic scale of frequency, errors, levels in time.

Conventions: audio is mono, [samples]. Levels are in dB re the loudest point of the target and not below -80 dB; the
error is the match's level minus the target's, red where the match is too loud.
"""

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

from graphmix.errors import GraphmixError
from graphmix.plots.labels import readable
from graphmix.plots.panels import INK, finish, hues, new_figure, prepare

_FLOOR_DB, _ERROR_DB = -80.0, 20.0
_N_FFT, _HOP = 4096, 512
_LOWEST_HZ, _BANDS = 40.0, 240
_FRAME_SECONDS = 0.01
_WIDTH, _HEIGHT = 2.7, 2.1

Mono = npt.NDArray[np.floating]


def plot_notes(target: Mono, matches: Mapping[str, Mono], sample_rate: int) -> Figure:
    """Draw a note and what imitates it.

    Args:
        target: [samples].
        matches: label -> [samples].
        sample_rate: in Hz.

    Returns:
        Above the spectrograms; below the levels in time, and the error of each match.

    Raises:
        GraphmixError: there is no match, or one of another length.
    """
    if not matches:
        raise GraphmixError("there is no match to plot; give at least one.")
    for label, audio in matches.items():
        if audio.shape != target.shape:
            raise GraphmixError(
                f"{label!r} has the shape {audio.shape}, and the target {target.shape}; cut them alike."
            )
    figure = new_figure(_WIDTH * (1 + len(matches)) + 1.0, 2 * _HEIGHT)
    panels = figure.subplots(2, 1 + len(matches), squeeze=False)
    seconds = len(target) / sample_rate
    power = {label: _bands(audio, sample_rate) for label, audio in {"target": target, **matches}.items()}
    loudest = float(power["target"].max()) or 1.0
    levels = {label: np.maximum(10 * np.log10(p / loudest + 1e-20), _FLOOR_DB) for label, p in power.items()}
    images = []
    for column, (label, level) in enumerate(levels.items()):
        axes = panels[0, column]
        images.append(_show(axes, level, seconds, sample_rate, "magma", (_FLOOR_DB, 0.0)))
        axes.set_title(textwrap.fill(readable(label), 34), fontsize=8.5, parse_math=False)
        axes.tick_params(labelbottom=False)
        if column:
            error = level - levels["target"]
            images.append(_show(panels[1, column], error, seconds, sample_rate, "RdBu_r", (-_ERROR_DB, _ERROR_DB)))
            panels[1, column].set_title(f"error, mean {np.abs(error).mean():.1f} dB", fontsize=8.5)
            panels[1, column].set_xlabel("time / s", fontsize=7.5)
            axes.tick_params(labelleft=False)
    panels[0, 0].set_ylabel("frequency / Hz", fontsize=7.5)
    panels[1, 1].set_ylabel("frequency / Hz", fontsize=7.5)
    for axes in panels[1, 2:]:
        axes.tick_params(labelleft=False)
    _draw_levels(panels[1, 0], target, matches, sample_rate)
    for image, row, label in ((images[0], 0, "level / dB"), (images[-1], 1, "match - target / dB")):
        bar = figure.colorbar(image, ax=panels[row, -1], pad=0.02, extend="both" if row else "min")
        bar.set_label(label, fontsize=7.5)
        bar.ax.tick_params(labelsize=7)
    return finish(figure)


def _bands(audio: Mono, sample_rate: int) -> npt.NDArray[np.float64]:
    """Power of bands of equal ratio, [bands, frames]; where bins are wider than a band it is interpolated."""
    padded = np.pad(np.asarray(audio, np.float64), _N_FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _N_FFT)[::_HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(_N_FFT + 1)[:-1])) ** 2
    edges = np.geomspace(_LOWEST_HZ, sample_rate / 2, _BANDS + 1) * _N_FFT / sample_rate
    sums = np.concatenate([np.zeros((len(power), 1)), np.cumsum(power, axis=1)], axis=1)
    places = np.arange(sums.shape[1]) - 0.5
    at_edges = np.stack([np.interp(edges, places, row) for row in sums])
    return (np.diff(at_edges, axis=1) / np.diff(edges)).T


def _show(
    axes: Axes, values: npt.NDArray[np.float64], seconds: float, rate: int, colors: str, limits: tuple[float, float]
) -> Any:
    edges = np.geomspace(_LOWEST_HZ, rate / 2, values.shape[0] + 1)
    times = np.linspace(0, seconds, values.shape[1] + 1)
    image = axes.pcolormesh(times, edges, values, cmap=colors, vmin=limits[0], vmax=limits[1], rasterized=True)
    axes.set_yscale("log")
    axes.set_yticks([hz for hz in (50, 100, 200, 500, 1000, 2000, 5000, 10000) if hz < rate / 2])
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(labelsize=7)
    return image


def _draw_levels(axes: Axes, target: Mono, matches: Mapping[str, Mono], sample_rate: int) -> None:
    """Levels of frames of 10 ms."""
    prepare(axes)
    size = max(1, round(_FRAME_SECONDS * sample_rate))

    def level(audio: Mono) -> npt.NDArray[np.float64]:
        frames = np.pad(np.asarray(audio, np.float64), (0, -len(audio) % size)).reshape(-1, size)
        return 10 * np.log10((frames**2).mean(1) + 1e-20)

    loudest = level(target).max()
    times = np.arange(len(level(target))) * size / sample_rate
    axes.plot(times, np.maximum(level(target) - loudest, _FLOOR_DB), color=INK, lw=1.6, label="target")
    colors = hues(matches)
    for label, audio in matches.items():
        shown = np.maximum(level(audio) - loudest, _FLOOR_DB)
        axes.plot(times, shown, color=colors[label], lw=1.0, label=readable(label.split(":")[0]))
    axes.set_ylim(_FLOOR_DB, 6)
    axes.set_title("level in time", fontsize=8.5)
    axes.set_xlabel("time / s", fontsize=7.5)
    axes.set_ylabel("dB re the target's highest", fontsize=7.5)
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=6.5, frameon=False, loc="lower left")
