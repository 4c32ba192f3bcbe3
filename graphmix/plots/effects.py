"""Pictures of a captured device: what it does, and how well its model follows it. Drawing only.

What is drawn is measured in :mod:`graphmix.capture.measures` and :mod:`graphmix.capture.losses`. In all of them the
device is blue, its model green and the error red.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from graphmix.errors import GraphmixError
from graphmix.plots.panels import FAINT, finish, hues, legend_beside, new_figure, note, prepare

Samples = NDArray[np.floating]
_COLORS = hues(("device", "error", "model"))
_DEVICE, _MODEL, _ERROR = (_COLORS[name] for name in ("device", "model", "error"))
_GRADES = ((0.01, "excellent"), (0.035, "good"), (0.1, "usable"))
_RANGE_DB = 90.0
_LOWEST_DB = -110.0
"""Harmonics below are rounding errors of the model."""
_LEAST_ESR = 1e-9


def _new_axes(width: float, height: float, xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    figure = new_figure(width, height)
    axes = figure.subplots()
    prepare(axes)
    axes.set_xlabel(xlabel, fontsize=8)
    axes.set_ylabel(ylabel, fontsize=8)
    return figure, axes


def plot_transfer_curve(inputs: Samples, outputs: Samples) -> Figure:
    """Output against input over one period of a sine, with the line of a device that does nothing."""
    figure, axes = _new_axes(4.6, 4.0, "input", "output")
    axes.plot(inputs, outputs, color=_MODEL, lw=1.4, label="model")
    axes.axline((0, 0), slope=1, color=FAINT, lw=0.8, ls=":", zorder=0, label="output = input")
    axes.legend(fontsize=7.5, frameon=False, loc="upper left")
    return finish(figure, title="Transfer curve: a sine of 110 Hz at full scale")


def plot_harmonics(levels_db: Sequence[float], amplitudes_db: Samples) -> Figure:
    """Harmonics against level, [levels, harmonics]; what lies below -110 dB is left out."""
    figure, axes = _new_axes(6.0, 3.8, "level of the input / dB", "amplitude / dB re full scale")
    table = np.asarray(amplitudes_db)
    colors = hues(f"{number}" for number in range(1, table.shape[1] + 1))
    for number, amplitudes in enumerate(table.T, start=1):
        if not np.any(amplitudes >= _LOWEST_DB):
            continue
        shown = np.where(amplitudes < _LOWEST_DB, np.nan, amplitudes)
        label = "fundamental" if number == 1 else f"harmonic {number}"
        axes.plot(levels_db, shown, color=colors[f"{number}"], lw=1.2, marker="o", ms=2.5, label=label)
    axes.plot(levels_db, levels_db, color=FAINT, lw=0.8, ls=":", zorder=0, label="input")
    if not np.any(table >= _LOWEST_DB):
        note(axes, "the model is silent")
    legend_beside(axes)
    return finish(figure, title="Harmonics of a sine of 440 Hz")


def plot_step_response(samples: Samples, sample_rate: int, level_db: float = -12.0) -> Figure:
    """Output after a step from silence to a constant, and the step."""
    figure, axes = _new_axes(6.0, 3.0, "time / ms", "output")
    axes.axhline(10 ** (level_db / 20), color=FAINT, lw=0.8, ls=":", zorder=0, label="input")
    axes.plot(1000 * np.arange(len(samples)) / sample_rate, samples, color=_MODEL, lw=1.2, label="model")
    legend_beside(axes)
    return finish(figure, title=f"Response to a step from silence to {level_db:.0f} dB")


def plot_waveforms(target: Samples, output: Samples, sample_rate: int, seconds: float = 0.02) -> Figure:
    """Device and model where the device is loudest, and their difference.

    Raises:
        GraphmixError: they differ in length, or are empty.
    """
    if len(target) != len(output) or not len(target):
        raise GraphmixError(f"device and model have {len(target)} and {len(output)} samples; give equally many.")
    length = min(len(target), max(2, round(seconds * sample_rate)))
    sums = np.concatenate([[0.0], np.cumsum(np.square(target, dtype=np.float64))])
    begin = int(np.argmax(sums[length:] - sums[:-length]))
    time = begin / sample_rate + np.arange(length) / sample_rate
    figure, axes = _new_axes(7.0, 3.0, "time / s", "amplitude")
    a, b = target[begin : begin + length], output[begin : begin + length]
    axes.plot(time, a, color=_DEVICE, lw=2.4, label="device")
    axes.plot(time, b, color=_MODEL, lw=1.2, ls="--", label="model")
    axes.plot(time, b - a, color=_ERROR, lw=0.8, label="error")
    legend_beside(axes)
    return finish(figure, title="Device and model where it is loudest, on audio that training did not use")


def plot_error_spectrogram(target_db: Samples, error_db: Samples, seconds: float, sample_rate: int) -> Figure:
    """Spectrograms in dB of the device's output and of the error, [bins, frames] each, on one scale."""
    figure = new_figure(8.0, 3.4)
    panels = figure.subplots(1, 2, sharey=True)
    top = float(np.max(target_db)) if np.size(target_db) else 0.0
    images = list[AxesImage]()
    extent = (0.0, max(seconds, 1e-3), 0.0, sample_rate / 2000)
    for axes, values, title in zip(panels, (target_db, error_db), ("device", "error of the model"), strict=True):
        scale = {"vmin": -_RANGE_DB, "vmax": 0.0, "cmap": "magma", "interpolation": "nearest"}
        images.append(axes.imshow(np.asarray(values) - top, origin="lower", aspect="auto", extent=extent, **scale))
        axes.set_title(title, fontsize=8)
        axes.set_xlabel("time / s", fontsize=7.5)
        axes.tick_params(labelsize=7)
    panels[0].set_ylabel("frequency / kHz", fontsize=7.5)
    bar = figure.colorbar(images[-1], ax=panels, extend="both")
    bar.set_label("level / dB re the device's loudest point", fontsize=7.5)
    bar.ax.tick_params(labelsize=7)
    return finish(figure, title="On audio that training did not use")


