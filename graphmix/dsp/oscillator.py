r"""A whole oscillator in one compiled loop: pitch, phase, waveforms and their sum, with gradients.

.. math:: y[n] = u[n] + A \sum_k a_k \, w_k(\phi[n]), \quad \phi[n] = \phi_0 + m[n] + \sum_{i \leq n} f[i]

with the tables of :mod:`graphmix.dsp.wavetable`. Rows are voices and are computed one after the other, some hundred
samples at a time, so that nothing between the inputs and the output goes through memory. Nothing is kept for the
backward pass but the inputs: it goes through the same steps again.

Conventions: signals are [rows, samples], or [rows, 1] where they do not change. Settings are [rows, :data:`SETTINGS`].
The frequency in periods a sample is :math:`f = \min(r \, 2^{p / 12}, 1/2)` for the pitch *p* in semitones that the
settings and signals add up to; the first sample has the phase at which the oscillator starts.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphmix.dsp.elementary import SUMS, exp2
from graphmix.dsp.rows import summed
from graphmix.dsp.wavetable import Wavetable

SETTINGS = (
    "amplitude", "sine", "saw", "pulse", "triangle", "table", "width", "width_modulation", "position",
    "position_modulation", "transpose", "detune", "vibrato", "phase",
)  # fmt: skip
"""Amplitudes; width of the pulse and place in the frames of the table from 0 to 1, and both for a shape of 1; semitones
added to the pitch, twice; semitones for a modulation of 1; phase at the start, in periods."""
_AMPLITUDE, _SINE, _SAW, _PULSE, _TRIANGLE, _TABLE = range(6)
_WIDTH, _WIDENED, _POSITION, _MOVED, _UP, _TUNE, _VIBRATO, _PHASE = range(6, len(SETTINGS))
NARROWEST, WIDEST = 0.02, 0.98
"""Limits of a pulse's width."""
_WAVES = ((_SINE, 0), (_SAW, 1), (_TRIANGLE, 2))
_SAW_TABLE = 1
_CHUNK = 512
_MOST_OCTAVES = 16.0
_LN_2 = math.log(2)
_ONE, _TWO, _THREE = np.uint64(1), np.uint64(2), np.uint64(3)
"""Indices without a sign: the compiled code needs not look whether they count from the end."""


@numba.njit(cache=True, error_model="numpy")
def _advance(
    pitch: np.ndarray, modulation: np.ndarray, c: np.ndarray, rate: float, n: int, step: np.ndarray, phase: np.ndarray
) -> None:
    """Frequencies of the samples from n on, and their running sum from 0."""
    size = step.size
    if pitch.size == 1 and (modulation.size == 1 or c[_VIBRATO] == 0):
        tuned = (pitch[0] + c[_UP]) + c[_TUNE] + c[_VIBRATO] * (modulation[0] if modulation.size == 1 else 0.0)
        speed = min(exp2(min(float(tuned) / 12, _MOST_OCTAVES)) * rate, 0.5)
        for i in range(size):
            step[i] = speed
            phase[i] = speed * (i + 1)
        return
    for i in range(size):
        step[i] = (pitch[0 if pitch.size == 1 else n + i] + c[_UP]) + c[_TUNE]
    if modulation.size > 1:
        for i in range(size):
            step[i] += c[_VIBRATO] * modulation[n + i]
    else:
        for i in range(size):
            step[i] += c[_VIBRATO] * modulation[0]
    for i in range(size):
        step[i] = min(exp2(max(-1000.0, min(step[i] / 12, _MOST_OCTAVES))) * rate, 0.5)
    total = 0.0
    for i in range(size):
        total += step[i]
        phase[i] = total


@numba.njit(cache=True, error_model="numpy")
def _find_levels(step: np.ndarray, limits: np.ndarray, size: int, level: np.ndarray) -> None:
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
def _find_places(phase: np.ndarray, level: np.ndarray, points: int, at: np.ndarray, t: np.ndarray) -> None:
    """Where in the tables each phase lies: an index, and how far it is to the next one."""
    for i in range(phase.size):
        place = (phase[i] - np.floor(phase[i])) * points
        index = min(np.int64(place), points - 1)
        at[i] = np.uint64(level[i] + index)
        t[i] = place - index


