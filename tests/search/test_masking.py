"""Powers in cells against Parseval, and masking against the formulas of its sources at single points."""

import math

import numpy as np
import pytest
import torch

from graphmix.search.masking import MASKING_DB, ROOM_DB_SPL, Bands, in_quiet, spread

RATE = 30000


@pytest.fixture(scope="module")
def bands() -> Bands:
    return Bands.at(RATE)


def tone(hertz: float, db: float, samples: int = RATE) -> torch.Tensor:
    """A sine of some level (mean square) on both channels."""
    time = torch.arange(samples, dtype=torch.float64) / RATE
    return (math.sqrt(2) * 10 ** (db / 20) * torch.sin(2 * math.pi * hertz * time)).expand(2, -1)


def noise(db: float, seed: int = 0) -> torch.Tensor:
    return 10 ** (db / 20) * torch.randn(2, RATE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_powers_add_up_to_that_of_the_windowed_frames(bands):
    audio = noise(-20)
    window = np.hanning(bands.n_fft + 1)[:-1]
    frames = np.lib.stride_tricks.sliding_window_view(audio.numpy(), bands.n_fft, axis=1)[:, :: bands.n_fft // 2]
    expected = (frames * window) ** 2
    assert bands.powers(audio).sum(-1).numpy() == pytest.approx(expected.sum(-1) / (window**2).sum(), rel=1e-2)


@pytest.mark.parametrize("rate", [16000, 30000, 44100, 48000])
def test_a_tone_has_its_power_at_any_rate(rate):
    bands = Bands.at(rate)
    assert bands.n_fft / rate == pytest.approx(0.064, rel=0.05)
    audio = (0.1 * torch.sin(2 * math.pi * 1000 * torch.arange(rate) / rate)).expand(2, -1)
    assert bands.powers(audio).sum(-1).mean() == pytest.approx(0.005, rel=1e-2)


def test_a_signal_shorter_than_a_frame_is_one_frame(bands):
    assert bands.powers(torch.ones(2, 100)).shape == (2, 1, 40)


def test_spreading_is_steeper_towards_low_frequencies():
    """Schroeder, Atal and Hall: no loss at the masker, 25 dB per Bark below it, 10 dB per Bark above."""
    db = 10 * np.log10(spread(np.array([-8.0, -7.0, 0.0, 7.0, 8.0])))
    assert db[2] == pytest.approx(0, abs=0.1)
    assert db[1] - db[0] == pytest.approx(25, abs=0.3)
    assert db[4] - db[3] == pytest.approx(-10, abs=0.3)


def test_the_threshold_in_quiet_is_terhardts_above_the_rooms_noise():
    assert in_quiet(np.array([100.0]))[0] == pytest.approx(3.64 * 0.1**-0.8, abs=0.05)
    assert in_quiet(np.array([3300.0]))[0] == ROOM_DB_SPL
    assert in_quiet(np.array([14000.0]))[0] == pytest.approx(3.64 * 14**-0.8 + 1e-3 * 14**4, abs=0.05)


@pytest.mark.parametrize(("below", "audible"), [(MASKING_DB - 4, True), (MASKING_DB + 4, False)])
def test_a_tone_is_masked_by_another_one_in_its_band(bands, below, audible):
    others = tone(1000, -20)
    threshold = bands.threshold(bands.powers(others), float(others.square().mean()))
    own = bands.powers(tone(1000, -20 - below))
    assert bool((own > threshold).any()) is audible


def test_a_masker_reaches_farther_upwards_than_downwards(bands):
    others = tone(1000, -20)
    threshold = bands.threshold(bands.powers(others), float(others.square().mean()))
    low, high = (bool((bands.powers(tone(hertz, -50)) > threshold).any()) for hertz in (680, 1400))
    assert low
    assert not high


def test_beside_silence_only_the_threshold_in_quiet_counts(bands):
    silence = bands.powers(torch.zeros(2, RATE, dtype=torch.float64))
    threshold = bands.threshold(silence, 0.01)
    expected = -20 + bands.quiet_db_spl.double() - 75
    assert (10 * threshold[0, 0].log10()).tolist() == pytest.approx(expected.tolist(), abs=1e-3)
