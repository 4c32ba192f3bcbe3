"""The state in which dry tracks arrive: at random levels, and many with a fault that an effect corrects.

==========  =========================================================  ==============================================
fault       what is done to the clean track                            what an engineer sets against it
==========  =========================================================  ==============================================
dull        its top is cut by a first-order low-pass                   equalizer: a high shelf
boxy        a resonance between 250 and 600 Hz                         equalizer: a cut there
harsh       a resonance between 2.5 and 6 kHz                          equalizer: a cut there
rumble      noise below the lowest note                                equalizer: a low cut
uneven      strokes and phrases differ by several dB                   compressor
hiss        steady noise                                               gate, where the track has pauses
bleed       another track of the song, muffled                         gate, where the track has pauses
level       any, as faders of real sessions are spread                 gain
==========  =========================================================  ==============================================

Half of the tracks have no fault but their level. Faults are drawn apart from each other; what is decided about a
track does not know them, it measures the track (:mod:`graphmix.songbook.features`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy import signal

from graphmix.songbook.distributions import FADER_DB, quantile
from graphmix.songbook.playing import Audio
from graphmix.songbook.roles import Role

CLEAN_SHARE = 0.53
"""Tracks that arrive well recorded; some of them get depth or width, so that a third has no effect."""
_SHARES = {"dull": 0.55, "boxy": 0.5, "harsh": 0.5, "rumble": 0.55, "uneven": 0.7, "hiss": 0.15, "bleed": 0.3}
"""Share of the other tracks with each fault."""
_BLEEDING_FAMILIES = frozenset({"drums", "percussion", "guitars", "vocals", "backing"})
_KNOT_SECONDS = 0.3
PEAK_CEILING_DB = -1.0


@dataclass(frozen=True)
class Condition:
    """What is wrong with a track; None or 0 where nothing is.

    Args:
        dull_hz: corner of the low-pass.
        resonances: (frequency in Hz, gain in dB) of boxy and harsh.
        rumble_db, hiss_db, bleed_db: levels relative to the track's own.
        uneven_db: standard deviation of its level over time.
        fader_db: what a fader would have to do about its level.
    """

    dull_hz: float | None
    resonances: tuple[tuple[float, float], ...]
    rumble_db: float | None
    hiss_db: float | None
    bleed_db: float | None
    uneven_db: float
    fader_db: float


def draw_condition(role: Role, rng: Generator) -> Condition:
    """What is wrong with the next track."""
    clean = rng.random() < CLEAN_SHARE
    has = {name: bool(rng.random() < share) and not clean for name, share in _SHARES.items()}
    sizes = {name: float(rng.random()) for name in ("dull", "boxy", "harsh", "rumble", "uneven", "hiss", "bleed")}
    places = rng.random(2)
    fader_db = quantile(FADER_DB, float(rng.random()))
    resonances = []
    if has["boxy"]:
        resonances.append((250 * 2.4 ** float(places[0]), 8 + 5 * sizes["boxy"]))
    if has["harsh"]:
        resonances.append((2500 * 2.4 ** float(places[1]), 8 + 5 * sizes["harsh"]))
    has["rumble"] &= role.low_hz > 60
    has["bleed"] &= role.family in _BLEEDING_FAMILIES
    return Condition(
        dull_hz=700 + 1300 * sizes["dull"] if has["dull"] else None,
        resonances=tuple(resonances),
        rumble_db=-14 + 10 * sizes["rumble"] if has["rumble"] else None,
        hiss_db=-46 + 12 * sizes["hiss"] if has["hiss"] else None,
        bleed_db=-36 + 10 * sizes["bleed"] if has["bleed"] else None,
        uneven_db=3 + 3.5 * sizes["uneven"] if has["uneven"] else 0.0,
        fader_db=fader_db,
    )


def spoil(
    audio: Audio, condition: Condition, role: Role, others: Sequence[Audio], rng: Generator, sample_rate: int
) -> Audio:
    """A clean track as it arrives, but for its level: [1 or 2, samples] -> the same.

    Args:
        audio: the clean track.
        condition: what becomes of it.
        role: below whose lowest note rumble lies.
        others: tracks that may bleed into it.
        rng: of noises and of the unevenness.
        sample_rate: in Hz.
    """
    if condition.uneven_db:
        audio = audio * _unevenness(condition.uneven_db, audio.shape[1], rng, sample_rate)
    sections = [_peak(hz, gain_db, sample_rate) for hz, gain_db in condition.resonances]
    if sections:
        audio = signal.sosfilt(np.stack(sections), audio)
    if condition.dull_hz:
        audio = signal.sosfilt(signal.butter(1, condition.dull_hz, "lowpass", fs=sample_rate, output="sos"), audio)
    level = math.sqrt(float(np.mean(np.square(audio)))) + 1e-9
    noises = []
    if condition.rumble_db is not None:
        corner = min(0.45 * role.low_hz, 90.0)
        sos = signal.butter(3, (12.0, corner), "bandpass", fs=sample_rate, output="sos")
        noises.append((condition.rumble_db, signal.sosfilt(sos, rng.standard_normal(audio.shape[1]))))
    if condition.hiss_db is not None:
        sos = signal.butter(1, 1500, "highpass", fs=sample_rate, output="sos")
        noises.append((condition.hiss_db, signal.sosfilt(sos, rng.standard_normal(audio.shape[1]))))
    if condition.bleed_db is not None and others:
        source = others[int(rng.integers(len(others)))].mean(axis=0)
        sos = signal.butter(1, 2500, "lowpass", fs=sample_rate, output="sos")
        noises.append((condition.bleed_db, signal.sosfilt(sos, source)))
    for noise_db, noise in noises:
        rms = math.sqrt(float(np.mean(np.square(noise)))) + 1e-9
        audio = audio + noise * (level * 10 ** (noise_db / 20) / rms)
    return audio


def at_level(audio: Audio, gain_db: float) -> Audio:
    """The track with a gain, or with less where its peak would pass the ceiling."""
    peak = float(np.abs(audio).max())
    gain = 10 ** (gain_db / 20)
    if peak > 0:
        gain = min(gain, 10 ** (PEAK_CEILING_DB / 20) / peak)
    return audio * gain


def _unevenness(deviation_db: float, length: int, rng: Generator, sample_rate: int) -> Audio:
    """A gain that wanders from knot to knot, [samples]."""
    seconds = length / sample_rate
    knots = rng.normal(0, deviation_db, int(seconds / _KNOT_SECONDS) + 3)
    places = np.arange(knots.size) * _KNOT_SECONDS * sample_rate
    coarse = np.arange(0, length + 64, 64)  # decibels move slowly: every 64th sample, and lines between
    gains = 10 ** (np.interp(coarse, places, knots) / 20)
    return np.interp(np.arange(length), coarse, gains)


def _peak(hz: float, gain_db: float, sample_rate: int, octaves: float = 1.0) -> np.ndarray:
    """One bell of a parametric equalizer as a second-order section, [6] (R. Bristow-Johnson's cookbook)."""
    omega = 2 * math.pi * hz / sample_rate
    alpha = math.sin(omega) * math.sinh(math.log(2) / 2 * octaves * omega / math.sin(omega))
    amplitude = 10 ** (gain_db / 40)
    a0 = 1 + alpha / amplitude
    numbers = [1 + alpha * amplitude, -2 * math.cos(omega), 1 - alpha * amplitude]
    return np.array([*numbers, a0, -2 * math.cos(omega), 1 - alpha / amplitude]) / a0
