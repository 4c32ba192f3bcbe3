"""The compiled loops of :mod:`graphmix.dsp.oscillator` for gradients: its steps again, and back through them.

Chunks of samples come from the last to the first, so that a frequency gets the gradients of all phases after it, and
nothing but inputs and results goes through memory.
"""

import math
from typing import Any

import numba
import numpy as np

from graphmix.dsp.distinct import pick, put
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
    run_up,
    start_phases,
    value_and_slope_at,
    value_at,
)

_LN_2 = math.log(2)


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _add_back(
    wave: np.ndarray, tilt: np.ndarray, gain: Any, grad: np.ndarray, total: np.ndarray, to: np.ndarray
) -> float:
    """Add a wave to the sum of all, and its slopes to theirs, both times its gain; what the gain's gradient is."""
    result = grad.dtype.type(0)
    for i in range(wave.size):
        result += grad[i] * wave[i]
    for i in range(wave.size):
        total[i] += gain * wave[i]
    for i in range(wave.size):
        to[i] += gain * tilt[i]
    return result


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _wave_back(
    table: np.ndarray, at: np.ndarray, t: np.ndarray, gain: Any, grad: np.ndarray, wave: np.ndarray, tilt: np.ndarray,
    total: np.ndarray, to: np.ndarray,
) -> float:  # fmt: skip
    """:func:`_add_back` for a wave; one whose gain is 0 adds nothing."""
    if gain == 0:
        result = grad.dtype.type(0)
        for i in range(at.size):
            result += pick(grad, i) * value_at(table, pick(at, i), pick(t, i))
        return result
    for i in range(at.size):
        value, slope = value_and_slope_at(table, pick(at, i), pick(t, i))
        put(wave, i, value)
        put(tilt, i, slope)
    return _add_back(wave, tilt, gain, grad, total, to)


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _table_back(
    c: np.ndarray, frames: np.ndarray, width: int, last: int, first: np.ndarray, t: np.ndarray, place: np.ndarray,
    share: np.ndarray, grad: np.ndarray, wave: np.ndarray, tilt: np.ndarray, total: np.ndarray, to: np.ndarray,
    by_place: np.ndarray,
) -> float:  # fmt: skip
    """:func:`_add_back` for the two frames around a place, and the gradients of the place."""
    gain, above = c[TABLE], frames[width:]
    if gain == 0:
        result = grad.dtype.type(0)
        for i in range(first.size):
            k, own = pick(first, i), pick(t, i)
            lower, upper = value_at(frames, k, own), value_at(above, k, own)
            result += pick(grad, i) * (lower + pick(share, i) * (upper - lower))
        return result
    scale, zero = c[AMPLITUDE] * gain * c.dtype.type(last), c.dtype.type(0)
    for i in range(first.size):
        k, own, part = pick(first, i), pick(t, i), pick(share, i)
        lower, slope = value_and_slope_at(frames, k, own)
        upper, slope_above = value_and_slope_at(above, k, own)
        put(wave, i, lower + part * (upper - lower))
        put(tilt, i, slope + part * (slope_above - slope))
        inside = (pick(place, i) >= 0) & (pick(place, i) <= 1)
        put(by_place, i, scale * pick(grad, i) * (upper - lower) if inside else zero)
    return _add_back(wave, tilt, gain, grad, total, to)


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _pulse_back(
    c: np.ndarray, saw: np.ndarray, points: int, at: np.ndarray, t: np.ndarray, width: np.ndarray, grad: np.ndarray,
    wave: np.ndarray, tilt: np.ndarray, total: np.ndarray, to: np.ndarray, by_width: np.ndarray,
) -> float:  # fmt: skip
    """:func:`_wave_back` for the falling saw of a pulse, and the gradients of the width."""
    result = _wave_back(saw, at, t, -c[PULSE], grad, wave, tilt, total, to)
    if c[PULSE] != 0:
        low, high, zero = c.dtype.type(NARROWEST), c.dtype.type(WIDEST), c.dtype.type(0)
        scale = -c[AMPLITUDE] * c[PULSE] * c.dtype.type(points)
        for i in range(at.size):
            inside = (pick(width, i) >= low) & (pick(width, i) <= high)
            put(by_width, i, scale * pick(tilt, i) * pick(grad, i) if inside else zero)
    return -result


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _dot(a: np.ndarray, b: np.ndarray, n: int) -> float:
    """Sum of products with a signal from sample n on, which may be a single number for all."""
    result = a.dtype.type(0)
    if b.size == 1:
        for i in range(a.size):
            result += a[i]
        return result * b[0]
    for i in range(a.size):
        result += a[i] * b[n + i]
    return result


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _sum(a: np.ndarray) -> float:
    result = a.dtype.type(0)
    for i in range(a.size):
        result += a[i]
    return result


