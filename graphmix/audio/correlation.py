"""Correlation of tracks with their mix: the lag that all have in common, and a least squares fit."""

import math

import numpy as np
from numpy.typing import NDArray

RELATED_POWER = 120.0
"""Mean square of the correlations at their best lag: unrelated songs had up to 62, real mixes 290 and more."""
RELATED_SHARE = 0.02
"""Share of the mix that a sum of its tracks explains: unrelated songs had up to 0.005, real mixes 0.1 and more."""


def common_lag(tracks: NDArray[np.float32], mix: NDArray[np.float32]) -> tuple[int, float, list[tuple[int, float]]]:
    """Where the mix lies against the tracks by GCC-PHAT.

    Args:
        tracks: [tracks, samples].
        mix: [samples].

    Returns:
        The lag in samples, positive where the mix is late; the mean square of the correlations there; for each track
        its own best lag and the (signed) correlation at it.
    """
    from scipy import fft  # here: only what checks a song needs it

    size = fft.next_fast_len(2 * mix.size, real=True)
    spectrum = fft.rfft(mix, size)
    total = np.zeros(size)
    best = []
    for track in tracks:
        correlation = whitened(spectrum, track, size)
        place = int(np.abs(correlation).argmax())
        best.append((_signed(place, size), float(correlation[place])))
        total += np.square(correlation)
    place = int(total.argmax())
    return _signed(place, size), float(total[place]) / len(tracks), best


def whitened(spectrum: NDArray[np.complex64], track: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Correlation of a mix's spectrum with a track by the phase transform, in multiples of its root mean square.

    Args:
        spectrum: of the mix, by an FFT of ``size``.
        track: [samples].
        size: of the result.
    """
    from scipy import fft

    cross = spectrum * fft.rfft(track, size).conj()
    magnitude = np.abs(cross)
    cross /= magnitude + 1e-3 * magnitude.mean() + np.finfo(np.float32).tiny
    correlation: NDArray[np.float32] = fft.irfft(cross, size)
    correlation /= math.sqrt(float(np.mean(np.square(correlation, dtype=np.float64)))) or 1.0
    return correlation


def _signed(place: int, size: int) -> int:
    return place if place < size // 2 else place - size


def fit_tracks(tracks: NDArray[np.float32], mix: NDArray[np.float32], lag: int) -> tuple[NDArray[np.float64], float]:
    """Least-squares gains of the tracks in a mix that lies behind them -> [tracks], share of its power explained."""
    begin, end = max(0, -lag), min(mix.size, mix.size - lag)
    inside, target = tracks[:, begin:end], mix[begin + lag : end + lag]
    gram = (inside @ inside.T).astype(np.float64)
    scale: NDArray[np.float64] = np.sqrt(np.diag(gram)) + float(np.finfo(np.float32).tiny)
    gram = gram / np.outer(scale, scale) + 1e-6 * np.eye(len(scale))
    wanted = (inside @ target).astype(np.float64) / scale
    gains = np.linalg.solve(gram, wanted)
    power = float(np.square(target, dtype=np.float64).sum())
    return np.asarray(gains / scale, np.float64), float(wanted @ gains) / power if power > 0 else 0.0
