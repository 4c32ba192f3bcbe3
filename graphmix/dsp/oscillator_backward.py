"""The compiled loops of :mod:`graphmix.dsp.oscillator` for gradients: its steps again, and back through them.

Chunks of samples come from the last to the first, so that a frequency gets the gradients of all phases after it, and
nothing but inputs and results goes through memory. They begin where the gradients do: behind the end of a note they are
often 0. Waveforms that are read at the same places share :mod:`graphmix.dsp.table_sums`.
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
    between,
    find_frames,
    find_levels,
    find_places,
    find_widths,
    run_up,
    slope_at,
    start_phases,
    value_and_slope_at,
    value_at,
)
from graphmix.dsp.rows import end_of_sound
from graphmix.dsp.table_sums import clear, gather, product

_LN_2 = math.log(2)


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _add_slopes(
    table: np.ndarray, at: np.ndarray, t: np.ndarray, gain: Any, begun: bool, tilt: np.ndarray, slope: np.ndarray
) -> bool:
    """Add the slopes of a wave times its gain to those of others, if there are any; then there are."""
    if gain == 0:
        return begun
    to = tilt if begun else slope
    for i in range(at.size):
        put(to, i, gain * slope_at(table, pick(at, i), pick(t, i)))
    if begun:
        for i in range(at.size):
            slope[i] += tilt[i]
    return True


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _value_sum(table: np.ndarray, at: np.ndarray, t: np.ndarray, grad: np.ndarray) -> float:
    """Sum of products of gradients with a wave."""
    result = grad.dtype.type(0)
    for i in range(at.size):
        result += pick(grad, i) * value_at(table, pick(at, i), pick(t, i))
    return result


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _frames_sum(
    frames: np.ndarray, width: int, first: np.ndarray, t: np.ndarray, share: np.ndarray, grad: np.ndarray
) -> float:
    """Sum of products of gradients with what lies between two frames."""
    result, above = grad.dtype.type(0), frames[width:]
    for i in range(first.size):
        k, own = pick(first, i), pick(t, i)
        lower, upper = value_at(frames, k, own), value_at(above, k, own)
        result += pick(grad, i) * (lower + pick(share, i) * (upper - lower))
    return result


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _table_back(
    c: np.ndarray, frames: np.ndarray, width: int, last: int, first: np.ndarray, t: np.ndarray, place: np.ndarray,
    share: np.ndarray, grad: np.ndarray, work: np.ndarray, begun: bool, slope: np.ndarray, by_place: np.ndarray,
) -> float:  # fmt: skip
    """As :func:`_frames_sum`; adds the slopes, and gives the gradients of the place."""
    gain, above, zero = c[TABLE], frames[width:], c.dtype.type(0)
    scale = c[AMPLITUDE] * gain * c.dtype.type(last)
    wave, tilt = work[0, : first.size], work[1, : first.size]
    for i in range(first.size):
        k, own, part = pick(first, i), pick(t, i), pick(share, i)
        lower, slope_below = value_and_slope_at(frames, k, own)
        upper, slope_above = value_and_slope_at(above, k, own)
        put(wave, i, lower + part * (upper - lower))
        put(tilt, i, gain * (slope_below + part * (slope_above - slope_below)))
        inside = (pick(place, i) >= 0) & (pick(place, i) <= 1)
        put(by_place, i, scale * pick(grad, i) * (upper - lower) if inside else zero)
    if begun:
        for i in range(first.size):
            slope[i] += tilt[i]
    else:
        slope[:] = tilt
    return _dot(grad, wave, 0)


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _fall_back(
    c: np.ndarray, saw: np.ndarray, points: int, at: np.ndarray, t: np.ndarray, width: np.ndarray, grad: np.ndarray,
    work: np.ndarray, slope: np.ndarray, by_width: np.ndarray,
) -> float:  # fmt: skip
    """As :func:`_value_sum` for the falling saw of a pulse; adds the slopes, and gives the gradients of the width."""
    low, high, zero = c.dtype.type(NARROWEST), c.dtype.type(WIDEST), c.dtype.type(0)
    scale = -c[AMPLITUDE] * c[PULSE] * c.dtype.type(points)
    wave, tilt = work[0, : at.size], work[1, : at.size]
    for i in range(at.size):
        value, own = value_and_slope_at(saw, pick(at, i), pick(t, i))
        put(wave, i, value)
        put(tilt, i, own)
    for i in range(at.size):
        inside = (pick(width, i) >= low) & (pick(width, i) <= high)
        put(by_width, i, scale * pick(tilt, i) * pick(grad, i) if inside else zero)
    for i in range(at.size):
        slope[i] -= c[PULSE] * tilt[i]
    return _dot(grad, wave, 0)


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
    """Write scaled gradients to those of a signal, added to one number for all samples; none if it is not wanted."""
    if to.size == 1:
        to[0] += scale * total
    elif to.size > 1:
        for i in range(by.size):
            to[n + i] = scale * by[i]


@numba.njit(cache=True, error_model="numpy")
def _add(by: np.ndarray, scale: float, total: float, n: int, to: np.ndarray) -> None:
    """As :func:`_give`, added to what is there."""
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
    _add(by, c[moved], total, n, to_shape)


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
def _waves_back(
    c: np.ndarray, tables: np.ndarray, frames: np.ndarray, sums: np.ndarray, begun: np.ndarray, falling: float,
    tabled: float, frame: float, share: float, to: np.ndarray,
) -> None:  # fmt: skip
    """Gradients of all amplitudes, from the sums that the tables share and those of the others.

    Args:
        falling: of the pulse's falling saw.
        tabled: of the wavetable, where it moves among its frames.
        frame, share: the lower frame and the upper one's share where it does not; below 0 otherwise.
    """
    total, saw, width = 0.0, 0.0, tables.shape[1]
    for setting, row in WAVES:
        own = product(tables[row], sums, begun)
        to[setting] += c[AMPLITUDE] * own
        total += c[setting] * own
        saw = own if row == SAW_TABLE else saw
    to[PULSE] += c[AMPLITUDE] * (saw - falling)
    total += c[PULSE] * (saw - falling)
    if share >= 0:
        first = round(frame)
        lower = product(frames[first * width : (first + 1) * width], sums, begun)
        upper = product(frames[(first + 1) * width : (first + 2) * width], sums, begun)
        tabled += lower + share * (upper - lower)
    to[TABLE] += c[AMPLITUDE] * tabled
    to[AMPLITUDE] += total + c[TABLE] * tabled


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
    work = np.empty((6, CHUNK), c.dtype)
    sums, begun, falling, tabled = np.empty(width, c.dtype), np.zeros(limits.size, np.uint8), 0.0, 0.0
    at_rest, sounds = shape.size == 1 or c[MOVED] == 0, end_of_sound(grad)
    for to_signal in (to_pitch, to_modulation, to_shape, to_moved):
        if to_signal.size > 1:
            to_signal[sounds:] = 0
    for n in range((sounds - 1) // CHUNK * CHUNK, -1, -CHUNK):
        count = min(CHUNK, sounds - n)
        step, phase, later, level, by_phase = steps[:count], phases[:count], laters[:count], levels[:count], bys[:count]
        at, t, first, u, g = ats[:count], ts[:count], firsts[:count], us[:count], grad[n : n + count]
        slope, place, share, by = work[2, :count], work[3, :count], work[4, :count], work[5, :count]
        advance(pitch, modulation, c, rate, n, step, phase)
        start_phases(phase, begins[n // CHUNK] + float(c[PHASE]), moved, n)
        find_levels(step, limits, size, level)
        find_places(phase, level, points, at, t)
        clear(level, size, sums, begun)
        gather(g, at, t, sums)
        if to_shape.size > 1:
            to_shape[n : n + count] = 0
        saw, there = tables[SAW_TABLE], False
        for setting, row in WAVES:
            gain = c[setting] + c[PULSE] if row == SAW_TABLE else c[setting]
            there = _add_slopes(tables[row], at, t, gain, there, work[0, :count], slope)
        if c[TABLE] != 0 or not at_rest:
            find_frames(c, shape, n, last, width, at, place, first, share)
        if c[TABLE] != 0:
            tabled += _table_back(c, frames, width, last, first, t, place, share, g, work, there, slope, by)
            _shape_back(by, shape, n, c, POSITION, MOVED, to, to_shape)
        elif not at_rest:
            tabled += _frames_sum(frames, width, first, t, share, g)
        if not there and c[TABLE] == 0:
            slope[:] = 0
        find_widths(c, shape, n, phase, place, later)
        find_places(later, level, points, first, u)
        if c[PULSE] != 0:
            falling += _fall_back(c, saw, points, first, u, place, g, work, slope, by)
            _shape_back(by, shape, n, c, WIDTH, WIDENED, to, to_shape)
        else:
            falling += _value_sum(saw, first, u, g)
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
    if sounds > 0:
        inside, part = 0.0, -1.0
        if c[TABLE] == 0 and at_rest:
            inside = between(c[POSITION] + c[MOVED] * shape[0], 0.0, 1.0) * last
            part = inside - min(int(inside), last - 1)
        _waves_back(c, tables, frames, sums, begun, falling, tabled, inside - part, part, to)


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
