"""Pictures of captured devices show what they are given, also where there is little to show."""

import math

import numpy as np
import pytest

from graphmix.errors import GraphmixError
from graphmix.plots import effects


def lines(figure) -> dict[str, np.ndarray]:
    """Data of the labelled lines of the first axes."""
    return {line.get_label(): np.asarray(line.get_xydata()) for line in figure.axes[0].get_lines()}


def test_the_transfer_curve_is_output_against_input():
    x = np.linspace(-1, 1, 50)
    curve = lines(effects.plot_transfer_curve(x, np.tanh(x)))["model"]
    assert np.allclose(curve, np.stack([x, np.tanh(x)], 1))


def test_each_harmonic_is_a_line_and_rounding_errors_are_left_out():
    amplitudes = np.array([[-60.0, -130.0], [0.0, -20.0]])
    found = lines(effects.plot_harmonics((-60.0, 0.0), amplitudes))
    assert found["fundamental"][:, 1].tolist() == [-60.0, 0.0]
    assert np.isnan(found["harmonic 2"][0, 1])
    assert found["harmonic 2"][1, 1] == -20.0


def test_waveforms_are_shown_where_the_device_is_loudest():
    target = np.zeros(4000)
    target[2500:2510] = 1.0
    found = lines(effects.plot_waveforms(target, 0.5 * target, 1000))
    time = found["device"][:, 0]
    assert time[0] <= 2.5
    assert time[-1] >= 2.509
    assert np.allclose(found["error"][:, 1], found["model"][:, 1] - found["device"][:, 1])


def test_waveforms_of_different_lengths_are_refused():
    with pytest.raises(GraphmixError, match="device and model have 3 and 2 samples"):
        effects.plot_waveforms(np.zeros(3), np.zeros(2), 1000)


def test_the_learning_curve_names_the_best_error():
    figure = effects.plot_learning_curve([(1, 0.5, 1.0, 0.5), (2, 1.0, 0.5, 0.02), (3, 1.5, 0.4, math.inf)])
    assert figure.axes[0].get_legend().get_texts()[0].get_text() == "best: 0.02"
    low, high = figure.axes[0].get_ylim()
    assert low < 0.01 < 0.5 < high


@pytest.mark.parametrize(
    "figure",
    [
        lambda: effects.plot_learning_curve([]),
        lambda: effects.plot_learning_curve([(1, 0.1, math.nan, math.inf)]),
        lambda: effects.plot_error_by_level([]),
        lambda: effects.plot_harmonics((-60.0, 0.0), np.full((2, 3), -140.0)),
        lambda: effects.plot_step_response(np.zeros(10), 1000),
        lambda: effects.plot_error_spectrogram(np.zeros((5, 0)), np.zeros((5, 0)), 0.0, 1000),
    ],
)
def test_nothing_to_show_is_drawn_all_the_same(figure):
    figure().canvas.draw()


def test_axes_name_their_units():
    figures = [
        effects.plot_step_response(np.ones(10), 1000),
        effects.plot_error_by_level([(-33.0, 0.2)]),
        effects.plot_error_spectrogram(np.zeros((5, 4)), np.zeros((5, 4)), 1.0, 1000),
    ]
    labels = [figure.axes[0].get_xlabel() for figure in figures]
    assert labels == ["time / ms", "level of the input / dB", "time / s"]
