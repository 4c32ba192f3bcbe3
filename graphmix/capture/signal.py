"""The signal that is played through a device to capture it.

Mono, three minutes at 48 kHz, made by the same code wherever it is needed, so that a recording of it is recognised:

=========  =======================================================================================
seconds    part
=========  =======================================================================================
0 – 1      silence: the noise floor of the recording
1 – 2      two clicks, half a second apart: latency and polarity
2 – 12     the *repeated part*: noise bursts, chirps and notes at all levels
12 – 52    exponential sweeps, 20 Hz to 20 kHz, at -40, -24, -12 and 0 dB
52 – 82    sines of 110 Hz, 440 Hz and 1.76 kHz that climb from -60 dB to 0 dB in steps of 5 dB
82 – 112   pink noise, its level drawn again every 0.3 s between -50 and -3 dB
112 – 169  music: the ten instruments of the demo song, alone and together, at several levels
169 – 179  the repeated part again: how well the device agrees with itself
179 – 180  silence: the tail
=========  =======================================================================================

The second half of the noise and the music is never wholly used in training: see :mod:`graphmix.capture.fit`.
"""

import math

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from graphmix.songbook.demo_stems import demo_stems

DEFAULT_RATE, LOWEST_RATE = 48000, 22050
SECONDS = 180
CLICKS_SECONDS = (1.0, 1.5)
REPEATED_SECONDS = (2.0, 169.0)
"""Where the repeated part begins, both times."""
REPEATED_LENGTH_SECONDS = 10.0
PEAK = 0.891
"""-1 dB re full scale: no converter clips it."""
_SEED = 20241

Samples = NDArray[np.float32]


def capture_signal(sample_rate: int = DEFAULT_RATE) -> Samples:
    """The test signal, [samples], at most -1 dB re full scale.

    Args:
        sample_rate: in Hz, 22,050 or more.
    """
    rng = np.random.default_rng(_SEED)
    out = np.zeros(SECONDS * sample_rate)

    def put(part: NDArray[np.floating], seconds: float) -> None:
        begin = round(seconds * sample_rate)
        out[begin : begin + len(part)] = part

    for seconds in CLICKS_SECONDS:
        put(np.ones(1), seconds)
    repeated = _repeated(sample_rate, rng)
    for seconds in REPEATED_SECONDS:
        put(repeated, seconds)
    for i, level in enumerate((-40.0, -24.0, -12.0, 0.0)):
        put(10 ** (level / 20) * _sweep(sample_rate, 9.5), 12 + 10 * i)
    for i, hz in enumerate((110.0, 440.0, 1760.0)):
        put(_staircase(sample_rate, hz, 10.0), 52 + 10 * i)
    put(_noise_in_steps(sample_rate, 30.0, 0.3, (-50.0, -3.0), rng), 82)
    put(_music(sample_rate, 57.0, rng), 112)
    return (PEAK * out).astype(np.float32)


def _fade(part: NDArray[np.floating], sample_rate: int, seconds: float = 0.01) -> NDArray[np.floating]:
    ramp = np.minimum(1, np.arange(1, len(part) + 1) / (seconds * sample_rate))
    return part * ramp * ramp[::-1]


def _sweep(sample_rate: int, seconds: float) -> NDArray[np.floating]:
    """An exponential sweep (Farina 2000)."""
    low, high = 20.0, min(20000.0, 0.45 * sample_rate)
    growth = math.log(high / low)
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return _fade(np.sin(2 * np.pi * low * seconds / growth * np.expm1(growth * time / seconds)), sample_rate)


def _staircase(sample_rate: int, hz: float, seconds: float) -> NDArray[np.floating]:
    levels = np.arange(-60.0, 0.1, 5.0)
    step = round(seconds / len(levels) * sample_rate)
    time = np.arange(step) / sample_rate
    return np.concatenate([_fade(10 ** (level / 20) * np.sin(2 * np.pi * hz * time), sample_rate) for level in levels])


def _pink(samples: int, rng: Generator) -> NDArray[np.floating]:
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    spectrum /= np.sqrt(np.maximum(1, np.arange(len(spectrum))))
    noise = np.fft.irfft(spectrum, samples)
    return noise / np.abs(noise).max()


def _noise_in_steps(
    sample_rate: int, seconds: float, step_seconds: float, range_db: tuple[float, float], rng: Generator
) -> NDArray[np.floating]:
    noise = _pink(round(seconds * sample_rate), rng)
    step = round(step_seconds * sample_rate)
    levels = rng.uniform(*range_db, -(-len(noise) // step))
    return noise * np.repeat(10 ** (levels / 20), step)[: len(noise)]


def _repeated(sample_rate: int, rng: Generator) -> NDArray[np.floating]:
    """Ten seconds that are played twice."""
    noise = _noise_in_steps(sample_rate, 4.0, 0.25, (-40.0, -1.0), rng)
    chirps = np.concatenate([gain * _sweep(sample_rate, 1.0) for gain in (0.1, 0.9)])
    return np.concatenate([noise, chirps, _music(sample_rate, 4.0, rng)])


def _music(sample_rate: int, seconds: float, rng: Generator) -> NDArray[np.floating]:
    """Instruments alone, in turn, then together, in phrases of two seconds at levels from -24 dB to 0 dB."""
    tracks = [audio.mean(0) if audio.ndim > 1 else audio for audio in demo_stems(sample_rate).values()]
    tracks = [track / max(1e-9, np.abs(track).max()) for track in tracks]
    phrase, out = 2 * sample_rate, np.zeros(round(seconds * sample_rate))
    for i, begin in enumerate(range(0, len(out), phrase)):
        together = i % 3 == 2
        chosen = rng.choice(len(tracks), 4, replace=False) if together else [i % len(tracks)]
        length = min(phrase, len(out) - begin)
        start = rng.integers(0, len(tracks[0]) - phrase)
        part = sum(tracks[k][start : start + length] for k in chosen)
        peak = np.abs(part).max()
        if peak > 1e-4:
            out[begin : begin + length] = _fade(part / peak * 10 ** (rng.uniform(-24, 0) / 20), sample_rate)
    return out
