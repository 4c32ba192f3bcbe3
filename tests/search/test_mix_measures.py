"""Measures of mixes against values known by hand."""

import math

import pytest
import torch
from torch import Tensor

from graphmix.audio.loudness import loudness
from graphmix.errors import SearchError
from graphmix.search.losses import mix_loss
from graphmix.search.mix_measures import (
    UNITS,
    compare_mixes,
    crest_factor,
    dynamic_range,
    log_spectral_distance,
    song_loss,
    stereo_width,
)

RATE = 48000


def sine(amplitude: float, seconds: float = 2.0, hertz: float = 997.0) -> Tensor:
    time = torch.arange(round(seconds * RATE), dtype=torch.float64) / RATE
    return (amplitude * torch.sin(2 * torch.pi * hertz * time)).float().expand(2, -1).contiguous()


def noise(seconds: float = 2.0, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(2, round(seconds * RATE), generator=torch.Generator().manual_seed(seed))


# --- loudness: BS.1770 says that a sine of 997 Hz at full scale on one channel has -3.01 LUFS, so on both 0


@pytest.mark.parametrize("level_db", [-20.0, -6.0, 0.0, 12.0])
def test_a_stereo_sine_of_1_khz_has_its_level_as_loudness(level_db: float) -> None:
    assert loudness(sine(10 ** (level_db / 20)), RATE) == pytest.approx(level_db, abs=0.3)


def test_loudness_moves_with_the_gain() -> None:
    mix = noise()
    assert loudness(2 * mix, RATE) - loudness(mix, RATE) == pytest.approx(20 * math.log10(2), abs=0.01)


@pytest.mark.parametrize("mix", [torch.zeros(2, RATE), 1e-6 * torch.ones(2, RATE), torch.zeros(2, 100)])
def test_silence_has_the_loudness_of_the_gate(mix: Tensor) -> None:
    assert loudness(mix, RATE) == -70


def test_the_loudness_of_less_than_a_block_is_a_number() -> None:
    assert math.isfinite(loudness(sine(0.5, 0.1), RATE))


# --- width, crest factor, dynamic range


def test_mono_is_as_narrow_as_can_be_and_side_alone_as_wide() -> None:
    mono = sine(0.5)
    assert stereo_width(mono) == -60
    assert stereo_width(mono * torch.tensor([[1.0], [-1.0]])) == 60
    assert stereo_width(torch.zeros(2, 10)) == -60


def test_independent_channels_have_a_width_of_0_db() -> None:
    assert stereo_width(noise(10.0)) == pytest.approx(0, abs=0.1)


def test_crest_factors_of_sine_and_square_wave() -> None:
    wave = sine(0.7)
    assert crest_factor(wave) == pytest.approx(10 * math.log10(2), abs=0.01)
    assert crest_factor(wave.sign() + (wave == 0)) == pytest.approx(0, abs=1e-6)
    assert crest_factor(torch.zeros(2, 10)) == 0


def test_the_dynamic_range_of_two_levels_is_their_distance() -> None:
    loud_and_soft = torch.cat([sine(0.5, 10.0), sine(0.5 / 10**0.5, 10.0)], dim=1)
    assert dynamic_range(loud_and_soft, RATE) == pytest.approx(10, abs=0.2)
    assert dynamic_range(sine(0.5), RATE) == pytest.approx(0, abs=0.05)
    assert dynamic_range(torch.zeros(2, RATE), RATE) == 0


def test_pauses_do_not_count_as_dynamics() -> None:
    paused = torch.cat([sine(0.5, 4.0), 1e-4 * sine(0.5, 4.0), sine(0.5, 4.0)], dim=1)
    assert dynamic_range(paused, RATE) < 6


# --- differences


def test_a_gain_is_as_far_off_as_it_is_large() -> None:
    mix = noise()
    assert log_spectral_distance(2 * mix, mix, RATE) == pytest.approx(20 * math.log10(2), abs=0.01)


def test_a_perfect_match_is_0_everywhere() -> None:
    mix = noise()
    found = compare_mixes(prediction=mix, target=mix, sample_rate=RATE)
    assert tuple(found) == tuple(UNITS)
    assert all(value == pytest.approx(0, abs=1e-6) for value in found.values())


def test_only_what_differs_is_off() -> None:
    mix = noise()
    found = compare_mixes(prediction=2 * mix, target=mix, sample_rate=RATE)
    assert found["loudness_lu"] == pytest.approx(6.02, abs=0.02)
    for name in ("width_db", "crest_db", "dynamics_db"):
        assert found[name] == pytest.approx(0, abs=1e-3)
    assert found["audio_loss"] > 0.5


def test_the_loss_of_a_song_of_one_window_is_that_of_its_samples() -> None:
    one, other = noise(seed=0), noise(seed=1)
    expected = float(mix_loss(prediction=one[None], target=other[None], sample_rate=RATE).total)
    assert song_loss(prediction=one, target=other, sample_rate=RATE) == pytest.approx(expected, rel=1e-6)


def test_the_loss_of_a_longer_song_weighs_every_sample_once() -> None:
    target = noise(6.5)
    prediction = target.clone()
    prediction[:, : round(2.8 * RATE)] = 0  # the first window alone is wrong
    whole = song_loss(prediction=prediction, target=target, sample_rate=RATE)
    first = float(mix_loss(prediction=prediction[None, :, : round(2.8 * RATE)],
                           target=target[None, :, : round(2.8 * RATE)], sample_rate=RATE).total)  # fmt: skip
    assert whole == pytest.approx(first * 2.8 / 6.5, rel=0.02)


def test_signals_of_different_shapes_are_refused() -> None:
    with pytest.raises(SearchError, match="equal length"):
        compare_mixes(prediction=noise(), target=noise()[:, 1:], sample_rate=RATE)


def test_the_papers_loss_stands_beside_that_which_compares_silence_with_the_song() -> None:
    target = noise(seconds=9)
    prediction = target.clone()
    target[:, 5 * RATE :] = 0
    found = compare_mixes(prediction=prediction, target=target, sample_rate=RATE)
    assert found["audio_loss_paper"] > 10 > 2 > found["audio_loss"]
    sounding = compare_mixes(prediction=0.5 * prediction, target=prediction, sample_rate=RATE)
    assert sounding["audio_loss_paper"] == sounding["audio_loss"]
