"""Features of a track that mixing decisions follow from: level, spectrum, strokes, pauses, width.

Every mixing decision is made from these and from the role alone (:mod:`graphmix.songbook.engineer`), so that
a dry track holds all that the decisions rest on.

Conventions. Levels in dB re full scale of the mean square (a full-scale sine has -3); loudness is weighted as in ITU-R
BS.1770 (high shelf and low cut, written as magnitudes) and gated at 10 dB below the ungated mean. Spectra are third
octaves. The mid channel is the mean of left and right.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from graphmix.audio.loudness import k_weighting

Array = NDArray[np.float64]

SILENT_DB = -100.0
"""Level of silence."""
FRAME_SECONDS = 0.02
_FFT = 2048
_LOWEST_BAND_HZ = 25.0
_RISE_DB = 6.0
_STROKE_RANGE_DB = 15.0
_LOOK_BACK, _LOOK_AHEAD = 3, 5
_PULSE_SECONDS = (0.15, 0.9)


@dataclass(frozen=True)
class Features:
    """Measured features of one track.

    Args:
        loudness_db: gated and weighted.
        peak_db: of its samples.
        loud_db: level that it exceeds in one frame of twenty.
        floor_db: level that it exceeds in nine frames of ten.
        band_hz: centers of the third octaves, [bands].
        band_db: level of the mid channel in each, [bands].
        frames_db: levels of successive frames of 20 ms of the mid channel, [frames].
        strokes_db: levels of the strokes, rising, [strokes]; at least one.
        spread_db: by how much strokes differ: 90th less 15th percentile.
        sustain: share of the frames within 20 dB of the loud ones.
        pulse_s: most regular distance between strokes.
        width_db: side relative to mid; -100 where it is mono.
    """

    loudness_db: float
    peak_db: float
    loud_db: float
    floor_db: float
    band_hz: Array
    band_db: Array
    frames_db: Array
    strokes_db: Array
    spread_db: float
    sustain: float
    pulse_s: float
    width_db: float

    @property
    def crest_db(self) -> float:
        """Peak over loudness."""
        return self.peak_db - self.loudness_db

    def band_level(self, low_hz: float, high_hz: float) -> float:
        """Level between two frequencies, in dB."""
        inside = (self.band_hz >= low_hz) & (self.band_hz < high_hz)
        return decibels(float(np.sum(10 ** (self.band_db[inside] / 10))))

    @property
    def bright_db(self) -> float:
        """Level from 2 to 10 kHz relative to that from 200 Hz to 2 kHz, between -40 and 20 dB."""
        top, middle = (10 ** (self.band_level(*edges) / 10) for edges in ((2000, 10000), (200, 2000)))
        return decibels(top + 1e-4 * middle) - decibels(middle + 1e-2 * top)

    def resonance(self, low_hz: float, high_hz: float) -> tuple[float, float]:
        """Where the spectrum stands out most above its surroundings between two frequencies -> Hz, dB."""
        smooth = np.convolve(np.pad(self.band_db, 1, mode="edge"), (0.25, 0.5, 0.25), "valid")
        around = np.pad(smooth, 5, mode="edge")
        size = smooth.size
        sides = [np.mean([around[5 + k : 5 + k + size] for k in ks], axis=0) for ks in ((-5, -4, -3), (3, 4, 5))]
        excess = smooth - np.maximum(*sides)
        excess[(self.band_hz < low_hz) | (self.band_hz > high_hz)] = -np.inf
        best = int(np.argmax(excess))
        return float(self.band_hz[best]), float(excess[best])

    def change(self, band_gain_db: Array, weighted: bool) -> float:
        """By how much an equalizer with these gains in the bands changes the level (or loudness), in dB."""
        power = 10 ** (self.band_db / 10) * (k_weighting(self.band_hz) if weighted else 1.0)
        return decibels(float(np.sum(power * 10 ** (band_gain_db / 10)))) - decibels(float(np.sum(power)))


def decibels(power: float) -> float:
    """Power in dB, never below :data:`SILENT_DB`."""
    return max(SILENT_DB, 10 * math.log10(power)) if power > 0 else SILENT_DB


def measure(audio: NDArray[np.float32] | Array, sample_rate: int) -> Features:
    """Measure a track, [1 or 2, samples]."""
    mid = audio.mean(axis=0)
    wide = audio.shape[0] == 2 and not np.array_equal(audio[0], audio[1])
    side = (audio[0] - audio[1]) / 2 if wide else None
    power = _spectra(mid)
    bands_hz, matrix = _third_octaves(sample_rate)
    levels = frame_levels(mid, sample_rate)
    strokes, onsets = _strokes(levels)
    loud = float(np.percentile(levels, 95))
    width = SILENT_DB
    if side is not None:
        width = decibels(float(np.mean(np.square(side)))) - decibels(float(np.mean(np.square(mid))))
    spread = float(np.percentile(strokes, 90) - np.percentile(strokes, 15)) if strokes.size > 2 else 0.0
    return Features(
        loudness_db=_loudness(power, 0.0 if side is None else _spectra(side), sample_rate),
        peak_db=2 * decibels(float(np.abs(audio).max())),
        loud_db=loud,
        floor_db=float(np.percentile(levels, 10)),
        band_hz=bands_hz,
        band_db=10 * np.log10(matrix @ power.mean(axis=0) + 1e-10),
        frames_db=levels,
        strokes_db=np.sort(strokes),
        spread_db=spread,
        sustain=float(np.mean(levels > loud - 20)),
        pulse_s=_pulse(onsets),
        width_db=max(SILENT_DB, width),
    )


def frame_levels(mid: Array, sample_rate: int) -> Array:
    """Levels in dB of successive frames of 20 ms, [samples] -> [frames]."""
    frame = round(FRAME_SECONDS * sample_rate)
    frames = mid[: mid.size // frame * frame].reshape(-1, frame)
    levels: Array = 10 * np.log10(np.einsum("fn,fn->f", frames, frames, dtype=np.float64) / frame + 1e-10)
    return levels


def _spectra(mid: Array) -> Array:
    """Power of the bins of successive windows, [samples] -> [windows, bins]; the bins of a window sum to its power."""
    padded = np.pad(mid, (0, max(0, _FFT - mid.size))).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(padded, _FFT)[:: _FFT // 2]
    spectra = fft.rfft(windows * _window())
    power = np.square(spectra.real) + np.square(spectra.imag)
    power[:, 1:-1] *= 2
    result: Array = power.astype(np.float64)
    return result


@lru_cache(maxsize=1)
def _window() -> NDArray[np.float32]:
    """Hann's, scaled so that powers of bins are shares of the mean square."""
    window = np.hanning(_FFT + 1)[:-1]
    scaled: NDArray[np.float32] = (window / math.sqrt(_FFT * float(np.sum(np.square(window))))).astype(np.float32)
    return scaled


