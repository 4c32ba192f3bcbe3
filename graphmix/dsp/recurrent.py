r"""A GRU layer over samples as a compiled loop, forward and backward (an LSTM: :mod:`graphmix.dsp.lstm`).

A recurrent network of audio takes one small step for each sample; a framework that launches an operation for each
step spends its time on launching. Here a whole signal is one call. What comes from the inputs (``pre``, the product
with the input weights and the biases) is a matrix product over all samples at once and stays with PyTorch; the loops
have what depends on the previous step:

.. math::
    r, z = \sigma(\cdot),\; q = \tanh(p_q + r \odot (W_q h[n-1] + b_q)),\; h[n] = (1 - z) q + z h[n-1]

Gates are in PyTorch's order: r, z, n. Rows are independent. Gradients may be truncated: they then do not pass the
beginnings of blocks of ``truncate`` steps (truncated backpropagation through time, Williams & Peng 1990), which keeps
them bounded over thousands of steps.
"""

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from numba import types
from numba.extending import overload
from torch import Tensor

from graphmix.dsp.powers import FASTMATH, exp2

_ONE, _TWO, _DOUBLED = np.float32(1), np.float32(2), np.float32(2 / math.log(2))


def tanh(x: float) -> float:
    """Hyperbolic tangent; in float32 to its absolute accuracy, in a form that is computed eight at a time."""
    return math.tanh(x)


def _single_tanh(x: Any) -> Any:
    return _ONE - _TWO / (exp2(x * _DOUBLED) + _ONE)


def _double_tanh(x: float) -> float:
    return math.tanh(x)


@overload(tanh, jit_options={"fastmath": FASTMATH, "error_model": "numpy"}, strict=False)
def _tanh(x: types.Type) -> Callable[[Any], Any]:
    return _single_tanh if x == types.float32 else _double_tanh


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def _add_product(state: np.ndarray, weight: np.ndarray, out: np.ndarray) -> None:
    """Add ``state @ weight`` to ``out``, four rows of the weight at a time."""
    whole = state.size // 4 * 4
    for k in range(0, whole, 4):
        a, b, c, d = state[k], state[k + 1], state[k + 2], state[k + 3]
        for j in range(out.size):
            out[j] += a * weight[k, j] + b * weight[k + 1, j] + c * weight[k + 2, j] + d * weight[k + 3, j]
    for k in range(whole, state.size):
        a = state[k]
        for j in range(out.size):
            out[j] += a * weight[k, j]


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def _sigmoids(values: np.ndarray, begin: int, end: int) -> None:
    half = values.dtype.type(0.5)
    for j in range(begin, end):
        values[j] = half + half * tanh(half * values[j])


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def _tanhs(values: np.ndarray, begin: int, end: int) -> None:
    for j in range(begin, end):
        values[j] = tanh(values[j])


@numba.njit(parallel=True, cache=True, fastmath=FASTMATH, error_model="numpy")
def _gru(
    pre: np.ndarray, weight: np.ndarray, bias: np.ndarray, h0: np.ndarray, out: np.ndarray, hidden: np.ndarray
) -> None:
    """``pre`` becomes the gates; ``hidden`` takes the candidate's recurrent part where it has room for all steps."""
    rows, steps, width = pre.shape[0], pre.shape[1], h0.shape[1]
    keeps = hidden.shape[1] == steps
    one = pre.dtype.type(1)
    for row in numba.prange(rows):
        h, product = h0[row].copy(), np.empty(3 * width, pre.dtype)
        for n in range(steps):
            gates = pre[row, n]
            product[: 2 * width] = 0
            product[2 * width :] = bias
            _add_product(h, weight, product)
            for j in range(2 * width):
                gates[j] += product[j]
            _sigmoids(gates, 0, 2 * width)
            for j in range(width):
                gates[2 * width + j] += gates[j] * product[2 * width + j]
            _tanhs(gates, 2 * width, 3 * width)
            for j in range(width):
                z = gates[width + j]
                h[j] = (one - z) * gates[2 * width + j] + z * h[j]
                out[row, n, j] = h[j]
            if keeps:
                hidden[row, n] = product[2 * width :]