@numba.njit(cache=True, error_model="numpy", inline="always")
def _value(table: np.ndarray, at: int, t: float) -> float:
    """A cubic through the two points around a place, whose slopes there are the central differences."""
    a, b, c, d = table[at], table[at + _ONE], table[at + _TWO], table[at + _THREE]
    p = np.float32(0.5) * (c - a)
    q = a - np.float32(2.5) * b + np.float32(2.0) * c - np.float32(0.5) * d
    r = np.float32(0.5) * (d - a) + np.float32(1.5) * (b - c)
    return b + t * (p + t * (q + t * r))


@numba.njit(cache=True, error_model="numpy", inline="always")
def _slope(table: np.ndarray, at: int, t: float) -> float:
    """Its slope, for a step of one point."""
    a, b, c, d = table[at], table[at + _ONE], table[at + _TWO], table[at + _THREE]
    p = np.float32(0.5) * (c - a)
    q = a - np.float32(2.5) * b + np.float32(2.0) * c - np.float32(0.5) * d
    r = np.float32(0.5) * (d - a) + np.float32(1.5) * (b - c)
    return p + t * (np.float32(2.0) * q + np.float32(3.0) * t * r)


@numba.njit(cache=True, error_model="numpy", inline="always")
def _between(value: Any, low: float, high: float) -> Any:
    return min(max(value, low), high)


@numba.njit(cache=True, error_model="numpy")
def _find_widths(
    c: np.ndarray, shape: np.ndarray, n: int, phase: np.ndarray, width: np.ndarray, later: np.ndarray
) -> None:
    """Widths of the pulse before they are limited, and the phases of its falling edge's saw."""
    for i in range(phase.size):
        width[i] = c[_WIDTH] + c[_WIDENED] * shape[0 if shape.size == 1 else n + i]
        later[i] = phase[i] + _between(width[i], NARROWEST, WIDEST)