@lru_cache(maxsize=4)
def _third_octaves(sample_rate: int) -> tuple[Array, Array]:
    """Centers [bands], and the matrix that sums bins into them with triangular shares, [bands, bins]."""
    count = int(3 * math.log2(0.45 * sample_rate / _LOWEST_BAND_HZ)) + 1
    centers = _LOWEST_BAND_HZ * 2 ** (np.arange(count) / 3)
    bins = np.maximum(np.arange(_FFT // 2 + 1) * sample_rate / _FFT, 1.0)
    place = 3 * np.log2(bins / _LOWEST_BAND_HZ)
    return centers, np.maximum(0.0, 1 - np.abs(place - np.arange(count)[:, None]))


def _loudness(mid: Array, side: Array | float, sample_rate: int) -> float:
    """Gated loudness from spectra [windows, bins] of mid and side, in dB: mean power of left and right."""
    weights = k_weighting(np.arange(_FFT // 2 + 1) * sample_rate / _FFT)
    power = (mid + side) @ weights
    audible = power[power > 10 ** (-7.0)]
    if audible.size == 0:
        return SILENT_DB
    return decibels(float(np.mean(audible[audible >= 0.1 * np.mean(audible)])))


def _strokes(levels: Array) -> tuple[Array, Array]:
    """Where the level rises at once -> levels that follow [strokes], and the rise in each frame [frames]."""
    before = np.stack([np.roll(levels, k) for k in range(1, _LOOK_BACK + 1)]).min(axis=0)
    before[:_LOOK_BACK] = -100.0
    rise = levels - before
    after = np.stack([np.roll(levels, -k) for k in range(_LOOK_AHEAD)]).max(axis=0)
    loud = after > np.percentile(levels, 95) - _STROKE_RANGE_DB
    first = np.concatenate([[True], rise[1:] > rise[:-1]]) & np.concatenate([rise[:-1] >= rise[1:], [True]])
    starts = np.flatnonzero((rise > _RISE_DB) & loud & first)
    onsets = np.where(loud, np.clip(rise - _RISE_DB, 0.0, 24.0), 0.0)
    if starts.size < 4:  # sustained sounds: their loud frames
        return levels[levels >= np.percentile(levels, 95) - 20], onsets
    return after[starts], onsets


def _pulse(onsets: Array) -> float:
    """The most regular distance between strokes in seconds: the peak of their autocorrelation."""
    low, high = (round(seconds / FRAME_SECONDS) for seconds in _PULSE_SECONDS)
    if np.count_nonzero(onsets) < 3 or onsets.size < 2 * high:
        return 0.4
    blurred = np.convolve(onsets, (0.5, 1.0, 0.5), "same")
    spectrum = fft.rfft(blurred, fft.next_fast_len(2 * onsets.size, real=True))
    correlation = fft.irfft(np.abs(spectrum) ** 2)[: high + 1]
    correlation *= 1 - 0.002 * np.arange(high + 1)  # of equals the shorter
    return float(FRAME_SECONDS * (low + int(np.argmax(correlation[low : high + 1]))))
