r"""Slow oscillations that move other things: a sum of sine, triangle, saw and square, faded in.

.. math:: y[n] = u[n] + A \min(1, n / T) \sum_k a_k \, w_k(\phi_0 + f n)

Corners are as sharp as samples allow. Phases are float64, waveforms have the precision of the signal. Rows are computed
one after the other, some hundred samples at a time; the backward pass keeps nothing and goes through the steps again.
"""

import math
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphmix.dsp.elementary import SUMS, quarter_sine
from graphmix.dsp.rows import end_of_sound, leave_silent, summed

SETTINGS = ("amplitude", "sine", "triangle", "saw", "square", "frequency", "phase", "fade")
"""Amplitudes; periods a sample; phase at the start in periods; samples until it is there in full."""
_AMPLITUDE, _SINE, _TRIANGLE, _SAW, _SQUARE, _FREQUENCY, _PHASE, _FADE = range(len(SETTINGS))
_CHUNK = 512


@numba.njit(cache=True, error_model="numpy", inline="always")
def _wrap(phase: float) -> float:
    return phase - np.floor(phase)


@numba.njit(cache=True, error_model="numpy")
def _find_place(c: np.ndarray, time: float, ahead: float, place: np.ndarray) -> None:
    """Phases from 0 to 1, so many periods ahead."""
    for i in range(place.size):
        place[i] = _wrap(c[_FREQUENCY] * (time + i) + (c[_PHASE] + ahead))


@numba.njit(cache=True, error_model="numpy")
def _find_quarter(c: np.ndarray, time: float, ahead: float, quarter: np.ndarray) -> None:
    """Phases within a quarter of a period of 0 that have the same sine."""
    for i in range(quarter.size):
        quarter[i] = 0.25 - abs(_wrap(c[_FREQUENCY] * (time + i) + (c[_PHASE] + ahead + 0.25)) - 0.5)


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _add_waves(c: np.ndarray, time: float, place: np.ndarray, total: np.ndarray) -> None:
    kind = total.dtype.type
    sines, triangles, saws, squares = kind(c[_SINE]), kind(c[_TRIANGLE]), kind(c[_SAW]), kind(c[_SQUARE])
    if sines != 0 or triangles != 0:
        _find_quarter(c, time, 0.0, place)
    if sines != 0:
        for i in range(total.size):
            total[i] += sines * quarter_sine(place[i])
    if triangles != 0:
        for i in range(total.size):
            total[i] += kind(4) * triangles * place[i]
    if saws != 0 or squares != 0:
        _find_place(c, time, 0.0, place)
    if saws != 0:
        for i in range(total.size):
            total[i] += saws * (kind(2) * place[i] - kind(1))
    if squares != 0:
        for i in range(total.size):
            total[i] += squares if place[i] < kind(0.5) else -squares


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def oscillate(dry: np.ndarray, c: np.ndarray, begin: float, out: np.ndarray) -> None:
    """One row, from a sample on."""
    totals, places = np.empty(_CHUNK, out.dtype), np.empty(_CHUNK, out.dtype)
    amplitude, slope = out.dtype.type(c[_AMPLITUDE]), 1 / c[_FADE]
    for n in range(0, out.size, _CHUNK):
        count = min(_CHUNK, out.size - n)
        total, time = totals[:count], begin + n
        total[:] = 0
        _add_waves(c, time, places[:count], total)
        if time < c[_FADE]:
            for i in range(count):
                total[i] *= min(1.0, (time + i) * slope)
        if dry.size == 1:
            for i in range(count):
                out[n + i] = dry[0] + amplitude * total[i]
        else:
            for i in range(count):
                out[n + i] = dry[n + i] + amplitude * total[i]


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _wave_sums(given: np.ndarray, c: np.ndarray, time: float, place: np.ndarray) -> tuple[float, float, float, float]:
    """Sums of products of gradients with the four waves."""
    kind = given.dtype.type
    sines, triangles, saws, squares, whole = kind(0), kind(0), kind(0), kind(0), kind(0)
    _find_quarter(c, time, 0.0, place)
    for i in range(given.size):
        sines += given[i] * quarter_sine(place[i])
        triangles += given[i] * place[i]
    _find_place(c, time, 0.0, place)
    for i in range(given.size):
        whole += given[i]
        saws += given[i] * place[i]
        squares += given[i] if place[i] < kind(0.5) else -given[i]
    return float(sines), float(4 * triangles), float(2 * saws - whole), float(squares)


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _slope_sums(
    given: np.ndarray, c: np.ndarray, time: float, place: np.ndarray, slope: np.ndarray
) -> tuple[float, float]:
    """Sums of products of gradients with the slopes of all waves together, and these times the sample."""
    kind = given.dtype.type
    slope[:] = kind(2 * c[_SAW])
    if c[_SINE] != 0:
        steepest = kind(2 * math.pi * c[_SINE])
        _find_quarter(c, time, 0.25, place)
        for i in range(slope.size):
            slope[i] += steepest * quarter_sine(place[i])
    if c[_TRIANGLE] != 0:
        rising, zero, half = kind(4 * c[_TRIANGLE]), kind(0), kind(0.5)
        _find_place(c, time, 0.25, place)
        for i in range(slope.size):
            slope[i] += rising if place[i] < half else (-rising if place[i] > half else zero)
    total, moment = kind(0), kind(0)
    for i in range(slope.size):
        total += given[i] * slope[i]
        moment += given[i] * slope[i] * kind(i)
    return float(total), float(moment) + float(total) * time


