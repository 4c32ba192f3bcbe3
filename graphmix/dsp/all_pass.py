r"""A chain of first-order all-pass filters whose corner moves with every sample, with feedback and exact gradients.

.. math::
    u_1[n] = x[n] + g \, y[n - 1], \quad
    u_{k+1}[n] = a[n] \, u_k[n] + s_k[n], \quad s_k[n + 1] = u_k[n] - a[n] \, u_{k+1}[n], \quad y = u_{K+1}

in the transposed form, which keeps its one state whatever the coefficient does. With :math:`a = (\tan(\pi f / f_s) -
1) / (\tan(\pi f / f_s) + 1)` the phase is -90° at the corner f. One compiled loop forward and one backward, in float64.

Conventions: rows are independent, [rows, samples]; coefficients [rows, samples] and feedback [rows] in float64.
"""

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _forward(
    x: np.ndarray, a: np.ndarray, feedback: np.ndarray, begin: np.ndarray, states: np.ndarray, y: np.ndarray
) -> None:
    """``states`` [rows, samples, K + 1] are those before each sample, the last one is y before it."""
    stages = states.shape[2] - 1
    for row in numba.prange(x.shape[0]):
        s = begin[row].copy()
        for n in range(x.shape[1]):
            states[row, n] = s
            c, u = a[row, n], x[row, n] + feedback[row] * s[stages]
            for k in range(stages):
                out = c * u + s[k]
                s[k] = u - c * out
                u = out
            s[stages] = u
            y[row, n] = u


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _backward(
    grad: np.ndarray, x: np.ndarray, a: np.ndarray, feedback: np.ndarray, states: np.ndarray, to_x: np.ndarray,
    to_a: np.ndarray, to_feedback: np.ndarray,
) -> None:  # fmt: skip
    stages = states.shape[2] - 1
    for row in numba.prange(grad.shape[0]):
        carried, inputs = np.zeros(stages + 1), np.empty(stages + 1)
        for n in range(grad.shape[1] - 1, -1, -1):
            s, c = states[row, n], a[row, n]
            inputs[0] = x[row, n] + feedback[row] * s[stages]
            for k in range(stages):
                inputs[k + 1] = c * inputs[k] + s[k]
            of_u, of_a = grad[row, n] + carried[stages], 0.0
            for k in range(stages - 1, -1, -1):
                of_out = of_u - c * carried[k]
                of_a += of_out * inputs[k] - carried[k] * inputs[k + 1]
                of_u = c * of_out + carried[k]
                carried[k] = of_out
            to_x[row, n], to_a[row, n] = of_u, of_a
            carried[stages] = feedback[row] * of_u
            to_feedback[row] += of_u * s[stages]


class _AllPass(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, a: Tensor, feedback: Tensor, begin: Tensor) -> tuple[Tensor, Tensor]:
        x, a, feedback = (t.detach().contiguous() for t in (x, a, feedback))
        states = torch.empty(*x.shape, begin.size(1), dtype=torch.float64)
        y = torch.empty_like(x)
        _forward(*(t.numpy() for t in (x, a, feedback, begin.contiguous(), states, y)))
        ctx.save_for_backward(x, a, feedback, states)
        ctx.mark_non_differentiable(states)
        return y, states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        x, a, feedback, states = ctx.saved_tensors
        results = torch.empty_like(x), torch.empty_like(a), torch.zeros_like(feedback)
        _backward(*(t.numpy() for t in (grad.contiguous(), x, a, feedback, states, *results)))
        return *results, None


def all_pass_chain(x: Tensor, a: Tensor, feedback: Tensor, state: Tensor, mark: int = 0) -> tuple[Tensor, Tensor]:
    """What comes out of the chain.

    Args:
        x: [rows, samples].
        a: coefficients in (-1, 1), [rows, samples].
        feedback: gain from the output of the last sample to the input, [rows].
        state: of the filters before the first sample, and the output before it, float64 [rows, K + 1]; zeros at rest.
        mark: sample before which the state is wanted.

    Returns:
        As ``x``, with gradients of the first three; and the state at the mark.
    """
    padded = torch.nn.functional.pad(x.cpu(), (0, 1)), torch.nn.functional.pad(a.cpu().double(), (0, 1))
    y, states = _AllPass.apply(*padded, feedback.cpu().double(), state.cpu())
    return y[:, :-1].to(x.device), states[:, mark]
