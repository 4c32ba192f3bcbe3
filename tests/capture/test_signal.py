"""The test signal is the same everywhere, and holds what it promises."""

import numpy as np
import pytest

from graphmix.capture.signal import CLICKS_SECONDS, PEAK, REPEATED_LENGTH_SECONDS, REPEATED_SECONDS, capture_signal

RATE = 22050


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return capture_signal(RATE)


def test_it_is_the_same_twice_and_never_clips(samples: np.ndarray):
    assert np.array_equal(samples, capture_signal(RATE))
    assert np.abs(samples).max() == pytest.approx(PEAK, abs=1e-6)
    assert len(samples) == 180 * RATE


def test_the_clicks_stand_alone(samples: np.ndarray):
    head = samples[: 2 * RATE]
    assert np.flatnonzero(head).tolist() == [round(seconds * RATE) for seconds in CLICKS_SECONDS]


def test_the_repeated_part_is_repeated(samples: np.ndarray):
    length = round(REPEATED_LENGTH_SECONDS * RATE)
    first, second = (samples[round(s * RATE) : round(s * RATE) + length] for s in REPEATED_SECONDS)
    assert np.array_equal(first, second)
    assert np.abs(first).mean() > 0.01


def test_levels_from_the_noise_floor_to_the_top_occur(samples: np.ndarray):
    frames = samples[: len(samples) // 800 * 800].reshape(-1, 800)
    level = 10 * np.log10(np.square(frames).mean(1) + 1e-12)
    counts, _ = np.histogram(level, bins=np.arange(-60, 1, 6))
    assert (counts > 5).all()