@numba.njit(cache=True, error_model="numpy")
def _row_back(grad: np.ndarray, c: np.ndarray, begin: float, to: np.ndarray) -> None:
    places, slopes, givens = np.empty(_CHUNK, grad.dtype), np.empty(_CHUNK, grad.dtype), np.empty(_CHUNK, grad.dtype)
    n, sounds = 0, end_of_sound(grad)
    while n < sounds:
        time, stop = begin + n, min(n + _CHUNK, sounds)
        fading = time < c[_FADE]
        if fading:
            stop = min(stop, n + int(np.ceil(c[_FADE] - time)))
        place, slope, given = places[: stop - n], slopes[: stop - n], givens[: stop - n]
        given[:] = grad[n:stop]
        if fading:
            for i in range(given.size):
                given[i] *= (time + i) * (1 / c[_FADE])
        sines, triangles, saws, squares = _wave_sums(given, c, time, place)
        total = c[_SINE] * sines + c[_TRIANGLE] * triangles + c[_SAW] * saws + c[_SQUARE] * squares
        turned, moment = _slope_sums(given, c, time, place, slope)
        to[_AMPLITUDE] += total
        to[_SINE] += c[_AMPLITUDE] * sines
        to[_TRIANGLE] += c[_AMPLITUDE] * triangles
        to[_SAW] += c[_AMPLITUDE] * saws
        to[_SQUARE] += c[_AMPLITUDE] * squares
        to[_PHASE] += c[_AMPLITUDE] * turned
        to[_FREQUENCY] += c[_AMPLITUDE] * moment
        to[_FADE] -= c[_AMPLITUDE] * total / c[_FADE] if fading else 0.0
        n = stop


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _forward(dry: np.ndarray, c: np.ndarray, begin: float, needed: np.ndarray, out: np.ndarray) -> None:
    for row in numba.prange(out.shape[0]):
        oscillate(dry[row], c[row], begin, out[row, : needed[row]])
        leave_silent(out[row], needed[row])


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _backward(grad: np.ndarray, c: np.ndarray, begin: float, to: np.ndarray) -> None:
    for row in numba.prange(grad.shape[0]):
        _row_back(grad[row], c[row], begin, to[row])


class _Oscillation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, dry: Tensor, settings: Tensor, samples: int, begin: int, needed: NDArray[np.int64]) -> Tensor:
        dry, settings = dry.detach().contiguous(), settings.detach().contiguous()
        out = torch.empty(len(settings), samples, dtype=dry.dtype)
        _forward(dry.numpy(), settings.numpy(), float(begin), needed, out.numpy())
        ctx.save_for_backward(settings)
        ctx.begin, ctx.dry = begin, dry.size(1)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (settings,) = ctx.saved_tensors
        to_settings = torch.zeros_like(settings)
        if ctx.needs_input_grad[1]:
            _backward(grad.contiguous().numpy(), settings.numpy(), float(ctx.begin), to_settings.numpy())
        return summed(grad, ctx.dry) if ctx.needs_input_grad[0] else None, to_settings, None, None, None


def oscillation(
    dry: Tensor, settings: Tensor, samples: int, begin: int = 0, needed: NDArray[np.int64] | None = None
) -> Tensor:
    """Oscillations added to signals.

    Args:
        dry: [rows, samples] or [rows, 1].
        settings: float64 [rows, :data:`SETTINGS`].
        samples: how many.
        begin: how many there were before.
        needed: how many of each row are, [rows]; the others are 0.

    Returns:
        [rows, samples] in the precision of ``dry``, with gradients of it and of the settings.
    """
    needed = np.full(len(settings), samples) if needed is None else needed
    out = _Oscillation.apply(dry.cpu(), settings.cpu(), samples, begin, needed)
    assert isinstance(out, Tensor)
    return out.to(dry.device)
