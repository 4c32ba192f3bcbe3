"""Whether a mix runs at another speed than its tracks: a file read at another rate, or two clocks that drift apart.

Both are detected and said; neither is corrected.
"""

import numpy as np
from numpy.typing import NDArray

from graphmix.audio.correlation import RELATED_POWER, RELATED_SHARE, common_lag, fit_tracks, whitened

Signals = NDArray[np.float32]
RATES = (32000, 44100, 48000, 88200, 96000)
"""Sample rates that are taken for one another."""
WINDOW_SECONDS = 5.0
LEAST_WINDOWS = 4
SEARCHED_SECONDS = 0.05
"""How far from the common lag that of a window is looked for."""
LEAST_POWER = 40.0
"""Mean square of a window's correlations at their best lag; 1 where there is nothing."""
LEAST_SECONDS = 0.0005
"""Drift over the song below which there is none."""
STRAIGHT = 0.15
"""Lags of windows may lie off the line by this share of the drift (median)."""


def find_rate_mixup(tracks: Signals, mix: Signals) -> tuple[int, int] | None:
    """(true rate, rate that a file was read at) where the mix correlates with its tracks only if it is stretched so.

    Args:
        tracks: that sound, [tracks, samples].
        mix: [samples]; unrelated to them as it is.
    """
    best, found = RELATED_POWER, None
    tried: set[float] = {1.0}
    for own in RATES:
        for other in RATES:
            speed = own / other
            if speed in tried or not 0.5 <= speed <= 2:
                continue
            tried.add(speed)
            stretched = _stretched(mix, speed)
            lag, power, _ = common_lag(tracks, stretched)
            _, share = fit_tracks(tracks, stretched, lag)
            if power > best and share > RELATED_SHARE:
                best, found = power, (own, other)
    return found


def _stretched(signal: Signals, speed: float) -> Signals:
    """The signal at another speed, as long as before: cut, or with silence at its end."""
    place = np.arange(signal.size) * speed
    return np.interp(place, np.arange(signal.size), signal, right=0.0).astype(np.float32)


def find_drift(tracks: Signals, mix: Signals, rate: float, lag: int = 0) -> float:
    """By how much longer the mix takes than its tracks, in millionths; 0 where that is not certain.

    Args:
        tracks: that sound, [tracks, samples].
        mix: [samples]; it belongs to them.
        rate: of the samples, in Hz.
        lag: of the mix behind the tracks, in samples.
    """
    window = round(WINDOW_SECONDS * rate)
    times, lags = [], []
    for begin in range(max(0, -lag), min(mix.size, mix.size - lag) - window + 1, window):
        inside = tracks[:, begin : begin + window]
        inside = inside[np.ptp(inside, axis=1) > 0]
        found = _local_lag(inside, mix[begin + lag : begin + lag + window], round(SEARCHED_SECONDS * rate))
        if found is not None:
            times.append((begin + window / 2) / rate)
            lags.append(found / rate)
    if len(times) < LEAST_WINDOWS:
        return 0.0
    return _slope(np.array(times), np.array(lags), mix.size / rate)


def _local_lag(tracks: Signals, mix: Signals, most: int) -> float | None:
    """Lag of a window in samples, to a part of one, by GCC-PHAT over all tracks; None where none stands out."""
    from scipy import fft

    if not len(tracks) or not np.ptp(mix) > 0:
        return None
    size = fft.next_fast_len(2 * mix.size, real=True)
    spectrum = fft.rfft(mix, size)
    total = np.zeros(size)
    for track in tracks:
        total += np.square(whitened(spectrum, track, size))
    near = np.concatenate([total[-most:], total[: most + 1]]) / len(tracks)
    place = int(near.argmax())
    if near[place] < LEAST_POWER or not 0 < place < near.size - 1:
        return None
    before, here, after = near[place - 1 : place + 2]
    return place - most + 0.5 * float(before - after) / float(before - 2 * here + after)


def _slope(times: NDArray[np.float64], lags: NDArray[np.float64], seconds: float) -> float:
    """Median of the slopes between all pairs of windows, in millionths, if the lags lie on that line."""
    first, second = np.triu_indices(times.size, 1)
    slope = float(np.median((lags[second] - lags[first]) / (times[second] - times[first])))
    drift = abs(slope) * seconds
    rest = lags - slope * times
    off = float(np.median(np.abs(rest - np.median(rest))))
    return 1e6 * slope if drift >= LEAST_SECONDS and off <= STRAIGHT * drift else 0.0
