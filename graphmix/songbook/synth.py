"""Ten small instruments: one function a voice, from a pitch and a velocity to the samples of one note.

The song of :mod:`graphmix.songbook.demo_stems` is played on them, so that the package needs no recording to show
what it does. Sources: frequency modulation after Chowning (1973), the plucked string after Karplus and Strong
(1983) with the tuning of Jaffe and Smith (1983); the rest is additive synthesis and filtered noise.

Conventions. All voices sound at :data:`SYNTH_RATE`, in mono, float64, [samples]. Pitches are MIDI numbers
(69 is A4, 440 Hz) and may be fractional; velocities lie in 0 to 1; times are seconds. A velocity acts on the
loudness and, as on real instruments, on the brightness. Peaks are near 1 at full velocity, not exactly so.
"""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import signal

Samples = NDArray[np.float64]

SYNTH_RATE = 44100
"""The one rate in Hz at which voices sound, so that a seed draws the same noise for every output rate."""

_TABLE_SIZE = 4096
_HAT_PARTIALS_HZ = (3170.0, 4230.0, 5410.0, 6790.0, 8370.0, 10210.0)
"""Inharmonic on purpose: a cymbal has no pitch."""


def frequency_hz(pitch: float) -> float:
    """Frequency of a MIDI pitch in equal temperament.

    >>> frequency_hz(57)
    220.0
    """
    return float(440 * 2 ** ((pitch - 69) / 12))


def lowpass(audio: Samples, cutoff_hz: float, order: int = 2) -> Samples:
    """Butterworth low-pass over the last axis."""
    return _filtered(audio, cutoff_hz, order, "lowpass")


def highpass(audio: Samples, cutoff_hz: float, order: int = 2) -> Samples:
    """Butterworth high-pass over the last axis."""
    return _filtered(audio, cutoff_hz, order, "highpass")


def boost(audio: Samples, low_hz: float, high_hz: float, gain_db: float) -> Samples:
    """Raise the band between two frequencies by `gain_db` at its middle: a first-order band is added in."""
    sos = signal.butter(1, (low_hz, high_hz), "bandpass", fs=SYNTH_RATE, output="sos")
    return audio + (10 ** (gain_db / 20) - 1) * np.asarray(signal.sosfilt(sos, audio))


def kick(velocity: float, rng: Generator) -> Samples:
    """Bass drum: a sine that falls from 190 Hz to 50 Hz, with a short thud of noise."""
    time = _times(0.45)
    frequency = 50 + 140 * np.exp(-time / 0.028)
    body = np.tanh(2 * np.sin(_phase(frequency)) * np.exp(-time / 0.13))
    thud = lowpass(rng.standard_normal(time.size), 1500) * np.exp(-time / 0.006)
    return _release(velocity * (body + 0.25 * thud), 0.02)


def snare(velocity: float, rng: Generator) -> Samples:
    """Snare drum: two modes of the skin and the rattle of the wires."""
    time = _times(0.4)
    skin = np.sin(_phase(188 + 50 * np.exp(-time / 0.012))) + 0.5 * np.sin(2 * np.pi * 331 * time)
    wires = highpass(rng.standard_normal(time.size), 1400) * np.exp(-time / (0.05 + 0.05 * velocity))
    return _release(velocity * (0.6 * skin * np.exp(-time / 0.05) + 0.35 * wires), 0.02)


def hat(velocity: float, rng: Generator) -> Samples:
    """Closed hi-hat: inharmonic partials and noise above 6 kHz, a few hundredths of a second long."""
    time = _times(0.2)
    metal = sum(np.sign(np.sin(2 * np.pi * (hz * time + rng.random()))) for hz in _HAT_PARTIALS_HZ)
    bright = highpass(0.15 * np.asarray(metal) + 0.5 * rng.standard_normal(time.size), 6500, order=4)
    fall = np.exp(-time / (0.018 + 0.025 * velocity))
    return _release(velocity * lowpass(bright, 12000, order=4) * fall, 0.02)


