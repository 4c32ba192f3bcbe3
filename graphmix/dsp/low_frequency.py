r"""Slow oscillations that move other things: a sum of sine, triangle, saw and square, faded in.

.. math:: y[n] = u[n] + A \min(1, n / T) \sum_k a_k \, w_k(\phi_0 + f n)

Corners are as sharp as samples allow. Computed in float64 in one compiled loop, a row after the other; the backward
pass keeps nothing and goes through the same steps again.
"""

import math
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphmix.dsp.elementary import SUMS, sine
from graphmix.dsp.rows import summed

SETTINGS = ("amplitude", "sine", "triangle", "saw", "square", "frequency", "phase", "fade")
"""Amplitudes; periods a sample; phase at the start in periods; samples until it is there in full."""
_AMPLITUDE, _SINE, _TRIANGLE, _SAW, _SQUARE, _FREQUENCY, _PHASE, _FADE = range(len(SETTINGS))
_CHUNK = 512


@numba.njit(cache=True, error_model="numpy", inline="always")
def _wrap(phase: float) -> float:
    return phase - np.floor(phase)


@numba.njit(cache=True, error_model="numpy")
def _row(dry: np.ndarray, c: np.ndarray, begin: float, out: np.ndarray) -> None:
    totals = np.empty(_CHUNK)
    for n in range(0, out.size, _CHUNK):
        count = min(_CHUNK, out.size - n)
        total, first = totals[:count], begin + n
        total[:] = 0
        if c[_SINE] != 0:
            for i in range(count):
                total[i] += c[_SINE] * sine(_wrap(c[_FREQUENCY] * (first + i) + c[_PHASE]))
        if c[_TRIANGLE] != 0:
            for i in range(count):
                place = _wrap(c[_FREQUENCY] * (first + i) + c[_PHASE])
                total[i] += c[_TRIANGLE] * (1 - 4 * abs(_wrap(place + 0.25) - 0.5))
        if c[_SAW] != 0:
            for i in range(count):
                total[i] += c[_SAW] * (2 * _wrap(c[_FREQUENCY] * (first + i) + c[_PHASE]) - 1)
        if c[_SQUARE] != 0:
            for i in range(count):
                place = _wrap(c[_FREQUENCY] * (first + i) + c[_PHASE])
                total[i] += c[_SQUARE] if place < 0.5 else -c[_SQUARE]
        for i in range(count):
            faded = min(1.0, (first + i) / c[_FADE])
            out[n + i] = dry[0 if dry.size == 1 else n + i] + c[_AMPLITUDE] * faded * total[i]


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _row_back(grad: np.ndarray, c: np.ndarray, begin: float, to: np.ndarray) -> None:
    amplitude, sines, triangles, saws, squares = 0.0, 0.0, 0.0, 0.0, 0.0
    frequency, phase, fade = 0.0, 0.0, 0.0
    for n in range(grad.size):
        time = begin + n
        place = _wrap(c[_FREQUENCY] * time + c[_PHASE])
        turned = _wrap(place + 0.25) - 0.5
        wave, square = sine(place), 1.0 if place < 0.5 else -1.0
        ramp, saw = 1 - 4 * abs(turned), 2 * place - 1
        faded = min(1.0, time / c[_FADE])
        total = c[_SINE] * wave + c[_TRIANGLE] * ramp + c[_SAW] * saw + c[_SQUARE] * square
        amplitude += grad[n] * faded * total
        given = grad[n] * faded * c[_AMPLITUDE]
        sines += given * wave
        triangles += given * ramp
        saws += given * saw
        squares += given * square
        slope = 2 * math.pi * c[_SINE] * sine(place + 0.25) + 2 * c[_SAW]
        slope += (-4 * c[_TRIANGLE] if turned > 0 else 4 * c[_TRIANGLE]) if turned != 0 else 0.0
        phase += given * slope
        frequency += given * slope * time
        fade -= grad[n] * c[_AMPLITUDE] * total * time if time < c[_FADE] else 0.0
    to[_AMPLITUDE], to[_SINE], to[_TRIANGLE], to[_SAW], to[_SQUARE] = amplitude, sines, triangles, saws, squares
    to[_FREQUENCY], to[_PHASE], to[_FADE] = frequency, phase, fade / (c[_FADE] * c[_FADE])


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _forward(dry: np.ndarray, c: np.ndarray, begin: float, out: np.ndarray) -> None:
    for row in numba.prange(out.shape[0]):
        _row(dry[row], c[row], begin, out[row])


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _backward(grad: np.ndarray, c: np.ndarray, begin: float, to: np.ndarray) -> None:
    for row in numba.prange(grad.shape[0]):
        _row_back(grad[row], c[row], begin, to[row])


class _Oscillation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, dry: Tensor, settings: Tensor, samples: int, begin: int) -> Tensor:
        dry, settings = dry.detach().contiguous(), settings.detach().contiguous()
        out = torch.empty(len(settings), samples, dtype=dry.dtype)
        _forward(dry.numpy(), settings.numpy(), float(begin), out.numpy())
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
        return summed(grad, ctx.dry) if ctx.needs_input_grad[0] else None, to_settings, None, None


def oscillation(dry: Tensor, settings: Tensor, samples: int, begin: int = 0) -> Tensor:
    """Oscillations added to signals.

    Args:
        dry: [rows, samples] or [rows, 1].
        settings: float64 [rows, :data:`SETTINGS`].
        samples: how many.
        begin: how many there were before.

    Returns:
        [rows, samples] in the precision of ``dry``, with gradients of it and of the settings.
    """
    out = _Oscillation.apply(dry.cpu(), settings.cpu(), samples, begin)
    assert isinstance(out, Tensor)
    return out.to(dry.device)
