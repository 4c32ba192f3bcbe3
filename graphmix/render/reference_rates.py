"""Taps at another sample rate for the reference renderer: a sum of windowed sincs, written out.

Source: the docstrings of :mod:`graphmix.dsp.tap_rates` and :mod:`graphmix.processors.resampled`, a second time in
NumPy, without polyphase filters.
"""

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
HALF, BETA = 32, 8.0
_AT_ONCE = 256


def interpolated(taps: Array, start: int, old: int, new: int, band: float) -> tuple[Array, int]:
    """Taps [..., n], the first at time ``start / old``, as taps at a new rate, and where the first of these lies."""
    reach = HALF / (2 * band)
    first = math.floor((start / old - reach) * new)
    last = math.ceil(((start + taps.shape[-1] - 1) / old + reach) * new)
    result = np.zeros((*taps.shape[:-1], last - first + 1))
    old_times = (start + np.arange(taps.shape[-1])) / old
    for begin in range(0, result.shape[-1], _AT_ONCE):
        stop = min(begin + _AT_ONCE, result.shape[-1])
        new_times = (first + np.arange(begin, stop)) / new
        near = (old_times > new_times[0] - reach) & (old_times < new_times[-1] + reach)
        crossings = 2 * band * (new_times[:, None] - old_times[near])
        window = np.i0(BETA * np.sqrt(np.clip(1 - (crossings / HALF) ** 2, 0, None))) / np.i0(BETA)
        kernel = 2 * band / new * np.sinc(crossings) * np.where(np.abs(crossings) < HALF, window, 0)
        result[..., begin:stop] = taps[..., near] @ kernel.T
    return result, first


def converted(taps: Array, start: int, old: int, new: int, top_db: float | None) -> tuple[Array, int]:
    """The response at a new rate: what lies below half of both, and its mirror image above at a level."""
    low, first = interpolated(taps, start, old, new, min(old, new) / 2)
    if top_db is None:
        return low, first
    full, begin = interpolated(taps, start, old, new, new / 2)
    both = np.zeros_like(low)
    both[..., begin - first : begin - first + full.shape[-1]] = full
    return np.asarray(low + 10 ** (top_db / 20) * (both - low)), first
