r"""A sine whose phase is modulated, by another signal and by its own output: an operator of frequency modulation.

After Chowning (1973), in the form of phase modulation, with the feedback of Yamaha's patent 4,249,447 (Tomisawa 1981):
the mean of the last two outputs, which keeps a strong feedback from oscillating at half the sample rate,

.. math:: y[n] = \sin\left(2 \pi \left(\phi[n] + m[n]\right) + \beta \, \frac{y[n-1] + y[n-2]}{2}\right)

Exact recursion, forward and backward compiled loops; phases are in periods and float64. Rows are independent, with zero
outputs before the first sample.

:func:`operator` takes phases. :func:`added_operator` takes pitches as well, and an envelope: all of it in one compiled
loop, a row after the other, which keeps nothing for the backward pass but its inputs.

From an index of about 2 on the recursion is chaotic, and its true gradient grows without limit; what one sample hands
back to those before it is held to a hundred times the largest gradient that came in.
"""

import math
from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphmix.dsp.distinct import pick, put
from graphmix.dsp.elementary import SUMS, exp2, sine
from graphmix.dsp.oscillator_forward import run_up
from graphmix.dsp.rows import end_of_sound, only_wanted, room_for, summed

_LARGEST = 100.0
"""Bound of what is carried back, relative to the largest gradient of the row."""
SETTINGS = ("amplitude", "transpose", "detune", "fixed", "is_fixed", "feedback", "phase", "depth")
"""Semitones added to the pitch, twice; a frequency in periods a sample, and above 0 if it is that one; index of the
feedback; phase at the start in periods; phase deviation for a modulation of 1, in periods."""
_AMPLITUDE, _UP, _TUNE, _FIXED, _IS_FIXED, _FEEDBACK, _PHASE, _DEPTH = range(len(SETTINGS))
_CHUNK = 512
_MOST_OCTAVES = 16.0
_LN_2 = math.log(2)
_TURN = 2 * math.pi


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _forward(phase: np.ndarray, feedback: np.ndarray, out: np.ndarray) -> None:
    for row in numba.prange(phase.shape[0]):
        beta = feedback[row] / 2
        last, before = 0.0, 0.0
        for n in range(phase.shape[1]):
            place = phase[row, n]
            value = math.sin(2 * math.pi * (place - math.floor(place)) + beta * (last + before))
            before, last = last, value
            out[row, n] = value


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _backward(
    phase: np.ndarray,
    feedback: np.ndarray,
    out: np.ndarray,
    grad: np.ndarray,
    grad_phase: np.ndarray,
    grad_feedback: np.ndarray,
) -> None:
    for row in numba.prange(phase.shape[0]):
        beta = feedback[row] / 2
        one, two, total = 0.0, 0.0, 0.0  # gradients by the angles of the next sample and of the one after it
        limit = 0.0
        for n in range(phase.shape[1]):
            limit = max(limit, _LARGEST * abs(grad[row, n]))
        for n in range(phase.shape[1] - 1, -1, -1):
            last = out[row, n - 1] if n > 0 else 0.0
            before = out[row, n - 2] if n > 1 else 0.0
            place = phase[row, n]
            angle = 2 * math.pi * (place - math.floor(place)) + beta * (last + before)
            carried = min(max(beta * (one + two), -limit), limit)
            inner = (grad[row, n] + carried) * math.cos(angle)
            grad_phase[row, n] = 2 * math.pi * inner
            total += inner * (last + before) / 2
            one, two = inner, one
        grad_feedback[row] = total


