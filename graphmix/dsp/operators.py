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
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphmix.dsp.elementary import SUMS, exp2, sine
from graphmix.dsp.rows import only_wanted, room_for, summed

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
    total = state[0] if state[1] > 0 else -step[0]
    for i in range(step.size):
        total += step[i]
        phase[i] = total
    state[0], state[1] = total, 1.0
    start, depth, beta = float(c[_PHASE]), float(c[_DEPTH]), float(c[_FEEDBACK]) / (2 * _TURN)
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


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _play(
    dry: np.ndarray, modulation: np.ndarray, pitch: np.ndarray, level: np.ndarray, c: np.ndarray, rate: float,
    state: np.ndarray, out: np.ndarray,
) -> None:  # fmt: skip
    for row in numba.prange(out.shape[0]):
        steps, phases, waves, result, gain = np.empty(_CHUNK), np.empty(_CHUNK), np.empty(_CHUNK), out[row], c[row, 0]
        own, envelope = dry[row], level[row]
        for n in range(0, result.size, _CHUNK):
            count = min(_CHUNK, result.size - n)
            wave = waves[:count]
            _find_waves(pitch[row], modulation[row], c[row], rate, n, state[row], steps[:count], phases[:count], wave)
            for i in range(count):
                amount = gain * envelope[0 if envelope.size == 1 else n + i]
                result[n + i] = own[0 if own.size == 1 else n + i] + amount * wave[i]


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _level_back(
    grad: np.ndarray, wave: np.ndarray, level: np.ndarray, gain: float, given: np.ndarray, to_level: np.ndarray
) -> tuple[float, float]:
    """Gradients of the sines and of the level; what that of the gain is, and the largest of the former."""
    total, largest = 0.0, 0.0
    for n in range(grad.size):
        amount = level[0 if level.size == 1 else n]
        given[n] = grad[n] * (gain * amount)
        total += grad[n] * wave[n] * amount
        largest = max(largest, abs(given[n]))
    if to_level.size > 0:
        for n in range(grad.size):
            to_level[0 if level.size == 1 else n] += grad[n] * gain * wave[n]
    return total, largest


@numba.njit(cache=True, error_model="numpy")
def _feedback_back(
    phase: np.ndarray, wave: np.ndarray, beta: float, last: float, before: float, limit: float, given: np.ndarray
) -> float:
    """From gradients of sines to those of phases, in place; what that of the feedback is. Overwrites the phases."""
    for n in range(wave.size):
        fed = (wave[n - 1] if n > 0 else last) + (wave[n - 2] if n > 1 else (last if n == 1 else before))
        phase[n] = sine(phase[n] + beta / (2 * _TURN) * fed + 0.25)
    one, two, total = 0.0, 0.0, 0.0  # gradients by the angles of the next sample and of the one after it
    for n in range(wave.size - 1, -1, -1):
        carried = min(max(beta / 2 * (one + two), -limit), limit)
        inner = (given[n] + carried) * phase[n]
        fed = (wave[n - 1] if n > 0 else last) + (wave[n - 2] if n > 1 else (last if n == 1 else before))
        total += inner * fed / 2
        given[n] = _TURN * inner
        one, two = inner, one
    return total


