"""The compiled loops of :mod:`graphmix.dsp.oscillator`: what it plays, and the steps that its backward pass repeats."""

from typing import Any

import numba
import numpy as np

from graphmix.dsp.distinct import pick, put
from graphmix.dsp.elementary import exp2_like
from graphmix.dsp.rows import leave_silent

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
_LEAST_OCTAVES = -1000.0
_CHAINS = 4
"""Sums that run side by side, as each addition waits for the one before."""


@numba.njit(cache=True, error_model="numpy", inline="always")
def _speed(tuned: float, rate: float, like: Any) -> float:
    """The frequency in periods a sample of a pitch, as exact as ``like``."""
    octaves = tuned * (1 / 12)
    octaves = octaves if octaves < _MOST_OCTAVES else _MOST_OCTAVES
    speed = rate * exp2_like(octaves if octaves > _LEAST_OCTAVES else _LEAST_OCTAVES, like)
    return speed if speed < 0.5 else 0.5


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def advance(
    pitch: np.ndarray, modulation: np.ndarray, c: np.ndarray, rate: float, n: int, step: np.ndarray, phase: np.ndarray
) -> None:
    """Frequencies of the samples from n on, and their running sum from 0."""
    size = step.size
    if pitch.size == 1 and (modulation.size == 1 or c[VIBRATO] == 0):
        tuned = (pitch[0] + c[UP]) + c[TUNE] + c[VIBRATO] * (modulation[0] if modulation.size == 1 else 0.0)
        speed = _speed(float(tuned), rate, c[0])
        for i in range(size):
            step[i] = speed
        for i in range(size):
            phase[i] = speed * (i + 1)
        return
    vibrato, still = c[VIBRATO], modulation.size == 1
    if pitch.size == 1:
        tuned = (pitch[0] + c[UP]) + c[TUNE]
        for i in range(size):
            step[i] = _speed(tuned + float(vibrato * modulation[n + i]), rate, vibrato)
    else:
        for i in range(size):
            step[i] = (pitch[n + i] + c[UP]) + c[TUNE]
        if still:
            for i in range(size):
                step[i] = _speed(step[i] + float(vibrato * modulation[0]), rate, vibrato)
        else:
            for i in range(size):
                step[i] = _speed(step[i] + float(vibrato * modulation[n + i]), rate, vibrato)
    run_up(step, phase)


@numba.njit(cache=True, error_model="numpy")
def run_up(step: np.ndarray, phase: np.ndarray) -> None:
    """Running sums, in four parts that are computed side by side."""
    part = step.size // _CHAINS
    two, three, four = part, 2 * part, 3 * part
    p, q, r, s = 0.0, 0.0, 0.0, 0.0
    for i in range(part):
        p += step[i]
        q += step[two + i]
        r += step[three + i]
        s += step[four + i]
        phase[i], phase[two + i], phase[three + i], phase[four + i] = p, q, r, s
    q += p
    r += q
    for i in range(part):
        phase[two + i] += p
    for i in range(part):
        phase[three + i] += q
    for i in range(part):
        phase[four + i] += r
    s += r
    for i in range(_CHAINS * part, step.size):
        s += step[i]
        phase[i] = s


@numba.njit(cache=True, error_model="numpy")
def find_levels(step: np.ndarray, limits: np.ndarray, size: int, level: np.ndarray) -> None:
    """Where the tables begin that have as many harmonics as each frequency allows."""
    own, last = limits.size - 1, limits.size - 1
    while own > 0 and step[0] > limits[own]:
        own -= 1
    most, least, others = limits[own], limits[own + 1] if own < last else -1.0, 0
    for i in range(step.size):
        others += (step[i] > most) | (step[i] <= least)
    if others == 0:
        level[:] = own * size
        return
    for i in range(step.size):
        while own > 0 and step[i] > limits[own]:
            own -= 1
        while own < last and step[i] <= limits[own + 1]:
            own += 1
        level[i] = own * size


