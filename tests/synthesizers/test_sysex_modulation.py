"""Pitch envelope and LFO of FM voices: the maker's ends, a render's pitch, and back to numbers."""

import numpy as np
import pytest
import torch

from graphmix.processors import Rack
from graphmix.render import Renderer
from graphmix.synthesizers import FM
from graphmix.synthesizers.sysex import FIELDS, Voice, initial_voice, values_of, voice_of
from graphmix.synthesizers.sysex_modulation import (
    bend_ms,
    bend_semitones,
    lfo_delay_ms,
    lfo_hz,
    vibrato_semitones,
)

RATE = 22050


def voice(**numbers: int) -> Voice:
    return Voice("V", {**initial_voice().numbers, **numbers})


def test_the_curves_have_the_ends_of_the_instrument():
    assert [bend_semitones(level) for level in (0, 50, 51)] == [-48.0, 0.0, 0.375]
    assert bend_semitones(99) == pytest.approx(48, abs=0.5)
    assert bend_ms(99, 12.0) == pytest.approx(84, abs=1)
    assert bend_ms(0, 12.0) == pytest.approx(21_300)
    measured = {0: 0.0625, 35: 5.617, 63: 10.117, 64: 11.251, 80: 25.747, 99: 49.261}
    for speed, hz in measured.items():
        assert lfo_hz(speed) == pytest.approx(hz, rel=0.01)
    assert lfo_delay_ms(0) == 0 < lfo_delay_ms(1) < 100 < 3000 < lfo_delay_ms(99) < 3500
    assert vibrato_semitones(99, 7) == pytest.approx(12, abs=0.2)
    assert vibrato_semitones(99, 0) == vibrato_semitones(0, 7) == 0
    for curve in (bend_semitones, lfo_hz, lfo_delay_ms):
        steps = [curve(i) for i in range(100)]
        assert steps == sorted(set(steps))


def frequency(audio: torch.Tensor, at: float) -> float:
    """Of a sine, from its zeros in 20 ms around a moment."""
    part = audio[round((at - 0.01) * RATE) : round((at + 0.01) * RATE)].double().numpy()
    up = np.flatnonzero((part[:-1] < 0) & (part[1:] >= 0))
    places = up - part[up] / (part[up + 1] - part[up])
    return RATE * (len(places) - 1) / (places[-1] - places[0])


def test_a_bend_and_its_return_are_rendered_at_the_pitches_of_the_voice():
    values = values_of(voice(pitch_level_1=66, pitch_level_2=66, pitch_level_3=66, pitch_rate_1=99, pitch_rate_4=99))
    graph = FM.patch(values, RATE, pitch=69.0, length_ms=400.0, velocity=1.0)
    audio = Renderer(Rack.generators(RATE))(graph, torch.zeros(0, 2, RATE // 2))[0, 0].detach()
    assert frequency(audio, 0.3) == pytest.approx(440 * 2**0.5, rel=1e-3)  # 16 steps of 0.375 semitones
    assert float(values["pitch_envelope.times_ms.1"]) == pytest.approx(500 * 21.3 / 255, rel=1e-3)


def test_vibrato_is_as_wide_and_as_fast_as_that_of_the_voice():
    own = voice(lfo_speed=35, lfo_pitch=50, pitch_sensitivity=4, lfo_delay=0, lfo_wave=4)
    graph = FM.patch(values_of(own), RATE, pitch=81.0, length_ms=900.0)
    audio = Renderer(Rack.generators(RATE))(graph, torch.zeros(0, 2, RATE))[0, 0].detach()
    found = np.array([12 * np.log2(frequency(audio, t) / 880) for t in np.arange(0.1, 0.8, 0.004)])
    assert np.ptp(found) / 2 == pytest.approx(vibrato_semitones(50, 4), rel=0.06)
    falls = np.flatnonzero((found[:-1] > 0) & (found[1:] <= 0))
    assert np.diff(falls).mean() * 0.004 == pytest.approx(1 / lfo_hz(35), rel=0.03)


def test_numbers_come_back():
    rng = np.random.default_rng(5)
    for _ in range(20):
        numbers = {f.name: int(rng.integers(0, f.largest + 1)) for f in FIELDS}
        numbers |= {f"pitch_level_{i}": int(rng.integers(15, 86)) for i in (1, 2, 3, 4)}
        again = voice_of(values_of(Voice("V", numbers)), "V", Voice("V", numbers)).numbers
        assert [again[f"pitch_level_{i}"] for i in (1, 2, 3, 4)] == [numbers[f"pitch_level_{i}"] for i in (1, 2, 3, 4)]
        levels = [numbers[f"pitch_level_{i}"] for i in (4, 1, 2, 3, 4)]
        for i in (1, 2, 3, 4):
            moved = bend_semitones(levels[i]) - bend_semitones(levels[i - 1])
            if abs(moved) > 1 and bend_ms(numbers[f"pitch_rate_{i}"], moved) < 19_000:
                assert again[f"pitch_rate_{i}"] == pytest.approx(numbers[f"pitch_rate_{i}"], abs=1)
        if vibrato_semitones(numbers["lfo_pitch"], numbers["pitch_sensitivity"]) > 0.01:
            for key in ("lfo_speed", "lfo_delay", "lfo_pitch", "pitch_sensitivity"):
                assert again[key] == numbers[key]


def test_a_patch_without_vibrato_and_bend_leaves_the_voice_still():
    like = voice(lfo_pitch=80, pitch_sensitivity=7, pitch_level_1=90, lfo_speed=77)
    again = voice_of(FM.defaults(), "V", like).numbers
    assert vibrato_semitones(again["lfo_pitch"], again["pitch_sensitivity"]) == 0
    assert [again[f"pitch_level_{i}"] for i in (1, 2, 3, 4)] == [50] * 4
    assert again["lfo_speed"] == 77
