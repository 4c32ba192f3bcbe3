r"""A resonant filter whose cutoff changes with every sample: the state-variable filter, exact, with gradients.

The trapezoidal (topology-preserving) form of Zavalishin, "The Art of VA Filter Design" (2018), section 4, in the state
form of Simper: with :math:`g = \tan(\pi f / f_s)` and damping :math:`k = 1 / Q`,

.. math::
    a_1 = \frac{1}{1 + g (g + k)}, \quad v_1 = a_1 (s_1 + g (x - s_2)), \quad v_2 = s_2 + g v_1 \\
    s_1' = 2 v_1 - s_1, \quad s_2' = 2 v_2 - s_2

band-pass is :math:`v_1`, low-pass :math:`v_2`, high-pass :math:`x - k v_1 - v_2`. It stays stable whatever *g* and *k*
do from one sample to the next. Forward and backward are compiled loops; the recursion
is float64, and what is kept of it for gradients has the precision of the signal.

Conventions: rows are independent and start at rest; *x*, *g*, *k* are [rows, samples], where *k* may be [rows, 1].
"""

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _forward(
    x: np.ndarray, g: np.ndarray, k: np.ndarray, low: np.ndarray, band: np.ndarray, states: np.ndarray
) -> None:
    """``states`` [2, rows, samples] are those before each sample, for a backward pass, or empty."""
    still = k.shape[1] == 1
    kept = states.size > 0
    for row in numba.prange(x.shape[0]):
        s1, s2 = 0.0, 0.0
        for n in range(x.shape[1]):
            if kept:
                states[0, row, n], states[1, row, n] = s1, s2
            gain, damping = float(g[row, n]), float(k[row, 0 if still else n])
            v1 = (s1 + gain * (x[row, n] - s2)) / (1.0 + gain * (gain + damping))
            v2 = s2 + gain * v1
            s1, s2 = 2.0 * v1 - s1, 2.0 * v2 - s2
            band[row, n], low[row, n] = v1, v2


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _backward(
    x: np.ndarray,
    g: np.ndarray,
    k: np.ndarray,
    states: np.ndarray,
    grad_low: np.ndarray,
    grad_band: np.ndarray,
    grad_x: np.ndarray,
    grad_g: np.ndarray,
    grad_k: np.ndarray,
) -> None:
    still = k.shape[1] == 1
    for row in numba.prange(x.shape[0]):
        to_s1, to_s2 = 0.0, 0.0  # gradients by the state after the sample
        total = 0.0
        for n in range(x.shape[1] - 1, -1, -1):
            s1, s2 = float(states[0, row, n]), float(states[1, row, n])
            gain, damping = float(g[row, n]), float(k[row, 0 if still else n])
            scale = 1.0 / (1.0 + gain * (gain + damping))
            v1 = (s1 + gain * (x[row, n] - s2)) * scale
            to_v2 = grad_low[row, n] + 2.0 * to_s2
            inner = (grad_band[row, n] + 2.0 * to_s1 + gain * to_v2) * scale
            grad_x[row, n] = gain * inner
            grad_g[row, n] = v1 * to_v2 + inner * (x[row, n] - s2 - v1 * (2.0 * gain + damping))
            of_k = -inner * v1 * gain
            if still:
                total += of_k
            else:
                grad_k[row, n] = of_k
            to_s1, to_s2 = inner - to_s1, to_v2 - gain * inner - to_s2
        if still:
            grad_k[row, 0] = total


class _Filter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, g: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        x, g, k = (t.detach().contiguous() for t in (x, g, k))
        low, band = torch.empty_like(x), torch.empty_like(x)
        states = x.new_empty(2, *x.shape) if any(ctx.needs_input_grad) else x.new_empty(2, 0, 0)
        _forward(*(t.numpy() for t in (x, g, k, low, band, states)))
        ctx.save_for_backward(x, g, k, states)
        return low, band

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_low: Tensor, grad_band: Tensor) -> tuple[Tensor, ...]:
        saved = ctx.saved_tensors
        results = tuple(torch.empty_like(t) for t in saved[:3])
        arrays = (*saved, grad_low.contiguous(), grad_band.contiguous(), *results)
        _backward(*(t.numpy() for t in arrays))
        return results


def state_variable(x: Tensor, g: Tensor, k: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Low-pass, band-pass and high-pass of a signal, [rows, samples] each.

    Args:
        x: the signal, [rows, samples].
        g: tan(pi * cutoff / sample rate), [rows, samples].
        k: damping, 1 / Q, [rows, samples] or [rows, 1].

    Returns:
        In the precision of ``x``, on its device.
    """
    low, band = _Filter.apply(*(t.to("cpu", x.dtype) for t in (x, g.expand_as(x), k)))
    low, band = low.to(x.device), band.to(x.device)
    return low, band, x - k * band - low