class _Operator(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, phase: Tensor, feedback: Tensor, dtype: torch.dtype) -> Tensor:
        phase, feedback = phase.detach().contiguous(), feedback.detach().double().contiguous()
        out = torch.empty(phase.shape, dtype=dtype)
        _forward(phase.numpy(), feedback.numpy(), out.numpy())
        ctx.save_for_backward(phase, feedback, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        phase, feedback, out = ctx.saved_tensors
        results = torch.empty_like(phase), torch.empty_like(feedback)
        _backward(*(t.numpy() for t in (phase, feedback, out, grad.contiguous(), *results)))
        return *results, None


def operator(phase: Tensor, feedback: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Sines of given phases, modulated by themselves.

    Args:
        phase: in periods, with all modulation but the feedback, float64 [rows, samples].
        feedback: index beta in radians, [rows].
        dtype: of the result.

    Returns:
        [rows, samples], with gradients of phase and feedback.
    """
    out = _Operator.apply(phase.cpu(), feedback.cpu().double(), dtype)
    assert isinstance(out, Tensor)
    return out.to(phase.device)


@numba.njit(cache=True, error_model="numpy")
def _find_steps(pitch: np.ndarray, c: np.ndarray, rate: float, n: int, step: np.ndarray) -> None:
    """Frequencies of the samples from n on, in periods a sample."""
    if c[_IS_FIXED] > 0:
        step[:] = min(float(c[_FIXED]), 0.5)
    elif pitch.size == 1:
        tuned = float((pitch[0] + c[_UP]) + c[_TUNE])
        step[:] = min(exp2(max(-1000.0, min(tuned / 12, _MOST_OCTAVES))) * rate, 0.5)
    else:
        for i in range(step.size):
            step[i] = (pitch[n + i] + c[_UP]) + c[_TUNE]
        for i in range(step.size):
            step[i] = min(exp2(max(-1000.0, min(step[i] / 12, _MOST_OCTAVES))) * rate, 0.5)


@numba.njit(cache=True, error_model="numpy")
def _find_waves(
    pitch: np.ndarray, modulation: np.ndarray, c: np.ndarray, rate: float, n: int, state: np.ndarray, step: np.ndarray,
    phase: np.ndarray, wave: np.ndarray,
) -> None:  # fmt: skip
    """Frequencies, phases without feedback and sines of the samples from n on."""
    _find_steps(pitch, c, rate, n, step)
    begin = state[0] if state[1] > 0 else -step[0]
    run_up(step, phase)
    state[0], state[1] = begin + phase[step.size - 1], 1.0
    start, depth, beta = begin + float(c[_PHASE]), float(c[_DEPTH]), float(c[_FEEDBACK]) / (2 * _TURN)
    for i in range(step.size):
        phase[i] += start + depth * modulation[0 if modulation.size == 1 else n + i]
    last, before = state[2], state[3]
    if beta == 0:
        for i in range(step.size):
            wave[i] = sine(phase[i])
        last, before = wave[step.size - 1], wave[step.size - 2] if step.size > 1 else last
    else:
        for i in range(step.size):
            value = sine(phase[i] + beta * (last + before))
            before, last = last, value
            wave[i] = value
    state[2], state[3] = last, before


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _add(dry: np.ndarray, wave: np.ndarray, level: np.ndarray, gain: float, n: int, out: np.ndarray) -> None:
    """What leaves from sample n on: sines times level and gain, added to a signal."""
    for i in range(out.size):
        amount = gain * level[0 if level.size == 1 else n + i]
        out[i] = dry[0 if dry.size == 1 else n + i] + amount * wave[i]


@numba.njit(cache=True, error_model="numpy")
def _pass(dry: np.ndarray, begin: int, out: np.ndarray) -> None:
    """What it is added to, from a sample on; see :func:`graphmix.dsp.rows.leave_silent`."""
    for i in range(begin, out.size):
        out[i] = dry[0 if dry.size == 1 else i]


@numba.njit(cache=True, error_model="numpy")
def play_row(
    dry: np.ndarray, modulation: np.ndarray, pitch: np.ndarray, level: np.ndarray, c: np.ndarray, rate: float,
    state: np.ndarray, kept: np.ndarray, out: np.ndarray,
) -> None:  # fmt: skip
    """As many samples as ``out`` has; ``kept`` [chunks, 4] are the states before each chunk, if it is not empty."""
    steps, phases, waves = np.empty(_CHUNK), np.empty(_CHUNK), np.empty(_CHUNK)
    for n in range(0, out.size, _CHUNK):
        count = min(_CHUNK, out.size - n)
        wave = waves[:count]
        if kept.shape[0] > 0:
            kept[n // _CHUNK] = state
        _find_waves(pitch, modulation, c, rate, n, state, steps[:count], phases[:count], wave)
        _add(dry, wave, level, c[_AMPLITUDE], n, out[n : n + count])


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _play(
    dry: np.ndarray, modulation: np.ndarray, pitch: np.ndarray, level: np.ndarray, c: np.ndarray, rate: float,
    needed: np.ndarray, state: np.ndarray, kept: np.ndarray, out: np.ndarray,
) -> None:  # fmt: skip
    """So many samples of all rows; ``kept`` [rows, chunks, 4] are the states before each chunk."""
    for row in numba.prange(out.shape[0]):
        sounds = needed[row]
        play_row(
            dry[row], modulation[row], pitch[row], level[row], c[row], rate, state[row], kept[row], out[row, :sounds]
        )  # fmt: skip
        _pass(dry[row], sounds, out[row])


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _level_back(
    grad: np.ndarray, wave: np.ndarray, level: np.ndarray, gain: float, n: int, given: np.ndarray, to_level: np.ndarray
) -> float:
    """Gradients of the sines and of the level; what that of the gain is."""
    total = 0.0
    if level.size == 1:
        for i in range(grad.size):
            given[i] = grad[i] * (gain * level[0])
        for i in range(grad.size):
            total += grad[i] * wave[i]
        if to_level.size > 0:
            to_level[0] += gain * total
        return total * level[0]
    for i in range(grad.size):
        given[i] = grad[i] * (gain * level[n + i])
    for i in range(grad.size):
        total += grad[i] * wave[i] * level[n + i]
    if to_level.size > 0:
        for i in range(grad.size):
            to_level[n + i] = grad[i] * gain * wave[i]
    return total


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _find_largest(grad: np.ndarray, level: np.ndarray, gain: float) -> float:
    """The largest gradient of a sine."""
    largest = 0.0
    for n in range(grad.size):
        largest = max(largest, abs(grad[n] * (gain * level[0 if level.size == 1 else n])))
    return largest


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _sines_back(phase: np.ndarray, wave: np.ndarray, last: float, before: float, given: np.ndarray) -> float:
    """As :func:`_feedback_back` without feedback."""
    total = 0.0
    for n in range(wave.size):
        given[n] *= sine(phase[n] + 0.25)
    total += given[0] * (last + before) / 2
    if wave.size > 1:
        total += given[1] * (wave[0] + last) / 2
    for n in range(2, wave.size):
        total += given[n] * (wave[n - 1] + wave[n - 2]) / 2
    for n in range(wave.size):
        given[n] *= _TURN
    return total


@numba.njit(cache=True, error_model="numpy")
def _feedback_back(
    phase: np.ndarray, wave: np.ndarray, beta: float, last: float, before: float, limit: float, later: np.ndarray,
    given: np.ndarray,
) -> float:  # fmt: skip
    """From gradients of sines to those of phases, in place; what that of the feedback is. Overwrites the phases.

    ``later`` are gradients by the angles of the two samples behind these, then by those of the first two of these.
    """
    for n in range(wave.size):
        fed = (wave[n - 1] if n > 0 else last) + (wave[n - 2] if n > 1 else (last if n == 1 else before))
        phase[n] = sine(phase[n] + beta / (2 * _TURN) * fed + 0.25)
    one, two, total = later[0], later[1], 0.0
    for n in range(wave.size - 1, -1, -1):
        carried = min(max(beta / 2 * (one + two), -limit), limit)
        inner = (given[n] + carried) * phase[n]
        fed = (wave[n - 1] if n > 0 else last) + (wave[n - 2] if n > 1 else (last if n == 1 else before))
        total += inner * fed / 2
        given[n] = _TURN * inner
        one, two = inner, one
    later[0], later[1] = one, two
    return total


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _give(by: np.ndarray, scale: float, n: int, to: np.ndarray) -> None:
    """Write scaled gradients to those of a signal, added to one number for all samples; none if it is not wanted."""
    if to.size == 1:
        for i in range(by.size):
            to[0] += scale * by[i]
    elif to.size > 1:
        for i in range(by.size):
            to[n + i] = scale * by[i]


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _depth_back(given: np.ndarray, modulation: np.ndarray, n: int, to: np.ndarray) -> None:
    """Gradients of the phase at the start and of the depth."""
    total, depth = 0.0, 0.0
    for i in range(given.size):
        total += given[i]
    if modulation.size == 1:
        depth = total * modulation[0]
    else:
        for i in range(given.size):
            depth += given[i] * modulation[n + i]
    to[_PHASE] += total
    to[_DEPTH] += depth


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _steps_back(
    given: np.ndarray, step: np.ndarray, first: bool, behind: float, c: np.ndarray, work: np.ndarray, to: np.ndarray
) -> float:
    """From gradients of phases to those of pitches, in place: a frequency moves all phases after it.

    Args:
        given: gradients.
        step: frequencies.
        first: the first sample is where the operator begins, whose phase is set.
        behind: sum of the gradients of the phases after these.
        c: settings.
        work: is overwritten.
        to: gradients of the settings.

    Returns:
        The sum of the gradients of these phases.
    """
    run_up(given, work)
    whole, total = work[given.size - 1], 0.0
    for i in range(given.size):
        put(given, i, (behind + whole) - pick(work, i) + given[i])
    if first:
        given[0] = 0.0
    if c[_IS_FIXED] > 0:
        for i in range(given.size):
            total += given[i]
        to[_FIXED] += total if c[_FIXED] <= 0.5 else 0.0
        given[:] = 0
        return whole
    for i in range(given.size):
        given[i] = given[i] * step[i] * (_LN_2 / 12) if step[i] < 0.5 else 0.0
    for i in range(given.size):
        total += given[i]
    to[_UP] += total
    to[_TUNE] += total
    return whole


@numba.njit(cache=True, error_model="numpy")
def _back_row(
    grad: np.ndarray, modulation: np.ndarray, pitch: np.ndarray, level: np.ndarray, c: np.ndarray, rate: float,
    kept: np.ndarray, to_modulation: np.ndarray, to_pitch: np.ndarray, to_level: np.ndarray, to: np.ndarray,
) -> None:  # fmt: skip
    steps, phases, waves, givens = np.empty(_CHUNK), np.empty(_CHUNK), np.empty(_CHUNK), np.empty(_CHUNK)
    sounds, gain, beta = end_of_sound(grad), float(c[_AMPLITUDE]), float(c[_FEEDBACK])
    for signal in (to_modulation, to_pitch, to_level):
        if signal.size > 1:
            signal[sounds:] = 0
    limit = (
        _LARGEST * _find_largest(grad[:sounds], level[: max(1, min(sounds, level.size))], gain) if beta != 0 else 0.0
    )
    behind, later, state = 0.0, np.zeros(2), np.empty(4)
    for n in range((sounds - 1) // _CHUNK * _CHUNK, -1, -_CHUNK):
        count = min(_CHUNK, sounds - n)
        step, phase, wave, given = steps[:count], phases[:count], waves[:count], givens[:count]
        state[:] = kept[n // _CHUNK]
        resumed, last, before = state[1] > 0, state[2], state[3]
        _find_waves(pitch, modulation, c, rate, n, state, step, phase, wave)
        to[_AMPLITUDE] += _level_back(grad[n : n + count], wave, level, gain, n, given, to_level)
        if beta == 0:
            to[_FEEDBACK] += _sines_back(phase, wave, last, before, given)
        else:
            to[_FEEDBACK] += _feedback_back(phase, wave, beta, last, before, limit, later, given)
        _depth_back(given, modulation, n, to)
        _give(given, float(c[_DEPTH]), n, to_modulation)
        behind += _steps_back(given, step, not resumed, behind, c, phase, to)
        _give(given, 1.0, n, to_pitch)


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _back(
    grad: np.ndarray, modulation: np.ndarray, pitch: np.ndarray, level: np.ndarray, c: np.ndarray, rate: float,
    kept: np.ndarray, to_modulation: np.ndarray, to_pitch: np.ndarray, to_level: np.ndarray, to: np.ndarray,
) -> None:  # fmt: skip
    """Gradients; those of signals are not wanted where their arrays are empty."""
    for row in numba.prange(grad.shape[0]):
        _back_row(
            grad[row], modulation[row], pitch[row], level[row], c[row], rate, kept[row], to_modulation[row],
            to_pitch[row], to_level[row], to[row],
        )  # fmt: skip


class _AddedOperator(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        rate: float,
        samples: int,
        state: Tensor,
        needed: NDArray[np.int64],
        settings: Tensor,
        *signals: Tensor,
    ) -> Tensor:
        settings, dry, *moving = (t.detach().contiguous() for t in (settings, *signals))
        out = torch.empty(len(settings), samples, dtype=settings.dtype)
        chunks = -(-samples // _CHUNK) if any(ctx.needs_input_grad) else 0
        kept = torch.empty(len(settings), chunks, 4, dtype=torch.float64)
        needed = np.full_like(needed, samples) if chunks else needed
        ctx.rate, ctx.dry = rate, dry.size(1)
        arrays = [t.numpy() for t in (dry, *moving, settings)]
        _play(*arrays, rate, needed, *(t.numpy() for t in (state, kept, out)))
        ctx.save_for_backward(settings, *moving, kept)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        settings, *moving, kept = ctx.saved_tensors
        wanted = ctx.needs_input_grad[6:]
        results = room_for(moving, wanted)
        to = torch.zeros(settings.shape, dtype=torch.float64)
        arrays = (grad.contiguous(), *moving, settings), (kept, *results, to)
        _back(*(t.numpy() for t in arrays[0]), ctx.rate, *(t.numpy() for t in arrays[1]))
        to_dry = summed(grad, ctx.dry) if ctx.needs_input_grad[5] else None
        return None, None, None, None, to.to(settings.dtype), to_dry, *only_wanted(results, wanted)


def added_operator(
    rate: float, samples: int, settings: Tensor, signals: Sequence[Tensor], state: Tensor | None = None,
    needed: NDArray[np.int64] | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Operators with their pitches and envelopes, added to signals.

    Args:
        rate: frequency for a pitch of 0, in periods a sample.
        samples: how many.
        settings: [rows, :data:`SETTINGS`].
        signals: what it is added to, modulation, pitch, envelope, in the precision of the settings, [rows, samples] or
            [rows, 1] each.
        state: what is returned for the samples before, where these are not the first ones.
        needed: how many samples of each row are, [rows]; behind them there is nothing but what it is added to, and the
            state is that behind them. With gradients all are.

    Returns:
        [rows, samples], with gradients of settings and signals; and the state behind them, float64 [rows, 4].
    """
    needed = np.full(len(settings), samples) if needed is None else needed
    state = torch.zeros(len(settings), 4, dtype=torch.float64) if state is None else state.clone()
    out = _AddedOperator.apply(rate, samples, state, needed, settings.cpu(), *(t.cpu() for t in signals))
    assert isinstance(out, Tensor)
    return out.to(settings.device), state