@numba.njit(cache=True, error_model="numpy")
def find_places(phase: np.ndarray, level: np.ndarray, points: int, at: np.ndarray, t: np.ndarray) -> None:
    """Where in the tables each phase lies: an index, and how far it is to the next one."""
    last = np.int32(points - 1)
    for i in range(phase.size):
        p = pick(phase, i)
        place = (p - np.floor(p)) * points
        index = np.int32(place)
        index = index if index < last else last
        put(at, i, np.int32(pick(level, i) + index))
        put(t, i, np.float32(place - index))


@numba.njit(cache=True, error_model="numpy", inline="always")
def _cubic(table: np.ndarray, at: int) -> tuple[float, float, float, float]:
    """Coefficients, from the constant one on, of the cubic through the two points around a place whose slopes there are
    the central differences."""
    a, b, c, d = pick(table, at), pick(table, at + 1), pick(table, at + 2), pick(table, at + 3)
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
def value_and_slope_at(table: np.ndarray, at: int, t: float) -> tuple[float, float]:
    """A table between its points, and its slope for a step of one point."""
    b, p, q, r = _cubic(table, at)
    return b + t * (p + t * (q + t * r)), p + t * (np.float32(2.0) * q + np.float32(3.0) * t * r)


@numba.njit(cache=True, error_model="numpy", inline="always")
def slope_at(table: np.ndarray, at: int, t: float) -> float:
    """The slope of a table between its points, for a step of one point."""
    _, p, q, r = _cubic(table, at)
    return p + t * (np.float32(2.0) * q + np.float32(3.0) * t * r)


@numba.njit(cache=True, error_model="numpy", inline="always")
def between(value: Any, low: Any, high: Any) -> Any:
    """A number, limited."""
    value = value if value > low else low
    return value if value < high else high


@numba.njit(cache=True, error_model="numpy", inline="always")
def shape_at(shape: np.ndarray, n: int, i: int) -> Any:
    """A signal that may be one number for all samples."""
    return pick(shape, n + i if shape.size > 1 else 0)


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def find_widths(
    c: np.ndarray, shape: np.ndarray, n: int, phase: np.ndarray, width: np.ndarray, later: np.ndarray
) -> None:
    """Widths of the pulse before they are limited, and the phases of its falling edge's saw."""
    for i in range(phase.size):
        own = c[WIDTH] + c[WIDENED] * shape_at(shape, n, i)
        put(width, i, own)
        put(later, i, pick(phase, i) + between(own, NARROWEST, WIDEST))


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def find_frames(
    c: np.ndarray, shape: np.ndarray, n: int, last: int, size: int, at: np.ndarray, place: np.ndarray,
    first: np.ndarray, share: np.ndarray,
) -> None:  # fmt: skip
    """Places among the frames of the table before they are limited; the lower frame's points, the upper one's share."""
    for i in range(at.size):
        own = c[POSITION] + c[MOVED] * shape_at(shape, n, i)
        inside = between(own, 0.0, 1.0) * last
        frame = np.int32(inside)
        frame = frame if frame < last else np.int32(last - 1)
        put(place, i, own)
        put(first, i, np.int32(pick(at, i) + frame * np.int32(size)))
        put(share, i, inside - frame)


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _add_wave(table: np.ndarray, at: np.ndarray, t: np.ndarray, gain: Any, wave: np.ndarray, total: np.ndarray) -> None:
    for i in range(at.size):
        put(wave, i, value_at(table, pick(at, i), pick(t, i)))
    for i in range(at.size):
        total[i] += gain * wave[i]


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _add_frames(
    frames: np.ndarray, width: int, first: np.ndarray, t: np.ndarray, share: np.ndarray, gain: Any, wave: np.ndarray,
    total: np.ndarray,
) -> None:  # fmt: skip
    above = frames[width:]
    for i in range(first.size):
        k, own = pick(first, i), pick(t, i)
        lower, upper = value_at(frames, k, own), value_at(above, k, own)
        put(wave, i, lower + pick(share, i) * (upper - lower))
    for i in range(first.size):
        total[i] += gain * wave[i]