@numba.njit(cache=True, error_model="numpy")
def _find_frames(
    c: np.ndarray, shape: np.ndarray, n: int, last: int, size: int, at: np.ndarray, place: np.ndarray,
    first: np.ndarray, share: np.ndarray,
) -> None:  # fmt: skip
    """Places among the frames of the table before they are limited; the lower frame's points, the upper one's share."""
    for i in range(at.size):
        place[i] = c[_POSITION] + c[_MOVED] * shape[0 if shape.size == 1 else n + i]
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
    steps, phases, laters = np.empty(_CHUNK), np.empty(_CHUNK), np.empty(_CHUNK)
    levels, ats, firsts = np.empty(_CHUNK, np.int64), np.empty(_CHUNK, np.uint64), np.empty(_CHUNK, np.uint64)
    ts, us = np.empty(_CHUNK, np.float32), np.empty(_CHUNK, np.float32)
    totals, places, shares = np.empty(_CHUNK, c.dtype), np.empty(_CHUNK, c.dtype), np.empty(_CHUNK, c.dtype)
    for n in range(0, out.size, _CHUNK):
        count = min(_CHUNK, out.size - n)
        step, phase, later, level = steps[:count], phases[:count], laters[:count], levels[:count]
        at, t, first, u, total, place, share = (
            ats[:count], ts[:count], firsts[:count], us[:count], totals[:count], places[:count], shares[:count],
        )  # fmt: skip
        _advance(pitch, modulation, c, rate, n, step, phase)
        begin = state[0] if state[1] > 0 else -step[0]
        state[0], state[1] = begin + phase[count - 1], 1.0
        start = begin + float(c[_PHASE])
        for i in range(count):
            phase[i] += start + moved[0 if moved.size == 1 else n + i]
            total[i] = 0
        _find_levels(step, limits, size, level)
        _find_places(phase, level, size - 3, at, t)
        for setting, wave in _WAVES:
            if c[setting] > 0:
                for i in range(count):
                    total[i] += c[setting] * _value(tables[wave], at[i], t[i])
        if c[_TABLE] > 0:
            _find_frames(c, shape, n, last, tables.shape[1], at, place, first, share)
            for i in range(count):
                lower = _value(frames, first[i], t[i])
                upper = _value(frames, first[i] + np.uint64(tables.shape[1]), t[i])
                total[i] += c[_TABLE] * (lower + share[i] * (upper - lower))
        if c[_PULSE] > 0:
            _find_widths(c, shape, n, phase, place, later)
            for i in range(count):
                total[i] += c[_PULSE] * _value(tables[_SAW_TABLE], at[i], t[i])
            _find_places(later, level, size - 3, first, u)
            for i in range(count):
                total[i] -= c[_PULSE] * _value(tables[_SAW_TABLE], first[i], u[i])
        for i in range(count):
            out[n + i] = dry[0 if dry.size == 1 else n + i] + c[_AMPLITUDE] * total[i]


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _wave_back(
    table: np.ndarray, at: np.ndarray, t: np.ndarray, gain: float, grad: np.ndarray, total: np.ndarray, to: np.ndarray
) -> float:
    """Add a wave to the sum of all, and its slopes times its gain; what the gain's gradient is."""
    result = 0.0
    if gain == 0:
        for i in range(at.size):
            result += grad[i] * _value(table, at[i], t[i])
        return result
    for i in range(at.size):
        value = _value(table, at[i], t[i])
        result += grad[i] * value
        total[i] += gain * value
        to[i] += gain * _slope(table, at[i], t[i])
    return result


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _table_back(
    c: np.ndarray, frames: np.ndarray, width: int, last: int, first: np.ndarray, t: np.ndarray, place: np.ndarray,
    share: np.ndarray, grad: np.ndarray, total: np.ndarray, to: np.ndarray, by_place: np.ndarray,
) -> float:  # fmt: skip
    """As :func:`_wave_back` for the two frames around a place, and the gradients of the place."""
    result, gain = 0.0, c[_TABLE]
    if gain == 0:
        for i in range(first.size):
            lower, upper = _value(frames, first[i], t[i]), _value(frames, first[i] + np.uint64(width), t[i])
            result += grad[i] * (lower + share[i] * (upper - lower))
            by_place[i] = 0
        return result
    for i in range(first.size):
        lower, upper = _value(frames, first[i], t[i]), _value(frames, first[i] + np.uint64(width), t[i])
        value = lower + share[i] * (upper - lower)
        result += grad[i] * value
        total[i] += gain * value
        slope = _slope(frames, first[i], t[i])
        to[i] += gain * (slope + share[i] * (_slope(frames, first[i] + np.uint64(width), t[i]) - slope))
        inside = place[i] >= 0 and place[i] <= 1
        by_place[i] = c[_AMPLITUDE] * gain * last * grad[i] * (upper - lower) if inside else 0.0
    return result


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _pulse_back(
    c: np.ndarray, saw: np.ndarray, at: np.ndarray, t: np.ndarray, width: np.ndarray, grad: np.ndarray,
    total: np.ndarray, to: np.ndarray, by_width: np.ndarray,
) -> float:  # fmt: skip
    """As :func:`_wave_back` for the falling saw of a pulse, and the gradients of the width."""
    result, gain = 0.0, c[_PULSE]
    if gain == 0:
        for i in range(at.size):
            result -= grad[i] * _value(saw, at[i], t[i])
            by_width[i] = 0
        return result
    for i in range(at.size):
        value, slope = _value(saw, at[i], t[i]), _slope(saw, at[i], t[i])
        result -= grad[i] * value
        total[i] -= gain * value
        to[i] -= gain * slope
        inside = width[i] >= NARROWEST and width[i] <= WIDEST
        by_width[i] = -c[_AMPLITUDE] * gain * slope * grad[i] if inside else 0.0
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
    phases, laters = np.empty(_CHUNK), np.empty(_CHUNK)
    levels, ats, firsts = np.empty(_CHUNK, np.int64), np.empty(_CHUNK, np.uint64), np.empty(_CHUNK, np.uint64)
    ts, us = np.empty(_CHUNK, np.float32), np.empty(_CHUNK, np.float32)
    totals, places, tos = np.empty(_CHUNK, c.dtype), np.empty(_CHUNK, c.dtype), np.empty(_CHUNK, c.dtype)
    ours, shares = np.empty(_CHUNK, c.dtype), np.empty(_CHUNK, c.dtype)
    accumulated, begun = state[0], state[1] > 0
    resumed = begun
    for n in range(0, grad.size, _CHUNK):
        count = min(_CHUNK, grad.size - n)
        step, phase, later, level = speeds[n : n + count], phases[:count], laters[:count], levels[:count]
        at, t, first, u, total, place, share = (
            ats[:count], ts[:count], firsts[:count], us[:count], totals[:count], places[:count], shares[:count],
        )  # fmt: skip
        slope, by, g, form = tos[:count], ours[:count], grad[n : n + count], _part(shape, n, count)
        _advance(pitch, modulation, c, rate, n, step, phase)
        begin = accumulated if begun else -step[0]
        accumulated, begun = begin + phase[count - 1], True
        start = begin + float(c[_PHASE])
        for i in range(count):
            phase[i] += start + moved[0 if moved.size == 1 else n + i]
            total[i], slope[i] = 0, 0
        _find_levels(step, limits, size, level)
        _find_places(phase, level, size - 3, at, t)
        for setting, wave in _WAVES:
            to[setting] += c[_AMPLITUDE] * _wave_back(tables[wave], at, t, c[setting], g, total, slope)
        _find_frames(c, shape, n, last, width, at, place, first, share)
        to[_TABLE] += c[_AMPLITUDE] * _table_back(c, frames, width, last, first, t, place, share, g, total, slope, by)
        to[_POSITION] += by.sum()
        to[_MOVED] += _dot(by, form)
        if to_shape.size > 0:
            for i in range(count):
                to_shape[0 if shape.size == 1 else n + i] += c[_MOVED] * by[i]
        to[_PULSE] += c[_AMPLITUDE] * _wave_back(tables[_SAW_TABLE], at, t, c[_PULSE], g, total, slope)
        _find_widths(c, shape, n, phase, place, later)
        _find_places(later, level, size - 3, first, u)
        to[_PULSE] += c[_AMPLITUDE] * _pulse_back(c, tables[_SAW_TABLE], first, u, place, g, total, slope, by)
        for i in range(count):
            by[i] *= points
        to[_WIDTH] += by.sum()
        to[_WIDENED] += _dot(by, form)
        if to_shape.size > 0:
            for i in range(count):
                to_shape[0 if shape.size == 1 else n + i] += c[_WIDENED] * by[i]
        to[_AMPLITUDE] += _dot(g, total)
        for i in range(count):
            slopes[n + i] = c[_AMPLITUDE] * points * g[i] * slope[i]
    to[_PHASE] += slopes.sum()
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
    to[_UP] += total
    to[_TUNE] += total
    to[_VIBRATO] += _dot(slopes, modulation)
    if to_pitch.size == 1:
        to_pitch[0] = total
    elif to_pitch.size > 0:
        for n in range(slopes.size):
            to_pitch[n] = slopes[n]
    if to_modulation.size == 1:
        to_modulation[0] = c[_VIBRATO] * total
    elif to_modulation.size > 0:
        for n in range(slopes.size):
            to_modulation[n] = c[_VIBRATO] * slopes[n]


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _play(
    dry: np.ndarray, pitch: np.ndarray, modulation: np.ndarray, shape: np.ndarray, moved: np.ndarray, c: np.ndarray,
    tables: np.ndarray, frames: np.ndarray, limits: np.ndarray, rate: float, state: np.ndarray, out: np.ndarray,
) -> None:  # fmt: skip
    for row in numba.prange(out.shape[0]):
        _play_row(
            dry[row], pitch[row], modulation[row], shape[row], moved[row], c[row], tables, frames, limits, rate,
            state[row], out[row],
        )  # fmt: skip


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _back(
    grad: np.ndarray, pitch: np.ndarray, modulation: np.ndarray, shape: np.ndarray, moved: np.ndarray, c: np.ndarray,
    tables: np.ndarray, frames: np.ndarray, limits: np.ndarray, rate: float, state: np.ndarray, to_pitch: np.ndarray,
    to_modulation: np.ndarray, to_shape: np.ndarray, to_moved: np.ndarray, to: np.ndarray,
) -> None:  # fmt: skip
    for row in numba.prange(grad.shape[0]):
        _back_row(
            grad[row], pitch[row], modulation[row], shape[row], moved[row], c[row], tables, frames, limits, rate,
            state[row], to_pitch[row], to_modulation[row], to_shape[row], to_moved[row], to[row],
        )  # fmt: skip


