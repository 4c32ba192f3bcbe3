"""Descriptions of mixes against closed forms."""

import math

import pytest
import torch

from graphmix.audio.loudness import loudness_range
from graphmix.evaluation.mix_features import FEATURES, mix_features

RATE = 30000


def sine(hz: float, seconds: float = 4.0, level: float = 0.1) -> torch.Tensor:
    time = torch.arange(round(seconds * RATE), dtype=torch.float64) / RATE
    return (level * torch.sin(2 * torch.pi * hz * time)).float()


def test_a_sine_in_the_middle_has_its_frequency_and_no_panning() -> None:
    features = mix_features(sine(2000).expand(2, -1), RATE)
    assert list(features) == list(FEATURES)
    assert features["centroid_oct"] == pytest.approx(1.0, abs=0.01)
    assert features["rolloff_oct"] == pytest.approx(1.0, abs=0.02)
    assert features["crest_db"] == pytest.approx(20 * math.log10(math.sqrt(2)), abs=0.1)
    assert features["pan_rms"] == pytest.approx(0.0, abs=1e-3)


def test_what_is_on_one_side_alone_has_a_panning_of_one_in_its_band() -> None:
    left = torch.stack([sine(1000), torch.zeros_like(sine(1000))])
    assert mix_features(left, RATE)["pan_mid"] == pytest.approx(1.0, abs=1e-3)
    swapped = mix_features(left.flip(0), RATE)
    assert swapped["pan_mid"] == pytest.approx(1.0, abs=1e-3)


def test_half_as_loud_on_one_side_is_the_index_of_the_paper() -> None:
    generator = torch.Generator().manual_seed(0)
    noise = 0.1 * torch.randn(4 * RATE, generator=generator)
    features = mix_features(torch.stack([noise, 0.5 * noise]), RATE)
    expected = 1 - 2 * 0.5 / (1 + 0.25)
    assert [features[n] for n in ("pan_rms", "pan_low", "pan_mid", "pan_high")] == pytest.approx(
        [expected] * 4, abs=1e-4
    )


def test_white_noise_is_flat() -> None:
    generator = torch.Generator().manual_seed(0)
    noise = 0.1 * torch.randn(2, 4 * RATE, generator=generator)
    flatness = mix_features(noise, RATE)["flatness_db"]
    assert flatness == pytest.approx(10 * math.log10(math.exp(-0.5772)), abs=0.1)  # of exponentially distributed powers


@pytest.mark.parametrize(
    ("first", "second", "expected"), [(-20.0, -30.0, 10.0), (-20.0, -15.0, 5.0), (-20.0, -60.0, 0.0)]
)
def test_the_loudness_range_of_two_levels_is_their_distance(first: float, second: float, expected: float) -> None:
    parts = [sine(1000, 20.0, 10 ** (level / 20)) for level in (first, second)]
    assert loudness_range(torch.cat(parts).expand(2, -1), RATE) == pytest.approx(
        expected, abs=2.0 if expected == 0 else 1.0
    )


def test_silence_has_numbers() -> None:
    assert all(math.isfinite(value) for value in mix_features(torch.zeros(2, RATE), RATE).values())
    assert loudness_range(torch.zeros(2, 10 * RATE), RATE) == 0