def conga(pitch: float, velocity: float, rng: Generator) -> Samples:
    """Hand drum: three damped modes of a skin that a stroke stretches, and the slap of the hand."""
    time = _times(0.5)
    hz = frequency_hz(pitch) * (1 + 0.08 * velocity * np.exp(-time / 0.03))
    modes = ((1.0, 1.0, 0.11), (1.59, 0.35, 0.05), (2.14, 0.25, 0.03))
    skin = sum(level * np.sin(_phase(ratio * hz)) * np.exp(-time / fall) for ratio, level, fall in modes)
    slap = highpass(rng.standard_normal(time.size), 900) * np.exp(-time / 0.007)
    return _release(velocity * (0.8 * np.asarray(skin) + 0.4 * velocity * slap), 0.03)


def bass(pitch: float, seconds: float, velocity: float) -> Samples:
    """Electric bass: a pluck that opens the harmonics for a moment, above a steady fundamental."""
    time = _times(seconds + 0.06)
    hz = np.full(time.size, frequency_hz(pitch))
    ranks = np.arange(1, 25)
    opening = velocity * np.exp(-time / 0.12)
    tone = _blend(hz, 1 / ranks**2.2, 1 / ranks**1.05, opening)
    return _release(0.7 * velocity * tone * np.exp(-time / 0.9) * _attack(time, 0.004), 0.05)


def electric_piano(pitch: float, seconds: float, velocity: float) -> Samples:
    """Electric piano by frequency modulation: a 1:1 pair for the bar, a short 14:1 pair for the tine."""
    time = _times(seconds + 0.35)
    phase = 2 * np.pi * frequency_hz(pitch) * time
    bar = np.sin(phase + (0.4 + 1.5 * velocity) * np.exp(-time / 0.5) * np.sin(phase))
    tine = np.sin(phase + 0.35 * velocity * np.exp(-time / 0.09) * np.sin(14 * phase))
    return _release(0.3 * velocity * (bar + 0.7 * tine) * np.exp(-time / 1.1) * _attack(time, 0.003), 0.3)


def pad(pitch: float, seconds: float, velocity: float, rng: Generator) -> Samples:
    """Strings-like pad: three detuned saws that swell and open slowly."""
    time = _times(seconds + 0.6)
    ranks = np.arange(1, 41)
    opening = np.sin(np.pi * np.minimum(time / (seconds + 0.6), 1.0)) ** 2
    voices = np.zeros(time.size)
    for cents in (-7.0, 0.0, 8.0):
        drift = 0.0008 * np.sin(2 * np.pi * (0.7 * time + rng.random()))
        hz = frequency_hz(pitch + cents / 100) * (1 + drift)
        voices += _blend(hz, 1 / ranks**2.2, 1 / ranks**1.3, opening, start=rng.random())
    return _release(0.15 * velocity * voices * _attack(time, 0.3), 0.6)


def arpeggio(pitch: float, velocity: float) -> Samples:
    """Short square-wave blip: odd harmonics that fade from the top."""
    time = _times(0.35)
    ranks = np.arange(1, 20)
    odd = ranks % 2 / ranks
    hz = np.full(time.size, frequency_hz(pitch))
    tone = _blend(hz, odd / ranks**1.2, odd, velocity * np.exp(-time / 0.05))
    return _release(0.8 * velocity * tone * np.exp(-time / 0.075) * _attack(time, 0.002), 0.05)


def lead(pitch: float, seconds: float, velocity: float) -> Samples:
    """Singing lead: a saw that scoops into its pitch, with a vibrato that comes late in long notes."""
    time = _times(seconds + 0.12)
    vibrato = 0.22 * np.clip((time - 0.22) / 0.3, 0, 1) * np.sin(2 * np.pi * 5.4 * time)
    scoop = -0.5 * np.exp(-time / 0.02)
    hz = frequency_hz(pitch) * 2 ** ((vibrato + scoop) / 12)
    ranks = np.arange(1, 25)
    opening = np.clip(0.35 * velocity + 0.65 * velocity * np.exp(-time / 0.2), 0, 1)
    tone = _blend(hz, 1 / ranks**2.5, 1 / ranks, opening)
    envelope = _attack(time, 0.018) * (0.7 + 0.3 * np.exp(-time / 0.25))
    return _release(0.6 * velocity * tone * envelope, 0.11)