class _Oscillator(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, bank: "Bank", rate: float, samples: int, state: Tensor, settings: Tensor, *signals: Tensor
    ) -> Tensor:
        settings, dry, *moving = (t.detach().contiguous() for t in (settings, *signals))
        out = torch.empty(len(settings), samples, dtype=settings.dtype)
        ctx.begun, ctx.bank, ctx.rate, ctx.dry = state.clone(), bank, rate, dry.size(1)
        ctx.save_for_backward(settings, *moving)
        arrays = [t.numpy() for t in (dry, *moving, settings)]
        _play(*arrays, *bank, rate, state.numpy(), out.numpy())
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        settings, *moving = ctx.saved_tensors
        wanted = ctx.needs_input_grad[6:]
        results = [torch.zeros_like(t) if w else t[:, :0] for t, w in zip(moving, wanted, strict=True)]
        to_settings = torch.zeros(settings.shape, dtype=torch.float64)
        arrays = [t.numpy() for t in (grad.contiguous(), *moving, settings)]
        _back(*arrays, *ctx.bank, ctx.rate, ctx.begun.numpy(), *(t.numpy() for t in (*results, to_settings)))
        to_signals = (t if w else None for t, w in zip(results, wanted, strict=True))
        to_dry = summed(grad, ctx.dry) if ctx.needs_input_grad[5] else None
        return None, None, None, None, to_settings.to(settings.dtype), to_dry, *to_signals