@numba.njit(parallel=True, cache=True, fastmath=FASTMATH, error_model="numpy")
def _gru_backward(
    gates: np.ndarray,
    hidden: np.ndarray,
    out: np.ndarray,
    h0: np.ndarray,
    weight_t: np.ndarray,
    grad_out: np.ndarray,
    grad_h: np.ndarray,
    grad_pre: np.ndarray,
    grad_recurrent: np.ndarray,
    truncate: int,
) -> None:
    """``grad_recurrent`` is the adjoint of the product with the state: that of ``pre`` but for the candidate's part."""
    rows, steps, width = grad_out.shape
    one = gates.dtype.type(1)
    for row in numba.prange(rows):
        dh = grad_h[row]
        direct = np.empty(width, gates.dtype)
        for n in range(steps - 1, -1, -1):
            before = out[row, n - 1] if n > 0 else h0[row]
            d, e = grad_pre[row, n], grad_recurrent[row, n]
            for j in range(width):
                r, z, q = gates[row, n, j], gates[row, n, width + j], gates[row, n, 2 * width + j]
                total = dh[j] + grad_out[row, n, j]
                candidate = total * (one - z) * (one - q * q)
                d[j] = candidate * hidden[row, n, j] * r * (one - r)
                d[width + j] = total * (before[j] - q) * z * (one - z)
                d[2 * width + j] = candidate
                e[j], e[width + j] = d[j], d[width + j]
                e[2 * width + j] = candidate * r
                direct[j] = total * z
            if truncate > 0 and n % truncate == 0:
                dh[:] = 0
            else:
                dh[:] = direct
                _add_product(e, weight_t, dh)


class _GRU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pre: Tensor, weight: Tensor, bias: Tensor, h0: Tensor, truncate: int, keeps: bool) -> Tensor:
        gates = pre.detach().clone(memory_format=torch.contiguous_format)
        h0, columns = h0.detach().contiguous(), weight.detach().t().contiguous()
        rows, steps, width = pre.size(0), pre.size(1), h0.size(1)
        out = pre.new_empty(rows, steps, width)
        hidden = pre.new_empty(rows, steps if keeps else 0, width)
        _gru(gates.numpy(), columns.numpy(), bias.detach().numpy(), h0.numpy(), out.numpy(), hidden.numpy())
        ctx.save_for_backward(gates, hidden, out, weight, h0)
        ctx.truncate = truncate
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        gates, hidden, out, weight, h0 = ctx.saved_tensors
        grad_pre, grad_recurrent, grad_h = torch.empty_like(gates), torch.empty_like(gates), torch.zeros_like(h0)
        arrays = [gates, hidden, out, h0, weight.detach().contiguous(), grads[0].contiguous()]
        arrays += [grad_h, grad_pre, grad_recurrent]
        _gru_backward(*(a.numpy() for a in arrays), ctx.truncate)
        before = torch.cat([h0[:, None], out[:, :-1]], dim=1)
        grad_bias = grad_recurrent[..., -h0.size(1) :].sum(dim=(0, 1))
        return grad_pre, _weight_gradient(grad_recurrent, before), grad_bias, grad_h, None, None


def _weight_gradient(adjoint: Tensor, state: Tensor) -> Tensor:
    """Sum over rows and steps of the outer products, [gates, width]."""
    return adjoint.flatten(0, 1).t() @ state.flatten(0, 1)


def gru(pre: Tensor, weight: Tensor, bias: Tensor, state: Tensor, truncate: int = 0) -> tuple[Tensor, Tensor]:
    """One GRU layer over whole signals.

    Args:
        pre: products with the input weights, plus the input biases, plus the recurrent biases of both gates,
            [rows, samples, 3 * width].
        weight: of the previous output, [3 * width, width], as PyTorch's ``weight_hh``.
        bias: the candidate's recurrent bias, [width].
        state: output before the first sample, [rows, width].
        truncate: gradients do not pass the beginnings of blocks of so many samples; 0 for no limit.

    Returns:
        Outputs [rows, samples, width], and the state after the last sample.
    """
    keeps = torch.is_grad_enabled() and any(t.requires_grad for t in (pre, weight, bias, state))
    out = _GRU.apply(*(t.cpu() for t in (pre, weight, bias, state)), truncate, keeps).to(pre.device)
    return out, out[:, -1]
