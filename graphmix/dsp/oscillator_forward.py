"""The compiled loops of :mod:`graphmix.dsp.oscillator`: what it plays, and the steps that its backward pass repeats."""

from typing import Any

import numba
import numpy as np

from graphmix.dsp.elementary import exp2

SETTINGS = (
    "amplitude", "sine", "saw", "pulse", "triangle", "table", "width", "width_modulation", "position",
    "position_modulation", "transpose", "detune", "vibrato", "phase",
)  # fmt: skip
"""Amplitudes; width of the pulse and place in the frames of the table from 0 to 1, and both for a shape of 1; semitones
added to the pitch, twice; semitones for a modulation of 1; phase at the start, in periods."""
AMPLITUDE, SINE, SAW, PULSE, TRIANGLE, TABLE = range(6)
WIDTH, WIDENED, POSITION, MOVED, UP, TUNE, VIBRATO, PHASE = range(6, len(SETTINGS))
NARROWEST, WIDEST = 0.02, 0.98
"""Limits of a pulse's width."""
WAVES = ((SINE, 0), (SAW, 1), (TRIANGLE, 2))
SAW_TABLE = 1
CHUNK = 512
_MOST_OCTAVES = 16.0
_ONE, _TWO, _THREE = np.uint64(1), np.uint64(2), np.uint64(3)
"""Indices without a sign: the compiled code needs not look whether they count from the end."""


@numba.njit(cache=True, error_model="numpy")
def advance(
    pitch: np.ndarray, modulation: np.ndarray, c: np.ndarray, rate: float, n: int, step: np.ndarray, phase: np.ndarray
) -> None:
    """Frequencies of the samples from n on, and their running sum from 0."""
    size = step.size
    if pitch.size == 1 and (modulation.size == 1 or c[VIBRATO] == 0):
        tuned = (pitch[0] + c[UP]) + c[TUNE] + c[VIBRATO] * (modulation[0] if modulation.size == 1 else 0.0)
        speed = min(exp2(min(float(tuned) / 12, _MOST_OCTAVES)) * rate, 0.5)
        for i in range(size):
            step[i] = speed
            phase[i] = speed * (i + 1)
        return
    for i in range(size):
        step[i] = (pitch[0 if pitch.size == 1 else n + i] + c[UP]) + c[TUNE]
    if modulation.size > 1:
        for i in range(size):
            step[i] += c[VIBRATO] * modulation[n + i]
    else:
        for i in range(size):
            step[i] += c[VIBRATO] * modulation[0]
    for i in range(size):
        step[i] = min(exp2(max(-1000.0, min(step[i] / 12, _MOST_OCTAVES))) * rate, 0.5)
    total = 0.0
    for i in range(size):
        total += step[i]
        phase[i] = total


@numba.njit(cache=True, error_model="numpy")
def find_levels(step: np.ndarray, limits: np.ndarray, size: int, level: np.ndarray) -> None:
    """Where the tables begin that have as many harmonics as each frequency allows."""
    low, high = step[0], step[0]
    for i in range(step.size):
        low, high = min(low, step[i]), max(high, step[i])
    least, most = limits.size - 1, limits.size - 1
    while least > 0 and high > limits[least]:
        least -= 1
    while most > 0 and low > limits[most]:
        most -= 1
    for i in range(step.size):
        level[i] = most * size
    if least < most:
        for i in range(step.size):
            own = most
            while own > least and step[i] > limits[own]:
                own -= 1
            level[i] = own * size


@numba.njit(cache=True, error_model="numpy")
def find_places(phase: np.ndarray, level: np.ndarray, points: int, at: np.ndarray, t: np.ndarray) -> None:
    """Where in the tables each phase lies: an index, and how far it is to the next one."""
    for i in range(phase.size):
        place = (phase[i] - np.floor(phase[i])) * points
        index = min(np.int64(place), points - 1)
        at[i] = np.uint64(level[i] + index)
        t[i] = place - index


@numba.njit(cache=True, error_model="numpy", inline="always")
def _cubic(table: np.ndarray, at: int) -> tuple[float, float, float, float]:
    """Coefficients, from the constant one on, of the cubic through the two points around a place whose slopes there are
    the central differences."""
    a, b, c, d = table[at], table[at + _ONE], table[at + _TWO], table[at + _THREE]
    p = np.float32(0.5) * (c - a)
    q = a - np.float32(2.5) * b + np.float32(2.0) * c - np.float32(0.5) * d
    r = np.float32(0.5) * (d - a) + np.float32(1.5) * (b - c)
    return b, p, q, r


@numba.njit(cache=True, error_model="numpy", inline="always")
def value_at(table: np.ndarray, at: int, t: float) -> float:
    """A table between its points."""
    b, p, q, r = _cubic(table, at)
    return b + t * (p + t * (q + t * r))


@numba.njit(cache=True, error_model="numpy", inline="always")
def slope_at(table: np.ndarray, at: int, t: float) -> float:
    """Its slope, for a step of one point."""
    _, p, q, r = _cubic(table, at)
    return p + t * (np.float32(2.0) * q + np.float32(3.0) * t * r)


