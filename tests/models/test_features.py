"""Log-mel spectrograms."""

import torch

from graphmix.models.features import LEVELS, OFFSET_DB, SCALE_DB, SILENCE, Levels, LogMel
from tests.models.small_stems import RATE, make_stems, tone

LOG_MEL = LogMel(RATE)


def test_silence_is_one_constant() -> None:
    features = LOG_MEL(torch.zeros(1, 2, RATE))
    assert features.shape == (1, 2, 101, 64)
    assert torch.allclose(features, torch.full_like(features, SILENCE), atol=1e-5)


def test_a_track_looks_the_same_whoever_is_beside_it() -> None:
    audio = make_stems(4).audio
    assert torch.equal(LOG_MEL(audio), torch.cat([LOG_MEL(track[None]) for track in audio]))


def test_levels_are_preserved() -> None:
    loud, soft = LOG_MEL(torch.stack([tone(1000, 0.5), tone(1000, 0.05)]))
    band = int(loud[0, 50].argmax())
    assert abs(float(loud[0, 50, band] - soft[0, 50, band]) - 20 / SCALE_DB) < 0.01


def test_a_sine_at_full_scale_lies_at_about_0_db_in_its_band() -> None:
    features = LOG_MEL(tone(1000, 1.0)[None])
    level_db = float(features[0, 0, 50].max()) * SCALE_DB - OFFSET_DB
    assert abs(level_db) < 6  # a band holds more or less of the main lobe


def test_the_band_rises_with_the_frequency() -> None:
    features = LOG_MEL(torch.stack([tone(200), tone(2000), tone(9000)]))
    bands = features[:, 0, 50].argmax(1).tolist()
    assert bands == sorted(set(bands))


def test_mid_and_side_are_apart() -> None:
    left = tone(500)
    mono, opposite = left[None], torch.stack([left[0], -left[0]])[None]
    assert torch.allclose(LOG_MEL(mono)[:, 1], torch.tensor(SILENCE), atol=1e-5)
    assert torch.allclose(LOG_MEL(opposite)[:, 0], torch.tensor(SILENCE), atol=1e-5)
    assert torch.allclose(LOG_MEL(mono)[:, 0], LOG_MEL(opposite)[:, 1])


def test_one_sample_and_no_track_are_no_problem() -> None:
    assert LOG_MEL(torch.zeros(1, 2, 1)).shape == (1, 2, 1, 64)
    assert LOG_MEL(torch.zeros(0, 2, RATE)).shape == (0, 2, 101, 64)
    assert not LOG_MEL(make_stems(1).audio.requires_grad_()).requires_grad


def test_levels_are_those_of_the_loud_and_of_all_frames() -> None:
    audio = torch.zeros(2, 2, 3 * RATE)
    audio[0] = torch.randn(2, 3 * RATE, generator=torch.Generator().manual_seed(0)) * 0.1
    audio[1, :, : RATE // 2] = audio[0, :, : RATE // 2]  # a sixth as long, then a pause
    steady, short = Levels(RATE, 32)(audio)
    assert steady.shape == (2, LEVELS, 33)
    assert torch.allclose(short[0, 0], steady[0, 0], atol=0.08)  # as loud where it sounds: 2 dB
    lower = (steady - short)[0, 1, -1] * SCALE_DB
    assert abs(float(lower) - 7.8) < 1.0  # a sixth of the power over all
    assert (short[:, 5, :-1] == SILENCE).all()
    features = LogMel(RATE, 32)(audio)[0][:, ::2]  # frames every 20 ms
    assert torch.allclose(steady[:, 2, :-1], features.amax(1), atol=1e-5)
    total = (10 ** ((features * SCALE_DB - OFFSET_DB) / 10)).sum(-1).mean(1)
    assert torch.allclose(steady[:, 1, -1], (10 * total.log10() + OFFSET_DB) / SCALE_DB, atol=1e-4)


def test_levels_of_silence_are_one_constant() -> None:
    levels = Levels(RATE, 32)(torch.zeros(1, 2, RATE))
    assert (levels[:, :, 4] == 0).all()
    assert torch.allclose(levels[:, :, [0, 1, 2, 3, 5], :-1], torch.tensor(SILENCE))
    assert Levels(RATE, 32)(torch.zeros(0, 2, RATE)).shape == (0, 2, LEVELS, 33)
