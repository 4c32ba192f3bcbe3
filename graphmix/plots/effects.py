"""Pictures of a captured device: what it does, and how well its model follows it. Drawing only.

What is drawn is measured in :mod:`graphmix.capture.measures` and :mod:`graphmix.capture.losses`.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from graphmix.errors import GraphmixError

Samples = NDArray[np.floating]
_TARGET, _MODEL, _ERROR = "#444444", "#d1495b", "#00798c"


def plot_transfer_curve(inputs: Samples, outputs: Samples) -> Figure:
    """Output against input over one period of a sine."""
    figure = Figure(figsize=(4.2, 4.0), layout="constrained")
    axes = figure.subplots()
    axes.plot(inputs, outputs, color=_MODEL)
    axes.axline((0, 0), slope=1, color="#bbbbbb", linewidth=0.8, zorder=0)
    axes.set(xlabel="input", ylabel="output", title="Transfer curve, sine of 110 Hz at full scale")
    axes.grid(alpha=0.3)
    return figure


def plot_harmonics(levels_db: Sequence[float], amplitudes_db: Samples) -> Figure:
    """Harmonics against level, [levels, harmonics]."""
    figure = Figure(figsize=(5.5, 4.0), layout="constrained")
    axes = figure.subplots()
    for number, amplitudes in enumerate(np.asarray(amplitudes_db).T, start=1):
        axes.plot(levels_db, amplitudes, marker="o", markersize=3, label="fundamental" if number == 1 else f"{number}")
    axes.set(xlabel="level of the input in dB", ylabel="amplitude in dB", title="Harmonics of a sine of 440 Hz")
    axes.set_ylim(-110, None)
    axes.legend(title="harmonic", fontsize="small")
    axes.grid(alpha=0.3)
    return figure


def plot_step_response(samples: Samples, sample_rate: int) -> Figure:
    """Output after a step."""
    figure = Figure(figsize=(5.5, 3.0), layout="constrained")
    axes = figure.subplots()
    axes.plot(1000 * np.arange(len(samples)) / sample_rate, samples, color=_MODEL)
    axes.set(xlabel="ms", ylabel="output", title="Step response, from silence to -12 dB")
    axes.grid(alpha=0.3)
    return figure


def plot_waveforms(target: Samples, output: Samples, sample_rate: int, seconds: float = 0.02) -> Figure:
    """Device and model where the device is loudest, and their difference.

    Raises:
        GraphmixError: they differ in length, or are empty.
    """
    if len(target) != len(output) or not len(target):
        raise GraphmixError(f"device and model have {len(target)} and {len(output)} samples; give equally many.")
    length = min(len(target), max(2, round(seconds * sample_rate)))
    energy = np.convolve(np.square(target), np.ones(length), mode="valid")
    begin = int(np.argmax(energy))
    time = 1000 * np.arange(length) / sample_rate
    figure = Figure(figsize=(7.0, 3.2), layout="constrained")
    axes = figure.subplots()
    a, b = target[begin : begin + length], output[begin : begin + length]
    axes.plot(time, a, color=_TARGET, label="device")
    axes.plot(time, b, color=_MODEL, linestyle="--", label="model")
    axes.plot(time, b - a, color=_ERROR, linewidth=0.8, label="error")
    axes.set(xlabel="ms", title=f"Waveforms from {begin / sample_rate:.2f} s on, which training did not use")
    axes.legend(fontsize="small")
    axes.grid(alpha=0.3)
    return figure


def plot_error_spectrogram(target_db: Samples, error_db: Samples, seconds: float, sample_rate: int) -> Figure:
    """Spectrograms in dB of the device's output and of the error, [bins, frames] each, on one scale."""
    figure = Figure(figsize=(8.0, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    top = float(np.max(target_db)) if np.size(target_db) else 0.0
    images = list[AxesImage]()
    extent = (0.0, max(seconds, 1e-3), 0.0, sample_rate / 2000)
    for axes, values, title in zip(panels, (target_db, error_db), ("device", "error of the model"), strict=True):
        scale = {"vmin": top - 90, "vmax": top, "cmap": "magma"}
        images.append(axes.imshow(values, origin="lower", aspect="auto", extent=extent, **scale))
        axes.set(xlabel="s", title=title)
    panels[0].set_ylabel("kHz")
    figure.colorbar(images[-1], ax=panels, label="dB")
    return figure


def plot_learning_curve(history: Sequence[tuple[int, float, float, float]]) -> Figure:
    """Validation error against seconds of training, from (step, seconds, training loss, validation ESR)."""
    figure = Figure(figsize=(5.5, 3.4), layout="constrained")
    axes = figure.subplots()
    points = [(row[1], row[3]) for row in history if np.isfinite(row[3]) and row[3] > 0]
    if points:
        axes.semilogy(*zip(*points, strict=True), color=_MODEL)
    for value, word in ((0.01, "excellent"), (0.035, "good"), (0.1, "usable")):
        axes.axhline(value, color="#bbbbbb", linewidth=0.8, zorder=0)
        axes.text(1.0, value, f" {word}", transform=axes.get_yaxis_transform(), va="center", fontsize="small")
    axes.set(xlabel="seconds of training", ylabel="ESR", title="Learning curve, on audio that training does not use")
    return figure


def plot_error_by_level(table: Sequence[tuple[float, float]]) -> Figure:
    """Error-to-signal ratio against the level of the input."""
    figure = Figure(figsize=(5.0, 3.2), layout="constrained")
    axes = figure.subplots()
    shown = [(level, max(error, 1e-9)) for level, error in table]
    if shown:
        axes.semilogy(*zip(*shown, strict=True), marker="o", color=_ERROR)
    axes.set(xlabel="level of the input in dB", ylabel="ESR", title="Error by level")
    axes.grid(alpha=0.3)
    return figure