@numba.njit(cache=True, error_model="numpy", inline="always")
def _between(value: Any, low: float, high: float) -> Any:
    return min(max(value, low), high)


@numba.njit(cache=True, error_model="numpy")
def find_widths(
    c: np.ndarray, shape: np.ndarray, n: int, phase: np.ndarray, width: np.ndarray, later: np.ndarray
) -> None:
    """Widths of the pulse before they are limited, and the phases of its falling edge's saw."""
    for i in range(phase.size):
        width[i] = c[WIDTH] + c[WIDENED] * shape[0 if shape.size == 1 else n + i]
        later[i] = phase[i] + _between(width[i], NARROWEST, WIDEST)


@numba.njit(cache=True, error_model="numpy")
def find_frames(
    c: np.ndarray, shape: np.ndarray, n: int, last: int, size: int, at: np.ndarray, place: np.ndarray,
    first: np.ndarray, share: np.ndarray,
) -> None:  # fmt: skip
    """Places among the frames of the table before they are limited; the lower frame's points, the upper one's share."""
    for i in range(at.size):
        place[i] = c[POSITION] + c[MOVED] * shape[0 if shape.size == 1 else n + i]
        inside = _between(place[i], 0.0, 1.0) * last
        frame = min(int(inside), last - 1)
        first[i] = at[i] + np.uint64(frame * size)
        share[i] = inside - frame


@numba.njit(cache=True, error_model="numpy")
def _play_row(
    dry: np.ndarray, pitch: np.ndarray, modulation: np.ndarray, shape: np.ndarray, moved: np.ndarray, c: np.ndarray,
    tables: np.ndarray, frames: np.ndarray, limits: np.ndarray, rate: float, state: np.ndarray, out: np.ndarray,
) -> None:  # fmt: skip
    size = tables.shape[1] // limits.size
    last = frames.size // tables.shape[1] - 1
    steps, phases, laters = np.empty(CHUNK), np.empty(CHUNK), np.empty(CHUNK)
    levels, ats, firsts = np.empty(CHUNK, np.int64), np.empty(CHUNK, np.uint64), np.empty(CHUNK, np.uint64)
    ts, us = np.empty(CHUNK, np.float32), np.empty(CHUNK, np.float32)
    totals, places, shares = np.empty(CHUNK, c.dtype), np.empty(CHUNK, c.dtype), np.empty(CHUNK, c.dtype)
    for n in range(0, out.size, CHUNK):
        count = min(CHUNK, out.size - n)
        step, phase, later, level = steps[:count], phases[:count], laters[:count], levels[:count]
        at, t, first, u, total, place, share = (
            ats[:count], ts[:count], firsts[:count], us[:count], totals[:count], places[:count], shares[:count],
        )  # fmt: skip
        advance(pitch, modulation, c, rate, n, step, phase)
        begin = state[0] if state[1] > 0 else -step[0]
        state[0], state[1] = begin + phase[count - 1], 1.0
        start = begin + float(c[PHASE])
        for i in range(count):
            phase[i] += start + moved[0 if moved.size == 1 else n + i]
            total[i] = 0
        find_levels(step, limits, size, level)
        find_places(phase, level, size - 3, at, t)
        for setting, wave in WAVES:
            if c[setting] > 0:
                for i in range(count):
                    total[i] += c[setting] * value_at(tables[wave], at[i], t[i])
        if c[TABLE] > 0:
            find_frames(c, shape, n, last, tables.shape[1], at, place, first, share)
            for i in range(count):
                lower = value_at(frames, first[i], t[i])
                upper = value_at(frames, first[i] + np.uint64(tables.shape[1]), t[i])
                total[i] += c[TABLE] * (lower + share[i] * (upper - lower))
        if c[PULSE] > 0:
            find_widths(c, shape, n, phase, place, later)
            for i in range(count):
                total[i] += c[PULSE] * value_at(tables[SAW_TABLE], at[i], t[i])
            find_places(later, level, size - 3, first, u)
            for i in range(count):
                total[i] -= c[PULSE] * value_at(tables[SAW_TABLE], first[i], u[i])
        for i in range(count):
            out[n + i] = dry[0 if dry.size == 1 else n + i] + c[AMPLITUDE] * total[i]


@numba.njit(parallel=True, cache=True, error_model="numpy")
def play(
    dry: np.ndarray, pitch: np.ndarray, modulation: np.ndarray, shape: np.ndarray, moved: np.ndarray, c: np.ndarray,
    tables: np.ndarray, frames: np.ndarray, limits: np.ndarray, rate: float, state: np.ndarray, out: np.ndarray,
) -> None:  # fmt: skip
    """Play all rows; the states are moved on."""
    for row in numba.prange(out.shape[0]):
        _play_row(
            dry[row], pitch[row], modulation[row], shape[row], moved[row], c[row], tables, frames, limits, rate,
            state[row], out[row],
        )  # fmt: skip