class Bank(NamedTuple):
    """The tables of an oscillator.

    Args:
        tables: of sine, saw and triangle, one after the other for all levels, [3, points].
        frames: of the wavetable, in the same manner and one after the other, [frames * points].
        limits: of the levels.
    """

    tables: NDArray[np.float32]
    frames: NDArray[np.float32]
    limits: NDArray[np.float64]


def make_bank(sine: Wavetable, saw: Wavetable, triangle: Wavetable, frames: Sequence[Wavetable]) -> Bank:
    """Tables in the order in which they are read; of two frames or more, all of one shape."""
    waves, steps = (np.stack([wave.tables.ravel() for wave in own]) for own in ((sine, saw, triangle), frames))
    return Bank(waves, steps.ravel(), saw.limits)


def oscillator(
    bank: Bank, rate: float, samples: int, settings: Tensor, signals: Sequence[Tensor], state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Play.

    Args:
        bank: the tables.
        rate: frequency for a pitch of 0, in periods a sample.
        samples: how many.
        settings: [rows, :data:`SETTINGS`].
        signals: what it is added to, pitch, modulation, shape, phase in periods, in the precision of the settings,
            [rows, samples] or [rows, 1] each.
        state: what is returned for the samples before, where these are not the first ones.

    Returns:
        [rows, samples], with gradients of settings and signals; and the state behind them, float64 [rows, 2].
    """
    state = torch.zeros(len(settings), 2, dtype=torch.float64) if state is None else state.clone()
    out = _Oscillator.apply(bank, rate, samples, state, settings.cpu(), *(t.cpu() for t in signals))
    assert isinstance(out, Tensor)
    return out.to(settings.device), state