def plucked_string(pitch: float, seconds: float, velocity: float, rng: Generator) -> Samples:
    r"""Karplus-Strong string: a burst of noise that runs round a delay of one period and loses its top.

    .. math:: y[n] = x[n] + g \sum_k h_k\, y[n - N - k]

    where h is a three-tap low-pass with a cubic Lagrange delay, so that the period need not be a whole number
    of samples, and g makes the fundamental fall by 60 dB in 1.6 s. The pitch is below 5 kHz.
    """
    time = _times(seconds + 0.25)
    period = SYNTH_RATE / frequency_hz(pitch)
    whole = int(period) - 2  # the low-pass delays by one sample, the Lagrange filter by one and a fraction
    loop = np.convolve((0.08, 0.84, 0.08), _lagrange_delay(1 + period - int(period)))
    feedback = np.zeros(whole + loop.size)
    feedback[0] = 1
    feedback[whole + np.arange(loop.size)] = -(0.001 ** (period / (1.6 * SYNTH_RATE))) * loop
    burst = np.zeros(time.size)
    length = int(period)
    burst[:length] = rng.uniform(-1, 1, length)
    burst[:length] -= burst[:length].mean()
    sound = np.asarray(signal.lfilter([1.0], feedback, lowpass(burst, 2000 + 6000 * velocity, order=1)))
    return _release(velocity * sound / np.abs(sound).max(), 0.12)


def _filtered(audio: Samples, cutoff_hz: float, order: int, kind: str) -> Samples:
    sos = signal.butter(order, cutoff_hz, kind, fs=SYNTH_RATE, output="sos")
    return np.asarray(signal.sosfilt(sos, audio))


def _times(seconds: float) -> Samples:
    return np.arange(round(seconds * SYNTH_RATE)) / SYNTH_RATE


def _phase(hz: Samples) -> Samples:
    """Running phase in radians of a frequency that moves, 0 at the first sample."""
    return 2 * np.pi * (np.cumsum(hz) - hz[0]) / SYNTH_RATE


def _attack(time: Samples, seconds: float) -> Samples:
    return np.minimum(time / seconds, 1.0)


def _release(sound: Samples, seconds: float) -> Samples:
    """The sound with its last `seconds` faded by half a cosine, so that no note ends in a click."""
    length = min(round(seconds * SYNTH_RATE), sound.size)
    sound[sound.size - length :] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(1, length + 1) / length)
    return sound


def _blend(hz: Samples, dull: Samples, bright: Samples, opening: Samples, start: float = 0.0) -> Samples:
    """Two spectra of harmonics on one moving pitch, from the dull (`opening` 0) to the bright one (1).

    Reads tables of one period, so that forty harmonics cost as much as one. Harmonics above 0.45 of the rate
    are left out, hence no aliasing; both spectra are scaled to a peak of 1. `start` is the phase in periods.
    """
    count = min(dull.size, int(0.45 * SYNTH_RATE / hz.max()))
    position = (start + _phase(hz) / (2 * np.pi)) % 1.0 * _TABLE_SIZE
    index = position.astype(np.int64)
    fraction = position - index
    sounds = []
    for amplitudes in (dull, bright):
        spectrum = np.zeros(_TABLE_SIZE // 2 + 1, dtype=np.complex128)
        spectrum[1 : count + 1] = -1j * amplitudes[:count]
        table = np.fft.irfft(spectrum)
        table = np.append(table, table[0]) / np.abs(table).max()
        sounds.append(table[index] + fraction * (table[index + 1] - table[index]))
    return sounds[0] + opening * (sounds[1] - sounds[0])


def _lagrange_delay(samples: float) -> Samples:
    """Four taps that delay by 1 to 2 samples: cubic interpolation."""
    taps = np.arange(4)
    others = [taps[taps != tap] for tap in taps]
    return np.array([np.prod((samples - o) / (tap - o)) for tap, o in zip(taps, others, strict=True)])
