"""More small instruments for songbooks, and which voice plays each role.

As those of :mod:`graphmix.songbook.synth`, which play the other roles: mono at :data:`SYNTH_RATE`, float64 [samples],
pitches as MIDI numbers, velocities 0 to 1, peaks near 1. The singing voice is a wavetable whose harmonics follow the
formants of a vowel (frequencies after Peterson and Barney, 1952, rounded).
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from graphmix.songbook import synth
from graphmix.songbook.synth import SYNTH_RATE, Samples, frequency_hz, highpass, lowpass

Voice = Callable[[float, float, float, Generator], Samples]
"""Pitch, seconds, velocity, random numbers -> one note."""

_TABLE_SIZE = 16384  # so fine that it is read without interpolation, 80 dB above its errors
_VOWELS = ((730, 1090, 2440), (530, 1840, 2480), (300, 870, 2240), (570, 840, 2410))  # a, e, u, o
_FORMANT_WIDTHS_HZ = (110.0, 150.0, 240.0)


def clap(velocity: float, rng: Generator) -> Samples:
    """Hand clap: four bursts of noise, the last one long."""
    time = _times(0.35)
    bursts = sum(np.exp(-(time - at) / fall) * (time >= at) for at, fall in ((0, 0.004), (0.011, 0.004), (0.021, 0.05)))
    noise = highpass(lowpass(rng.standard_normal(time.size), 5000, order=1), 800)
    return _faded(velocity * 0.7 * noise * np.asarray(bursts), 0.03)


def shaker(velocity: float, rng: Generator) -> Samples:
    """Shaker: a swell of bright noise and its fall."""
    time = _times(0.14)
    swell = np.minimum(time / 0.03, 1.0) * np.exp(-np.maximum(time - 0.03, 0) / 0.03)
    return _faded(velocity * 0.5 * highpass(rng.standard_normal(time.size), 5000) * swell, 0.03)


def woodblock(pitch: float, velocity: float, rng: Generator) -> Samples:
    """Wood block: two damped modes and a knock."""
    time = _times(0.2)
    hz = frequency_hz(pitch)
    modes = np.sin(2 * np.pi * hz * time) + 0.6 * np.sin(2 * np.pi * 2.57 * hz * time)
    knock = highpass(rng.standard_normal(time.size), 2000) * np.exp(-time / 0.003)
    return _faded(velocity * (0.6 * modes * np.exp(-time / 0.03) + 0.3 * knock), 0.03)


def tom(pitch: float, velocity: float, rng: Generator) -> Samples:
    """Tom: a deep skin that falls in pitch, and the stick."""
    time = _times(0.7)
    hz = frequency_hz(pitch) * (1 + 0.35 * np.exp(-time / 0.06))
    skin = np.sin(2 * np.pi * np.cumsum(hz) / SYNTH_RATE) * np.exp(-time / 0.18)
    stick = lowpass(rng.standard_normal(time.size), 3500) * np.exp(-time / 0.008)
    return _faded(velocity * (0.8 * skin + 0.25 * velocity * stick), 0.1)


def cymbal(velocity: float, rng: Generator, seconds: float, ping: float) -> Samples:
    """Ride or crash: noise that darkens as it falls, under a ping of inharmonic partials."""
    time = _times(seconds + 0.1)
    noise = rng.standard_normal(time.size)
    fall = np.exp(-time / (0.35 * seconds))
    wash = 0.35 * highpass(noise, 6000) * fall**1.6 + 0.2 * highpass(lowpass(noise, 7000), 2500) * fall
    partials = sum(np.sin(2 * np.pi * (hz * time + rng.random())) for hz in (2870.0, 3610.0, 4933.0, 6420.0))
    return _faded(velocity * (wash + ping * 0.2 * np.asarray(partials) * np.exp(-time / 0.12)), 0.1)


def sub_bass(pitch: float, seconds: float, velocity: float) -> Samples:
    """Sub bass: a sine with a little of its octave."""
    time = _times(seconds + 0.05)
    phase = 2 * np.pi * frequency_hz(pitch) * time
    return _faded(0.8 * velocity * np.tanh(1.4 * np.sin(phase) + 0.15 * np.sin(2 * phase)) * _rise(time, 0.008), 0.04)


def organ(pitch: float, seconds: float, velocity: float, rng: Generator) -> Samples:
    """Drawbar organ through a slowly turning loudspeaker."""
    time = _times(seconds + 0.05)
    drawbars = np.zeros(16)
    drawbars[[0, 1, 2, 3, 5, 7]] = 1.0, 0.8, 0.5, 0.35, 0.2, 0.25 * velocity
    turn = 1 + 0.15 * np.sin(2 * np.pi * (6.3 * time + rng.random()))
    return _faded(0.4 * velocity * _wave(np.full(time.size, frequency_hz(pitch)), drawbars) * turn, 0.04)


def pad(pitch: float, seconds: float, velocity: float, rng: Generator) -> Samples:
    """Three detuned saws that swell and open slowly."""
    time = _times(seconds + 0.6)
    ranks = np.arange(1, 41)
    opening = velocity * np.sin(np.pi * np.minimum(time / (seconds + 0.6), 1.0)) ** 2
    dull, bright = np.zeros(time.size), np.zeros(time.size)
    for cents in (-7.0, 0.0, 8.0):
        drift = 0.0008 * np.sin(2 * np.pi * (0.7 * time + rng.random()))
        waves = _waves(frequency_hz(pitch + cents / 100) * (1 + drift), (1 / ranks**2.2, 1 / ranks**1.3))
        dull += waves[0]
        bright += waves[1]
    return _faded(0.25 * velocity * (dull + opening * (bright - dull)) * _rise(time, 0.3), 0.6)


def string(pitch: float, seconds: float, velocity: float, rng: Generator) -> Samples:
    """Plucked string after Karplus and Strong (1983), a period at a time.

    The loop is a low-pass of two taps and two more that delay by a fraction of a sample.
    """
    length = _times(seconds + 0.25).size
    period = SYNTH_RATE / frequency_hz(pitch)
    whole = int(period - 0.4)
    fraction = period - 0.4 - whole
    taps = 0.001 ** (period / (2.0 * SYNTH_RATE)) * np.convolve((0.6, 0.4), (1 - fraction, fraction))
    sound = np.zeros(length + whole + 3)
    burst = lowpass(rng.uniform(-1, 1, whole), 2000 + 6000 * velocity, order=1)
    sound[3 : 3 + whole] = burst - burst.mean()
    for start in range(3 + whole, sound.size, whole):
        size = min(whole, sound.size - start)
        back = [sound[start - whole - k : start - whole - k + size] for k in range(3)]
        sound[start : start + size] = taps[0] * back[0] + taps[1] * back[1] + taps[2] * back[2]
    sound = sound[3 : 3 + length]
    return _faded(velocity * sound / (np.abs(sound).max() + 1e-9), 0.12)


def strings(pitch: float, seconds: float, velocity: float, rng: Generator) -> Samples:
    """Bowed section: two saws with slow vibrato, bright while the bow is fast."""
    time = _times(seconds + 0.3)
    ranks = np.arange(1, 36)
    sound = np.zeros(time.size)
    for cents in (-5.0, 6.0):
        vibrato = 0.004 * np.sin(2 * np.pi * (rng.uniform(4.5, 5.5) * time + rng.random()))
        sound += _wave(frequency_hz(pitch + cents / 100) * (1 + vibrato), 1 / ranks ** (1.5 - 0.3 * velocity))
    return _faded(0.4 * velocity * sound * _rise(time, 0.12), 0.28)


def stab(pitch: float, seconds: float, velocity: float) -> Samples:
    """Short synthesizer chord tone: a saw whose top falls at once."""
    time = _times(min(seconds, 0.3) + 0.1)
    ranks = np.arange(1, 30)
    hz = np.full(time.size, frequency_hz(pitch))
    bright = np.exp(-time / 0.06) * velocity
    waves = _waves(hz, (1 / ranks, 1 / ranks**2.2))
    sound = waves[1] + bright * (waves[0] - waves[1])
    return _faded(0.6 * velocity * sound * np.exp(-time / 0.18) * _rise(time, 0.002), 0.08)


def voice(pitch: float, seconds: float, velocity: float, rng: Generator) -> Samples:
    """Singing: one syllable from one vowel to another, with breath and a late vibrato."""
    time = _times(seconds + 0.1)
    vibrato = 0.25 * np.clip((time - 0.25) / 0.3, 0, 1) * np.sin(2 * np.pi * (5.2 * time + rng.random()))
    hz = frequency_hz(pitch) * 2 ** ((vibrato - 0.7 * np.exp(-time / 0.03)) / 12)
    first, last = (_formants(_VOWELS[int(rng.integers(4))], frequency_hz(pitch)) for _ in range(2))
    glide = np.clip((time - 0.3 * seconds) / max(0.4 * seconds, 0.05), 0, 1)
    waves = _waves(hz, (first, last))
    sung = waves[0] + glide * (waves[1] - waves[0])
    breath = 0.03 * highpass(rng.standard_normal(time.size), 2500, order=1)
    return _faded(0.8 * velocity * (sung + breath) * _rise(time, 0.03) * (0.75 + 0.25 * np.exp(-time / 0.3)), 0.09)


def riser(seconds: float, velocity: float, rng: Generator) -> Samples:
    """Noise that swells and brightens to the end of its note."""
    time = _times(seconds)
    noise = rng.standard_normal(time.size)
    swell = (time / seconds) ** 2
    return _faded(0.5 * velocity * swell * ((1 - swell) * lowpass(noise, 1200) + swell * highpass(noise, 1500)), 0.03)


def _times(seconds: float) -> Samples:
    return np.arange(max(round(seconds * SYNTH_RATE), 64)) / SYNTH_RATE


def _rise(time: Samples, seconds: float) -> Samples:
    return np.minimum(time / seconds, 1.0)


def _faded(sound: Samples, seconds: float) -> Samples:
    """The sound with a soft end."""
    length = min(round(seconds * SYNTH_RATE), sound.size)
    sound[sound.size - length :] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(1, length + 1) / length)
    return sound


def _wave(hz: Samples, amplitudes: Samples) -> Samples:
    """One period with these harmonics, read at a moving pitch."""
    return _waves(hz, (amplitudes,))[0]


def _waves(hz: Samples, spectra: Sequence[Samples]) -> list[Samples]:
    """Several periods, each scaled to a peak of 1, read at one pitch; harmonics above 0.45 of the rate are left out."""
    count = int(0.45 * SYNTH_RATE / hz.max())
    index = (np.cumsum(hz) * (_TABLE_SIZE / SYNTH_RATE)).astype(np.int64) & (_TABLE_SIZE - 1)
    waves = []
    for amplitudes in spectra:
        spectrum = np.zeros(_TABLE_SIZE // 2 + 1, dtype=np.complex128)
        spectrum[1 : amplitudes[:count].size + 1] = -1j * amplitudes[:count]
        table = np.fft.irfft(spectrum)
        waves.append((table / np.abs(table).max())[index])
    return waves


def _formants(vowel: tuple[int, int, int], hz: float) -> NDArray[np.float64]:
    """Amplitudes of the harmonics of a pitch under the formants of a vowel."""
    harmonics = hz * np.arange(1, 41)
    peaks = sum(
        level / (1 + ((harmonics - center) / width) ** 2)
        for center, width, level in zip(vowel, _FORMANT_WIDTHS_HZ, (1.0, 0.6, 0.35), strict=True)
    )
    return (np.asarray(peaks) + 0.02) * (300 / (harmonics + 300))


VOICES: dict[str, Voice] = {
    "kick": lambda _pitch, _seconds, velocity, rng: synth.kick(velocity, rng),
    "snare": lambda _pitch, _seconds, velocity, rng: synth.snare(velocity, rng),
    "hats": lambda _pitch, _seconds, velocity, rng: synth.hat(velocity, rng),
    "clap": lambda _pitch, _seconds, velocity, rng: clap(velocity, rng),
    "toms": lambda pitch, _seconds, velocity, rng: tom(pitch, velocity, rng),
    "ride": lambda _pitch, _seconds, velocity, rng: cymbal(velocity, rng, 0.9, 1.0),
    "crash": lambda _pitch, _seconds, velocity, rng: cymbal(velocity, rng, 2.2, 0.2),
    "congas": lambda pitch, _seconds, velocity, rng: synth.conga(pitch, velocity, rng),
    "shaker": lambda _pitch, _seconds, velocity, rng: shaker(velocity, rng),
    "woodblock": lambda pitch, _seconds, velocity, rng: woodblock(pitch, velocity, rng),
    "bass": lambda pitch, seconds, velocity, _rng: synth.bass(pitch, seconds, velocity),
    "sub bass": lambda pitch, seconds, velocity, _rng: sub_bass(pitch, seconds, velocity),
    "electric piano": lambda pitch, seconds, velocity, _rng: synth.electric_piano(pitch, seconds, velocity),
    "organ": organ,
    "pluck": string,
    "strum": string,
    "pad": pad,
    "strings": strings,
    "arpeggio": lambda pitch, _seconds, velocity, _rng: synth.arpeggio(pitch, velocity),
    "stabs": lambda pitch, seconds, velocity, _rng: stab(pitch, seconds, velocity),
    "lead": lambda pitch, seconds, velocity, _rng: synth.lead(pitch, seconds, velocity),
    "vocal": voice,
    "double": voice,
    "backing vocal": voice,
    "riser": lambda _pitch, seconds, velocity, rng: riser(seconds, velocity, rng),
    "blips": lambda pitch, _seconds, velocity, _rng: synth.arpeggio(pitch, velocity),
}
"""The voice of each role."""

STEADY_ROLES = frozenset({"bass", "sub bass", "electric piano", "arpeggio", "stabs", "lead", "blips"})
"""Roles whose voices have nothing random: a note sounds the same each time."""

WIDE_ROLES = frozenset({"pad", "strings", "organ", "electric piano", "riser", "backing vocal"})
"""Roles that arrive in stereo."""