@numba.njit(cache=True, error_model="numpy")
def _give(by: np.ndarray, scale: float, total: float, n: int, to: np.ndarray) -> None:
    """Add scaled gradients to those of a signal: to one number for all samples, or none where they are not wanted."""
    if to.size == 1:
        to[0] += scale * total
    elif to.size > 1:
        for i in range(by.size):
            to[n + i] += scale * by[i]


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _shape_back(
    by: np.ndarray, shape: np.ndarray, n: int, c: np.ndarray, own: int, moved: int, to: np.ndarray, to_shape: np.ndarray
) -> None:
    """From gradients of widths or places to those of two settings and of the shape."""
    total = _sum(by)
    to[own] += total
    to[moved] += _dot(by, shape, n)
    _give(by, c[moved], total, n, to_shape)


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _phases_back(
    slope: np.ndarray, g: np.ndarray, scale: float, step: np.ndarray, first: bool, later: float, by: np.ndarray,
    work: np.ndarray,
) -> tuple[float, float]:  # fmt: skip
    """Gradients of phases, in ``by``, and of the pitches that make their steps, in place of the steps.

    A frequency moves all phases after it; ``later`` is the sum of what is behind these samples. ``first``: the first
    sample is where the oscillator begins, whose phase is set. Returns the sum of the phases' and that of the pitches'.
    """
    size = step.size
    for i in range(size):
        by[i] = scale * g[i] * slope[i]
    run_up(by, work)
    whole, total = work[size - 1], 0.0
    behind = whole + later
    if first:
        step[0] = 0.0
    for i in range(size):
        put(step, i, (behind - pick(work, i) + pick(by, i)) * step[i] * (_LN_2 / 12) if step[i] < 0.5 else 0.0)
    for i in range(size):
        total += step[i]
    return whole, total


@numba.njit(cache=True, error_model="numpy")
def _back_row(
    grad: np.ndarray, pitch: np.ndarray, modulation: np.ndarray, shape: np.ndarray, moved: np.ndarray, c: np.ndarray,
    tables: np.ndarray, frames: np.ndarray, limits: np.ndarray, rate: float, begins: np.ndarray, resumed: bool,
    to_pitch: np.ndarray, to_modulation: np.ndarray, to_shape: np.ndarray, to_moved: np.ndarray, to: np.ndarray,
) -> None:  # fmt: skip
    """Gradients; those of signals are not wanted where their arrays are empty."""
    size, last = tables.shape[1] // limits.size, frames.size // tables.shape[1] - 1
    width, points, behind = tables.shape[1], size - 3, 0.0
    steps, phases, laters, bys = np.empty(CHUNK), np.empty(CHUNK), np.empty(CHUNK), np.empty(CHUNK)
    levels, ats, firsts = np.empty(CHUNK, np.int32), np.empty(CHUNK, np.int32), np.empty(CHUNK, np.int32)
    ts, us = np.empty(CHUNK, np.float32), np.empty(CHUNK, np.float32)
    work = np.empty((7, CHUNK), c.dtype)
    for n in range((begins.size - 1) * CHUNK, -1, -CHUNK):
        count = min(CHUNK, grad.size - n)
        step, phase, later, level, by_phase = steps[:count], phases[:count], laters[:count], levels[:count], bys[:count]
        at, t, first, u, g = ats[:count], ts[:count], firsts[:count], us[:count], grad[n : n + count]
        total, slope, wave, tilt = work[0, :count], work[1, :count], work[2, :count], work[3, :count]
        place, share, by = work[4, :count], work[5, :count], work[6, :count]
        advance(pitch, modulation, c, rate, n, step, phase)
        start_phases(phase, begins[n // CHUNK] + float(c[PHASE]), moved, n)
        find_levels(step, limits, size, level)
        find_places(phase, level, points, at, t)
        total[:] = 0
        slope[:] = 0
        for setting, row in WAVES:
            to[setting] += c[AMPLITUDE] * _wave_back(tables[row], at, t, c[setting], g, wave, tilt, total, slope)
        find_frames(c, shape, n, last, width, at, place, first, share)
        to[TABLE] += c[AMPLITUDE] * _table_back(
            c, frames, width, last, first, t, place, share, g, wave, tilt, total, slope, by
        )
        if c[TABLE] != 0:
            _shape_back(by, shape, n, c, POSITION, MOVED, to, to_shape)
        saw = tables[SAW_TABLE]
        to[PULSE] += c[AMPLITUDE] * _wave_back(saw, at, t, c[PULSE], g, wave, tilt, total, slope)
        find_widths(c, shape, n, phase, place, later)
        find_places(later, level, points, first, u)
        to[PULSE] += c[AMPLITUDE] * _pulse_back(c, saw, points, first, u, place, g, wave, tilt, total, slope, by)
        if c[PULSE] != 0:
            _shape_back(by, shape, n, c, WIDTH, WIDENED, to, to_shape)
        to[AMPLITUDE] += _dot(g, total, 0)
        scale = float(c[AMPLITUDE]) * points
        whole, turned = _phases_back(slope, g, scale, step, n == 0 and not resumed, behind, by_phase, later)
        behind += whole
        to[PHASE] += whole
        to[UP] += turned
        to[VIBRATO] += _dot(step, modulation, n)
        _give(by_phase, 1.0, whole, n, to_moved)
        _give(step, 1.0, turned, n, to_pitch)
        _give(step, float(c[VIBRATO]), turned, n, to_modulation)
    to[TUNE] += to[UP]


@numba.njit(parallel=True, cache=True, error_model="numpy")
def back(
    grad: np.ndarray, pitch: np.ndarray, modulation: np.ndarray, shape: np.ndarray, moved: np.ndarray, c: np.ndarray,
    tables: np.ndarray, frames: np.ndarray, limits: np.ndarray, rate: float, begins: np.ndarray, resumed: np.ndarray,
    to_pitch: np.ndarray, to_modulation: np.ndarray, to_shape: np.ndarray, to_moved: np.ndarray, to: np.ndarray,
) -> None:  # fmt: skip
    """Gradients of all rows, added to what the arrays hold; none of a signal whose array is empty."""
    for row in numba.prange(grad.shape[0]):
        _back_row(
            grad[row], pitch[row], modulation[row], shape[row], moved[row], c[row], tables, frames, limits, rate,
            begins[row], resumed[row], to_pitch[row], to_modulation[row], to_shape[row], to_moved[row], to[row],
        )  # fmt: skip