@numba.njit(cache=True, error_model="numpy")
def _phase_back(
    given: np.ndarray, step: np.ndarray, resumed: bool, modulation: np.ndarray, c: np.ndarray, to_pitch: np.ndarray,
    to_modulation: np.ndarray, to: np.ndarray,
) -> None:  # fmt: skip
    """From gradients of phases, which are overwritten, to those of pitches: a frequency moves all phases after it."""
    for n in range(given.size):
        to[_PHASE] += given[n]
        to[_DEPTH] += given[n] * modulation[0 if modulation.size == 1 else n]
    if to_modulation.size > 0:
        for n in range(given.size):
            to_modulation[0 if modulation.size == 1 else n] += c[_DEPTH] * given[n]
    later = 0.0
    for n in range(given.size - 1, -1, -1):
        later += given[n]
        given[n] = later
    if not resumed:
        given[0] = 0.0
    if c[_IS_FIXED] > 0:
        to[_FIXED] += given.sum() if c[_FIXED] <= 0.5 else 0.0
        return
    for n in range(given.size):
        given[n] = given[n] * step[n] * (_LN_2 / 12) if step[n] < 0.5 else 0.0
    total = given.sum()
    to[_UP] += total
    to[_TUNE] += total
    if to_pitch.size == 1:
        to_pitch[0] = total
    elif to_pitch.size > 0:
        for n in range(given.size):
            to_pitch[n] = given[n]


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _back(
    grad: np.ndarray, modulation: np.ndarray, pitch: np.ndarray, level: np.ndarray, c: np.ndarray, rate: float,
    state: np.ndarray, to_modulation: np.ndarray, to_pitch: np.ndarray, to_level: np.ndarray, to: np.ndarray,
) -> None:  # fmt: skip
    """Gradients; those of signals are not wanted where their arrays are empty."""
    for row in numba.prange(grad.shape[0]):
        size = grad.shape[1]
        step, phase, wave, given = np.empty(size), np.empty(size), np.empty(size), np.empty(size)
        resumed, last, before = state[row, 1] > 0, state[row, 2], state[row, 3]
        for n in range(0, size, _CHUNK):
            end = min(n + _CHUNK, size)
            _find_waves(
                pitch[row], modulation[row], c[row], rate, n, state[row], step[n:end], phase[n:end], wave[n:end]
            )
        total, largest = _level_back(grad[row], wave, level[row], float(c[row, 0]), given, to_level[row])
        to[row, _AMPLITUDE] += total
        beta = float(c[row, _FEEDBACK])
        to[row, _FEEDBACK] += _feedback_back(phase, wave, beta, last, before, _LARGEST * largest, given)
        _phase_back(given, step, resumed, modulation[row], c[row], to_pitch[row], to_modulation[row], to[row])


class _AddedOperator(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rate: float, samples: int, state: Tensor, settings: Tensor, *signals: Tensor) -> Tensor:
        settings, dry, *moving = (t.detach().contiguous() for t in (settings, *signals))
        out = torch.empty(len(settings), samples, dtype=settings.dtype)
        ctx.begun, ctx.rate, ctx.dry = state.clone(), rate, dry.size(1)
        ctx.save_for_backward(settings, *moving)
        _play(*(t.numpy() for t in (dry, *moving, settings)), rate, state.numpy(), out.numpy())
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        settings, *moving = ctx.saved_tensors
        wanted = ctx.needs_input_grad[5:]
        results = room_for(moving, wanted)
        to = torch.zeros(settings.shape, dtype=torch.float64)
        arrays = (grad.contiguous(), *moving, settings), (ctx.begun.clone(), *results, to)
        _back(*(t.numpy() for t in arrays[0]), ctx.rate, *(t.numpy() for t in arrays[1]))
        to_dry = summed(grad, ctx.dry) if ctx.needs_input_grad[4] else None
        return None, None, None, to.to(settings.dtype), to_dry, *only_wanted(results, wanted)


def added_operator(
    rate: float, samples: int, settings: Tensor, signals: Sequence[Tensor], state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Operators with their pitches and envelopes, added to signals.

    Args:
        rate: frequency for a pitch of 0, in periods a sample.
        samples: how many.
        settings: [rows, :data:`SETTINGS`].
        signals: what it is added to, modulation, pitch, envelope, in the precision of the settings, [rows, samples] or
            [rows, 1] each.
        state: what is returned for the samples before, where these are not the first ones.

    Returns:
        [rows, samples], with gradients of settings and signals; and the state behind them, float64 [rows, 4].
    """
    state = torch.zeros(len(settings), 4, dtype=torch.float64) if state is None else state.clone()
    out = _AddedOperator.apply(rate, samples, state, settings.cpu(), *(t.cpu() for t in signals))
    assert isinstance(out, Tensor)
    return out.to(settings.device), state