def plot_learning_curve(history: Sequence[tuple[int, float, float, float]]) -> Figure:
    """Validation error against seconds of training, from (step, seconds, training loss, validation ESR)."""
    figure, axes = _new_axes(6.0, 3.4, "training time / s", "error-to-signal ratio")
    points = [(row[1], row[3]) for row in history if np.isfinite(row[3]) and row[3] > 0]
    if points:
        axes.semilogy(*zip(*points, strict=True), color=_MODEL, lw=1.2, marker="o", ms=2.5)
        best = min(points, key=lambda point: point[1])
        axes.plot(*best, color=_ERROR, marker="o", ms=5, ls="", label=f"best: {best[1]:.2g}")
        axes.legend(fontsize=7.5, frameon=False, loc="upper right")
        axes.set_xlim(left=0)
        _show_grades(axes, [error for _, error in points])
    else:
        note(axes, "no validation error is finite")
    return finish(figure, title="Learning curve, on audio that training does not use")


def plot_error_by_level(table: Sequence[tuple[float, float]]) -> Figure:
    """Error-to-signal ratio against the level of the input, from (level in dB, ESR)."""
    figure, axes = _new_axes(6.0, 3.2, "level of the input / dB", "error-to-signal ratio")
    shown = [(level, max(error, _LEAST_ESR)) for level, error in table]
    if shown:
        axes.semilogy(*zip(*shown, strict=True), color=_ERROR, lw=1.2, marker="o", ms=3)
        _show_grades(axes, [error for _, error in shown])
    else:
        note(axes, "there is no audio to measure it on")
    return finish(figure, title="Error by level, on audio that training did not use")


def _show_grades(axes: Axes, errors: Sequence[float]) -> None:
    """Lines below which an error counts as usable, good or excellent, where they lie within reach of the errors."""
    low, high = min(*errors, 0.01), max(*errors, 0.1)
    axes.set_ylim(low / 2, high * 2)
    for value, word in _GRADES:
        axes.axhline(value, color=FAINT, lw=0.8, ls=":", zorder=0)
        axes.text(1.01, value, word, transform=axes.get_yaxis_transform(), va="center", fontsize=7.5, color=FAINT)


def plot_free_runs(moments: Mapping[str, tuple[Samples, Samples]], sample_rate: int) -> Figure:
    """Moments of free runs of a network that is fed its own output: by title, the device's output and the network's."""
    figure = new_figure(2.8 * max(1, len(moments)), 2.3)
    panels = figure.subplots(1, max(1, len(moments)), squeeze=False)[0]
    for axes, (title, (target, output)) in zip(panels, moments.items(), strict=False):
        prepare(axes)
        time = 1000 * np.arange(len(target)) / sample_rate
        axes.plot(time, target, color=_DEVICE, lw=2.0, label="device")
        axes.plot(time, output, color=_MODEL, lw=0.9, label="model")
        axes.set_xlabel("time / ms", fontsize=8)
        axes.set_title(title, fontsize=8)
    return finish(figure, panels[0].get_lines())
