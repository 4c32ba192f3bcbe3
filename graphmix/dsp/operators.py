r"""A sine whose phase is modulated, by another signal and by its own output: an operator of frequency modulation.

After Chowning (1973), in the form of phase modulation, with the feedback of Yamaha's patent 4,249,447 (Tomisawa 1981):
the mean of the last two outputs, which keeps a strong feedback from oscillating at half the sample rate,

.. math:: y[n] = \sin\left(2 \pi \left(\phi[n] + m[n]\right) + \beta \, \frac{y[n-1] + y[n-2]}{2}\right)

Exact recursion, forward and backward compiled loops; phases are in periods and float64. Rows are independent, with zero
outputs before the first sample.

From an index of about 2 on the recursion is chaotic, and its true gradient grows without limit; what one sample hands
back to those before it is held to a hundred times the largest gradient that came in.
"""

import math
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_LARGEST = 100.0
"""Bound of what is carried back, relative to the largest gradient of the row."""


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
