"""Sound inside of a page keeps its length, its level and its place."""

import io

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmix.audio.loudness import loudness
from graphmix.errors import GraphmixError
from graphmix.report.sound import RATE, Sound, common_loudness, encode, matched_db, plain_db, prepare


def a_chord(seconds: float, rate: int, level: float = 0.3) -> torch.Tensor:
    time = torch.arange(round(seconds * rate)) / rate
    left = sum(torch.sin(2 * torch.pi * hz * time) for hz in (220.0, 331.0, 440.0)) / 3
    return level * torch.stack([left, left.roll(40)])


@pytest.mark.parametrize("rate", [30000, 44100, 48000])
def test_a_sound_keeps_its_length_and_its_place(rate: int) -> None:
    audio = a_chord(0.61, rate)
    sound = prepare(audio, rate, start=1.5)
    decoded, decoded_rate = soundfile.read(io.BytesIO(encode(sound, 128)), dtype="float32", always_2d=True)
    assert (decoded_rate, len(decoded)) == (RATE, round(0.61 * RATE))
    error = decoded.T * sound.restore - sound.samples.numpy()
    assert np.square(error).sum() < 0.02 * np.square(sound.samples.numpy()).sum()
    assert sound.start == 1.5


@pytest.mark.parametrize("level", [1e-3, 0.3, 40.0])
def test_levels_beyond_full_scale_and_far_below_it_are_restored(level: float) -> None:
    sound = prepare(a_chord(0.5, RATE, level), RATE)
    decoded, _ = soundfile.read(io.BytesIO(encode(sound, 96)), dtype="float32", always_2d=True)
    assert np.abs(decoded).max() < 1.0, "the coder is given nothing that clips"
    ratio = np.sqrt(np.square(decoded * sound.restore).mean() / np.square(sound.samples.numpy()).mean())
    assert ratio == pytest.approx(1, abs=0.03)


def test_equal_channels_are_coded_once() -> None:
    mono = a_chord(0.5, RATE)[:1].expand(2, -1)
    assert prepare(mono, RATE).channels == 1
    assert prepare(a_chord(0.5, RATE), RATE).channels == 2
    assert len(encode(prepare(mono, RATE), 64)) < len(encode(prepare(a_chord(0.5, RATE), RATE), 64))


@pytest.mark.parametrize("kbps", [48, 96])
def test_the_bit_rate_is_what_was_asked_for(kbps: int) -> None:
    noise = 0.1 * torch.randn(2, 3 * RATE, generator=torch.Generator().manual_seed(0))
    coded = encode(prepare(noise, RATE), kbps)
    assert len(coded) * 8 / 3 / 1000 == pytest.approx(kbps, rel=0.15)


def test_silence_is_sound_as_well() -> None:
    sound = prepare(torch.zeros(2, RATE), RATE)
    assert encode(sound, 64)
    assert matched_db(sound, -20.0) == 0.0


def test_a_rate_that_has_nothing_in_common_is_an_error() -> None:
    with pytest.raises(GraphmixError, match="44101 Hz cannot be resampled"):
        prepare(torch.zeros(2, 100), 44101)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(-60, 0), st.floats(0, 20)), min_size=1, max_size=5))
def test_matched_sounds_are_equally_loud_and_none_clips(levels: list[tuple[float, float]]) -> None:
    sounds = [Sound(torch.zeros(1, 8), 0.0, lufs, 10 ** ((lufs + crest) / 20)) for lufs, crest in levels]
    common = common_loudness(sounds)
    for sound in sounds:
        gain = matched_db(sound, common)
        assert sound.loudness + gain == pytest.approx(common)
        assert sound.peak * 10 ** (gain / 20) <= 1 + 1e-9
    assert all(s.peak * 10 ** (plain_db(sounds) / 20) <= 1 + 1e-9 for s in sounds)


def test_loudness_is_that_of_what_plays() -> None:
    audio = a_chord(1.0, 44100)
    assert prepare(audio, 44100).loudness == pytest.approx(loudness(audio, 44100), abs=0.1)
