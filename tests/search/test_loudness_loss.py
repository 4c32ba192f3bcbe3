"""The loudness model: what is known of loudness and masking, and its equations in plain loops."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from graphmix.search.loudness_loss import LoudnessLoss, LoudnessModel
from graphmix.search.masking import band_hertz, hertz_to_bark, in_quiet

RATE = 30_000
HERTZ = band_hertz(RATE)
AT_1_KHZ = int(np.abs(HERTZ - 1000).argmin())


@pytest.fixture(scope="module")
def model() -> LoudnessModel:
    return LoudnessModel(HERTZ)


@pytest.fixture(scope="module")
def loss() -> LoudnessLoss:
    return LoudnessLoss(RATE)


def tones(**levels_db: float) -> Tensor:
    """Powers in bands of tones, band -> level in dB SPL."""
    powers = torch.zeros(len(HERTZ))
    for band, level in levels_db.items():
        powers[int(band.removeprefix("band"))] = 10 ** (level / 10)
    return powers


def tone(level_db: float, band: int = AT_1_KHZ) -> Tensor:
    return tones(**{f"band{band}": level_db})


def test_a_tone_of_1_khz_and_40_db_is_one_sone(model: LoudnessModel) -> None:
    assert float(model.loudness(tone(40))) == pytest.approx(1, rel=1e-5)


def test_ten_db_more_are_about_twice_as_loud(model: LoudnessModel) -> None:
    sones = [float(model.loudness(tone(level))) for level in range(40, 91, 10)]
    ratios = [louder / softer for softer, louder in pairwise(sones)]
    assert all(1.8 < ratio < 2.5 for ratio in ratios)
    assert np.mean(ratios[1:]) == pytest.approx(2.1, abs=0.15)


def test_what_lies_below_the_threshold_in_quiet_is_hardly_loud(model: LoudnessModel) -> None:
    threshold = float(in_quiet(HERTZ)[AT_1_KHZ])
    assert float(model.loudness(tone(threshold - 10))) < 0.02
    assert 0 <= float(model.loudness(torch.zeros(len(HERTZ)))) < 1e-6


def test_what_is_masked_adds_little(model: LoudnessModel) -> None:
    masker, probe = tone(70), tone(40, AT_1_KHZ + 1)
    added = float(model.loudness(masker + probe) - model.loudness(masker))
    assert 0 < added < 0.02 * float(model.loudness(probe))
    below, above = (float(model.specific_loudness(masker)[AT_1_KHZ + step]) for step in (-3, 3))
    assert above > 3 * below  # masking spreads upwards


def test_the_louder_the_farther_upwards(model: LoudnessModel) -> None:
    """Slope in dB/Bark from one band to the next: 24 + 230 / f - 0.2 L."""
    bark = hertz_to_bark(HERTZ)
    for level in (40, 80):
        excitation = 10 * model.excitation(tone(level)).log10()
        fall = (level - float(excitation[AT_1_KHZ + 2])) / (bark[AT_1_KHZ + 2] - bark[AT_1_KHZ])
        assert fall == pytest.approx(24 + 230 / HERTZ[AT_1_KHZ] - 0.2 * level, abs=0.05)


def test_excitation_and_loudness_are_those_of_plain_loops() -> None:
    model = LoudnessModel(HERTZ).double()
    levels = np.random.default_rng(0).uniform(-10, 85, len(HERTZ))
    bark, found = hertz_to_bark(HERTZ), model.specific_loudness(torch.from_numpy(10 ** (levels / 10)))
    for band, hertz in enumerate(HERTZ):
        total = 0.0
        for other, level in enumerate(levels):
            apart = bark[band] - bark[other]
            slope = 27 if apart <= 0 else max(4, 24 + 230 / HERTZ[other] - 0.2 * level)
            total += 10 ** ((level - slope * abs(apart)) / 10)
        quiet = 10 ** (float(in_quiet(np.array([hertz]))[0]) / 10)
        expected = model.scale * ((total + quiet) ** 0.23 - quiet**0.23)
        assert float(found[band]) == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("gain", [0.05, 3.0])
def test_a_song_is_played_at_one_level_whatever_its_file_has(loss: LoudnessLoss, gain: float) -> None:
    target, prediction = 0.1 * torch.randn(2, 1, 2, RATE)
    known = loss(prediction=prediction, target=target).total
    torch.testing.assert_close(loss(prediction=gain * prediction, target=gain * target).total, known, rtol=1e-4, atol=0)


def test_a_sine_has_its_level_in_its_band(loss: LoudnessLoss) -> None:
    sine = 0.5 * torch.sin(torch.arange(RATE) * (2 * math.pi * float(HERTZ[20]) / RATE)).expand(1, 2, -1)
    powers = loss.features(sine).powers
    assert powers.shape[:2] == (1, 4)
    for signal, level in enumerate((0.125, 0.125, 0.125, 0.0)):
        assert float(powers[0, signal, 3].sum()) == pytest.approx(level, rel=0.01, abs=1e-9)
    assert float(powers[0, 0, 3, 19:22].sum()) == pytest.approx(0.125, rel=0.01)


def test_wrong_panning_counts_by_how_far(loss: LoudnessLoss) -> None:
    mono = 0.1 * torch.randn(1, 1, RATE)

    def at(place: float) -> Tensor:
        angle = (place + 1) * math.pi / 4
        return torch.cat([math.cos(angle) * mono, math.sin(angle) * mono], 1)

    middle = loss.features(at(0))
    found = [loss(prediction=at(place), target=middle) for place in (0.1, 0.3, 0.6)]
    totals = [float(terms.total) for terms in found]
    assert 0 < totals[0] < totals[1] < totals[2]
    assert all(terms.side > terms.mid for terms in found)