@numba.njit(cache=True, error_model="numpy")
def start_phases(phase: np.ndarray, start: float, moved: np.ndarray, n: int) -> None:
    """Add where the phases begin and by how much each of them is moved."""
    if moved.size == 1:
        phase += start + moved[0]
    else:
        for i in range(phase.size):
            phase[i] += start + moved[n + i]


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def play_row(
    dry: np.ndarray, pitch: np.ndarray, modulation: np.ndarray, shape: np.ndarray, moved: np.ndarray, c: np.ndarray,
    tables: np.ndarray, frames: np.ndarray, limits: np.ndarray, rate: float, state: np.ndarray, begins: np.ndarray,
    out: np.ndarray,
) -> None:  # fmt: skip
    """As many samples as ``out`` has, which may be fewer than the signals have."""
    width, size = tables.shape[1], tables.shape[1] // limits.size
    last = frames.size // width - 1
    steps, phases, laters = np.empty(CHUNK), np.empty(CHUNK), np.empty(CHUNK)
    levels, ats, firsts = np.empty(CHUNK, np.int32), np.empty(CHUNK, np.int32), np.empty(CHUNK, np.int32)
    ts, us = np.empty(CHUNK, np.float32), np.empty(CHUNK, np.float32)
    work = np.empty((4, CHUNK), c.dtype)
    totals, waves, places, shares = work[0], work[1], work[2], work[3]
    for n in range(0, out.size, CHUNK):
        count = min(CHUNK, out.size - n)
        step, phase, later, level = steps[:count], phases[:count], laters[:count], levels[:count]
        at, t, first, u = ats[:count], ts[:count], firsts[:count], us[:count]
        total, wave, place, share = totals[:count], waves[:count], places[:count], shares[:count]
        advance(pitch, modulation, c, rate, n, step, phase)
        begin = state[0] if state[1] > 0 else -step[0]
        begins[n // CHUNK] = begin
        state[0], state[1] = begin + phase[count - 1], 1.0
        start_phases(phase, begin + float(c[PHASE]), moved, n)
        find_levels(step, limits, size, level)
        find_places(phase, level, size - 3, at, t)
        total[:] = 0
        for setting, row in WAVES:
            if c[setting] > 0:
                _add_wave(tables[row], at, t, c[setting], wave, total)
        if c[TABLE] > 0:
            find_frames(c, shape, n, last, width, at, place, first, share)
            _add_frames(frames, width, first, t, share, c[TABLE], wave, total)
        if c[PULSE] > 0:
            find_widths(c, shape, n, phase, place, later)
            _add_wave(tables[SAW_TABLE], at, t, c[PULSE], wave, total)
            find_places(later, level, size - 3, first, u)
            _add_wave(tables[SAW_TABLE], first, u, -c[PULSE], wave, total)
        if dry.size == 1:
            for i in range(count):
                out[n + i] = dry[0] + c[AMPLITUDE] * total[i]
        else:
            for i in range(count):
                out[n + i] = dry[n + i] + c[AMPLITUDE] * total[i]


@numba.njit(parallel=True, cache=True, error_model="numpy")
def play(
    dry: np.ndarray, pitch: np.ndarray, modulation: np.ndarray, shape: np.ndarray, moved: np.ndarray, c: np.ndarray,
    tables: np.ndarray, frames: np.ndarray, limits: np.ndarray, rate: float, needed: np.ndarray, state: np.ndarray,
    begins: np.ndarray, out: np.ndarray,
) -> None:  # fmt: skip
    """Play so many samples of all rows, 0 behind them.

    The states are moved on, and ``begins`` [rows, chunks] are the phases at which chunks begin.
    """
    for row in numba.prange(out.shape[0]):
        play_row(
            dry[row], pitch[row], modulation[row], shape[row], moved[row], c[row], tables, frames, limits, rate,
            state[row], begins[row], out[row, : needed[row]],
        )  # fmt: skip
        leave_silent(out[row], needed[row])
