import math
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from graphmix.errors import GraphmixError
from graphmix.plots import plot_match, save

RATE = 30000


def sine(hertz: float, seconds: float = 1.0, side: float = 0.0) -> torch.Tensor:
    wave = torch.sin(2 * math.pi * hertz * torch.arange(int(seconds * RATE)) / RATE)
    return torch.stack([wave * (1 + side), wave * (1 - side)])


def panels(figure: Figure) -> dict[str, np.ndarray]:
    return {axes.get_title(): np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.get_title()}


def test_target_and_match_and_error_are_shown_for_mid_and_side() -> None:
    figure = plot_match(sine(1000, side=0.5), {"full": sine(1000, side=0.5)}, RATE)
    shown = panels(figure)
    assert list(shown) == [
        "target, mid",
        "target, side",
        "full, mid",
        "mid error, mean 0.0 dB",
        "full, side",
        "side error, mean 0.0 dB",
    ]
    assert np.all(shown["mid error, mean 0.0 dB"] == 0)
    assert [axes.get_xlabel() for axes in figure.axes].count("time / s") == 4
    bars = {axes.get_xlabel() for axes in figure.findobj(lambda artist: hasattr(artist, "get_xlabel"))}
    assert {"level / dB", "error (match - target) / dB"} <= bars


def test_a_sine_is_loudest_at_its_frequency_and_side_is_six_db_below() -> None:
    shown = panels(plot_match(sine(5000, side=0.5), {"full": sine(5000)}, RATE))
    mid, side = shown["target, mid"], shown["target, side"]
    middle = mid[:, mid.shape[1] // 2]
    assert middle.argmax() / len(middle) * RATE / 2 == pytest.approx(5000, abs=60)
    assert mid.max() == pytest.approx(0, abs=1e-9)
    assert side.max() == pytest.approx(20 * math.log10(0.5), abs=0.01)


def test_the_error_is_the_match_minus_the_target_in_db() -> None:
    noise = torch.randn(2, RATE)
    figure = plot_match(noise, {"soft": noise / 2}, RATE)
    expected = 20 * math.log10(0.5)
    for axes in figure.axes:
        if "error, mean" in axes.get_title():
            image = axes.images[0]
            assert np.median(np.asarray(image.get_array())) == pytest.approx(expected, abs=0.01)
            assert image.get_clim() == (-20, 20)


def test_power_is_averaged_over_frames_and_bins() -> None:
    """A long noise keeps its mean power whatever the size of the picture."""
    short, long = torch.randn(2, RATE), torch.randn(2, 40 * RATE)
    means = []
    for audio in (short, long):
        image = panels(plot_match(audio, {"same": audio}, RATE))["target, mid"]
        assert image.shape[0] <= 384
        assert image.shape[1] <= 600
        means.append(image)
    assert means[1].shape[1] == 600
    assert means[1].std() < means[0].std()


def test_differences_below_the_floor_count_as_none() -> None:
    target = sine(1000)
    shown = panels(plot_match(target, {"noisy": target + 1e-7 * torch.randn_like(target)}, RATE))
    assert "side error, mean 0.0 dB" in shown


def test_five_minutes_are_drawn_in_seconds(tmp_path: Path) -> None:
    audio = torch.randn(2, 300 * RATE) * 0.1
    start = time.perf_counter()
    path = save(plot_match(audio, {"match": audio * 0.9}, RATE), tmp_path / "match.png")
    assert time.perf_counter() - start < 60
    assert path.stat().st_size > 10_000


LEVELS = ((0, 0), (0, 1), (1, 0))
"""Of target and match."""


@pytest.mark.parametrize(
    ("samples", "levels"),
    [(1, LEVELS[1:2]), (5000, LEVELS), *(pytest.param(few, LEVELS, marks=pytest.mark.slow) for few in (1, 100))],
    ids=["1", "5000", "1, all levels", "100"],
)
def test_short_silent_and_numpy_audio_is_drawn(
    samples: int, levels: tuple[tuple[int, int], ...], tmp_path: Path, recwarn
) -> None:
    noise = np.random.default_rng(0).normal(size=(2, samples))
    label = "a $label$ that is so long that it needs more than one line 夜 🎸"
    for target, match in levels:
        save(plot_match(target * noise, {label: match * noise}, RATE), tmp_path / "match.png")
    assert not recwarn.list


@pytest.mark.parametrize(
    ("target", "matches", "rate", "message"),
    [
        (torch.zeros(2, 9), {}, RATE, "no match to plot"),
        (torch.zeros(9), {"a": torch.zeros(2, 9)}, RATE, r"target has shape \[9\], expected \[2, samples\]"),
        (torch.zeros(2, 9), {"a": torch.zeros(2, 8)}, RATE, "'a' has 8 samples, but the target has 9"),
        (torch.zeros(2, 9), {"a": torch.full((2, 9), math.nan)}, RATE, "'a' has samples that are not finite"),
        (torch.zeros(2, 9), {"a": torch.zeros(2, 9)}, 0, "must be positive"),
    ],
)
def test_audio_that_does_not_fit_is_refused(target: torch.Tensor, matches: dict, rate: int, message: str) -> None:
    with pytest.raises(GraphmixError, match=message):
        plot_match(target, matches, rate)
