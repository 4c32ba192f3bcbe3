"""Notes beside the note that they imitate."""

import numpy as np
import pytest

from graphmix.errors import GraphmixError
from graphmix.plots.notes import plot_notes

RATE = 22050
TIME = np.arange(RATE // 2) / RATE
TONE = 0.5 * np.sin(2 * np.pi * 440 * TIME)


def panels(figure: object, title: str) -> list:
    return [axes for axes in figure.axes if title in axes.get_title()]  # type: ignore[attr-defined]


def test_a_tone_is_brightest_at_its_frequency_and_its_error_is_its_gain():
    figure = plot_notes(TONE, {"half": 0.5 * TONE, "same": TONE}, RATE)
    (target,) = panels(figure, "target")
    mesh = target.collections[0]
    values = np.asarray(mesh.get_array()).reshape(240, -1)
    edges = np.geomspace(40, RATE / 2, 241)
    band = int(values[:, values.shape[1] // 2].argmax())
    assert edges[band - 1] <= 440 <= edges[band + 2]
    half, same = panels(figure, "error")
    assert float(np.asarray(half.collections[0].get_array()).reshape(240, -1)[band].mean()) == pytest.approx(
        -6, abs=0.1
    )
    assert "mean 0.0 dB" in same.get_title()
    (level,) = panels(figure, "level in time")
    target_line, half_line, _ = level.lines
    assert np.median(target_line.get_ydata() - half_line.get_ydata()) == pytest.approx(6.02, abs=0.05)


def test_silence_can_be_drawn():
    figure = plot_notes(TONE, {"silent": np.zeros_like(TONE)}, RATE)
    assert panels(figure, "error")
    plot_notes(np.zeros_like(TONE), {"tone": TONE}, RATE)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(GraphmixError, match="give at least one"):
        plot_notes(TONE, {}, RATE)
    with pytest.raises(GraphmixError, match="cut them alike"):
        plot_notes(TONE, {"short": TONE[:100]}, RATE)
