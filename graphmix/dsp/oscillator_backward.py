"""The compiled loops of :mod:`graphmix.dsp.oscillator` for gradients: its steps again, and back through them."""

import math

import numba
import numpy as np

from graphmix.dsp.elementary import SUMS
from graphmix.dsp.oscillator_forward import (
    AMPLITUDE,
    CHUNK,
    MOVED,
    NARROWEST,
    PHASE,
    POSITION,
    PULSE,
    SAW_TABLE,
    TABLE,
    TUNE,
    UP,
    VIBRATO,
    WAVES,
    WIDENED,
    WIDEST,
    WIDTH,
    advance,
    find_frames,
    find_levels,
    find_places,
    find_widths,
    slope_at,
    value_at,
)

_LN_2 = math.log(2)


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _wave_back(
    table: np.ndarray, at: np.ndarray, t: np.ndarray, gain: float, grad: np.ndarray, total: np.ndarray, to: np.ndarray
) -> float:
    """Add a wave to the sum of all, and its slopes times its gain; what the gain's gradient is."""
    result = 0.0
    if gain == 0:
        for i in range(at.size):
            result += grad[i] * value_at(table, at[i], t[i])
        return result
    for i in range(at.size):
        value = value_at(table, at[i], t[i])
        result += grad[i] * value
        total[i] += gain * value
        to[i] += gain * slope_at(table, at[i], t[i])
    return result


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _table_back(
    c: np.ndarray, frames: np.ndarray, width: int, last: int, first: np.ndarray, t: np.ndarray, place: np.ndarray,
    share: np.ndarray, grad: np.ndarray, total: np.ndarray, to: np.ndarray, by_place: np.ndarray,
) -> float:  # fmt: skip
    """As :func:`_wave_back` for the two frames around a place, and the gradients of the place."""
    result, gain = 0.0, c[TABLE]
    if gain == 0:
        for i in range(first.size):
            lower, upper = value_at(frames, first[i], t[i]), value_at(frames, first[i] + np.uint64(width), t[i])
            result += grad[i] * (lower + share[i] * (upper - lower))
            by_place[i] = 0
        return result
    for i in range(first.size):
        lower, upper = value_at(frames, first[i], t[i]), value_at(frames, first[i] + np.uint64(width), t[i])
        value = lower + share[i] * (upper - lower)
        result += grad[i] * value
        total[i] += gain * value
        slope = slope_at(frames, first[i], t[i])
        to[i] += gain * (slope + share[i] * (slope_at(frames, first[i] + np.uint64(width), t[i]) - slope))
        inside = place[i] >= 0 and place[i] <= 1
        by_place[i] = c[AMPLITUDE] * gain * last * grad[i] * (upper - lower) if inside else 0.0
    return result


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _pulse_back(
    c: np.ndarray, saw: np.ndarray, at: np.ndarray, t: np.ndarray, width: np.ndarray, grad: np.ndarray,
    total: np.ndarray, to: np.ndarray, by_width: np.ndarray,
) -> float:  # fmt: skip
    """As :func:`_wave_back` for the falling saw of a pulse, and the gradients of the width."""
    result, gain = 0.0, c[PULSE]
    if gain == 0:
        for i in range(at.size):
            result -= grad[i] * value_at(saw, at[i], t[i])
            by_width[i] = 0
        return result
    for i in range(at.size):
        value, slope = value_at(saw, at[i], t[i]), slope_at(saw, at[i], t[i])
        result -= grad[i] * value
        total[i] -= gain * value
        to[i] -= gain * slope
        inside = width[i] >= NARROWEST and width[i] <= WIDEST
        by_width[i] = -c[AMPLITUDE] * gain * slope * grad[i] if inside else 0.0
    return result


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _dot(a: np.ndarray, b: np.ndarray) -> float:
    """Sum of products, where the second one may be a single number for all."""
    result = 0.0
    if b.size == 1:
        for i in range(a.size):
            result += a[i]
        return result * b[0]
    for i in range(a.size):
        result += a[i] * b[i]
    return result


@numba.njit(cache=True, error_model="numpy")
def _part(signal: np.ndarray, n: int, count: int) -> np.ndarray:
    """Samples of a signal, which may be a single number for all."""
    return signal if signal.size == 1 else signal[n : n + count]


@numba.njit(cache=True, error_model="numpy")
def _back_row(
    grad: np.ndarray, pitch: np.ndarray, modulation: np.ndarray, shape: np.ndarray, moved: np.ndarray, c: np.ndarray,
    tables: np.ndarray, frames: np.ndarray, limits: np.ndarray, rate: float, state: np.ndarray, to_pitch: np.ndarray,
    to_modulation: np.ndarray, to_shape: np.ndarray, to_moved: np.ndarray, to: np.ndarray,
) -> None:  # fmt: skip
    """Gradients; those of signals are not wanted where their arrays are empty."""
    size = tables.shape[1] // limits.size
    width, last = tables.shape[1], frames.size // tables.shape[1] - 1
    points = np.float64(size - 3)
    slopes, speeds = np.empty(grad.size), np.empty(grad.size)
    phases, laters = np.empty(CHUNK), np.empty(CHUNK)
    levels, ats, firsts = np.empty(CHUNK, np.int64), np.empty(CHUNK, np.uint64), np.empty(CHUNK, np.uint64)
    ts, us = np.empty(CHUNK, np.float32), np.empty(CHUNK, np.float32)
    totals, places, tos = np.empty(CHUNK, c.dtype), np.empty(CHUNK, c.dtype), np.empty(CHUNK, c.dtype)
    ours, shares = np.empty(CHUNK, c.dtype), np.empty(CHUNK, c.dtype)
    accumulated, begun = state[0], state[1] > 0
    resumed = begun
    for n in range(0, grad.size, CHUNK):
        count = min(CHUNK, grad.size - n)
        step, phase, later, level = speeds[n : n + count], phases[:count], laters[:count], levels[:count]
        at, t, first, u, total, place, share = (
            ats[:count], ts[:count], firsts[:count], us[:count], totals[:count], places[:count], shares[:count],
        )  # fmt: skip
        slope, by, g, form = tos[:count], ours[:count], grad[n : n + count], _part(shape, n, count)
        advance(pitch, modulation, c, rate, n, step, phase)
        begin = accumulated if begun else -step[0]
        accumulated, begun = begin + phase[count - 1], True
        start = begin + float(c[PHASE])
        for i in range(count):
            phase[i] += start + moved[0 if moved.size == 1 else n + i]
            total[i], slope[i] = 0, 0
        find_levels(step, limits, size, level)
        find_places(phase, level, size - 3, at, t)
        for setting, wave in WAVES:
            to[setting] += c[AMPLITUDE] * _wave_back(tables[wave], at, t, c[setting], g, total, slope)
        find_frames(c, shape, n, last, width, at, place, first, share)
        to[TABLE] += c[AMPLITUDE] * _table_back(c, frames, width, last, first, t, place, share, g, total, slope, by)
        to[POSITION] += by.sum()
        to[MOVED] += _dot(by, form)
        if to_shape.size > 0:
            for i in range(count):
                to_shape[0 if shape.size == 1 else n + i] += c[MOVED] * by[i]
        to[PULSE] += c[AMPLITUDE] * _wave_back(tables[SAW_TABLE], at, t, c[PULSE], g, total, slope)
        find_widths(c, shape, n, phase, place, later)
        find_places(later, level, size - 3, first, u)
        to[PULSE] += c[AMPLITUDE] * _pulse_back(c, tables[SAW_TABLE], first, u, place, g, total, slope, by)
        for i in range(count):
            by[i] *= points
        to[WIDTH] += by.sum()
        to[WIDENED] += _dot(by, form)
        if to_shape.size > 0:
            for i in range(count):
                to_shape[0 if shape.size == 1 else n + i] += c[WIDENED] * by[i]
        to[AMPLITUDE] += _dot(g, total)
        for i in range(count):
            slopes[n + i] = c[AMPLITUDE] * points * g[i] * slope[i]
    to[PHASE] += slopes.sum()
    if to_moved.size > 0:
        for n in range(grad.size):
            to_moved[0 if moved.size == 1 else n] += slopes[n]
    _pitch_back(slopes, speeds, resumed, modulation, c, to_pitch, to_modulation, to)


@numba.njit(cache=True, error_model="numpy")
def _pitch_back(
    slopes: np.ndarray, speeds: np.ndarray, resumed: bool, modulation: np.ndarray, c: np.ndarray,
    to_pitch: np.ndarray, to_modulation: np.ndarray, to: np.ndarray,
) -> None:  # fmt: skip
    """From phases to pitches: a frequency moves all phases after it. Overwrites the slopes."""
    later = 0.0
    for n in range(slopes.size - 1, -1, -1):
        later += slopes[n]
        slopes[n] = later
    if not resumed:
        slopes[0] = 0.0
    for n in range(slopes.size):
        slopes[n] = slopes[n] * speeds[n] * (_LN_2 / 12) if speeds[n] < 0.5 else 0.0
    total = slopes.sum()
    to[UP] += total
    to[TUNE] += total
    to[VIBRATO] += _dot(slopes, modulation)
    if to_pitch.size == 1:
        to_pitch[0] = total
    elif to_pitch.size > 0:
        for n in range(slopes.size):
            to_pitch[n] = slopes[n]
    if to_modulation.size == 1:
        to_modulation[0] = c[VIBRATO] * total
    elif to_modulation.size > 0:
        for n in range(slopes.size):
            to_modulation[n] = c[VIBRATO] * slopes[n]


@numba.njit(parallel=True, cache=True, error_model="numpy")
def back(
    grad: np.ndarray, pitch: np.ndarray, modulation: np.ndarray, shape: np.ndarray, moved: np.ndarray, c: np.ndarray,
    tables: np.ndarray, frames: np.ndarray, limits: np.ndarray, rate: float, state: np.ndarray, to_pitch: np.ndarray,
    to_modulation: np.ndarray, to_shape: np.ndarray, to_moved: np.ndarray, to: np.ndarray,
) -> None:  # fmt: skip
    """Gradients of all rows, added to what the arrays hold; none of a signal whose array is empty."""
    for row in numba.prange(grad.shape[0]):
        _back_row(
            grad[row], pitch[row], modulation[row], shape[row], moved[row], c[row], tables, frames, limits, rate,
            state[row], to_pitch[row], to_modulation[row], to_shape[row], to_moved[row], to[row],
        )  # fmt: skip
