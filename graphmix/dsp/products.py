r"""A signal times a control signal, and the gate of a note: what voices multiply with, in one pass each way.

.. math:: y[n] = u[n] \, (p + q \, c[n])

Signals are [rows, samples], or [rows, 1] where they do not change; *p* and *q* are [rows].
"""

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphmix.dsp.elementary import SUMS
from graphmix.dsp.rows import only_wanted, room_for


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _multiply(u: np.ndarray, control: np.ndarray, p: np.ndarray, q: np.ndarray, out: np.ndarray) -> None:
    for row in numba.prange(out.shape[0]):
        a, b, x, c, y = p[row], q[row], u[row], control[row], out[row]
        for n in range(y.size):
            y[n] = x[0 if x.size == 1 else n] * (a + b * c[0 if c.size == 1 else n])


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _give(grad: np.ndarray, other: np.ndarray, a: float, b: float, to: np.ndarray) -> None:
    """Gradients of a factor times ``a + b * other``; of one that is the same for all samples their sum."""
    if to.size == 1:
        total = 0.0
        for n in range(grad.size):
            total += grad[n] * (a + b * other[0 if other.size == 1 else n])
        to[0] = total
    elif to.size > 1:
        for n in range(grad.size):
            to[n] = grad[n] * (a + b * other[0 if other.size == 1 else n])


@numba.njit(cache=True, error_model="numpy", fastmath=SUMS)
def _row_back(
    x: np.ndarray, c: np.ndarray, a: float, b: float, grad: np.ndarray, to_x: np.ndarray, to_c: np.ndarray
) -> tuple[float, float]:
    to_p, to_q = 0.0, 0.0
    for n in range(grad.size):
        given = grad[n] * x[0 if x.size == 1 else n]
        to_p += given
        to_q += given * c[0 if c.size == 1 else n]
    _give(grad, c, a, b, to_x)
    _give(grad, x, a * 0, b, to_c)
    return to_p, to_q


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _multiply_back(
    u: np.ndarray, control: np.ndarray, p: np.ndarray, q: np.ndarray, grad: np.ndarray, to_u: np.ndarray,
    to_control: np.ndarray, to_p: np.ndarray, to_q: np.ndarray,
) -> None:  # fmt: skip
    for row in numba.prange(grad.shape[0]):
        to_p[row], to_q[row] = _row_back(
            u[row], control[row], p[row], q[row], grad[row], to_u[row], to_control[row]
        )  # fmt: skip


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, samples: int, *inputs: Tensor) -> Tensor:
        own = tuple(t.detach().contiguous() for t in inputs)
        out = torch.empty(len(own[0]), samples, dtype=own[0].dtype)
        _multiply(*(t.numpy() for t in (*own, out)))
        ctx.save_for_backward(*own)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        u, control, p, q = ctx.saved_tensors
        wanted = ctx.needs_input_grad[1:3]
        results = room_for((u, control), wanted)
        sums = [torch.zeros(len(p), dtype=torch.float64) for _ in range(2)]
        _multiply_back(*(t.numpy() for t in (u, control, p, q, grad.contiguous(), *results, *sums)))
        return None, *only_wanted(results, wanted), *(t.to(p.dtype) for t in sums)


def modulate(u: Tensor, control: Tensor, p: Tensor, q: Tensor, samples: int) -> Tensor:
    """``u * (p + q * control)``, [rows, samples]; all in one precision, with gradients of all."""
    out = _Product.apply(samples, u.cpu(), control.cpu(), p.cpu(), q.cpu())
    assert isinstance(out, Tensor)
    return out.to(u.device)


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _hold(height: np.ndarray, begin: np.ndarray, end: np.ndarray, out: np.ndarray) -> None:
    for row in numba.prange(out.shape[0]):
        first, last = begin[row], end[row]
        out[row, :first] = 0
        out[row, first:last] = height[row]
        out[row, last:] = 0


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, height: Tensor, begin: Tensor, end: Tensor, samples: int) -> Tensor:
        begin, end = (t.clamp(0, samples) for t in (begin, end))
        out = torch.empty(len(height), samples, dtype=height.dtype)
        _hold(*(t.detach().contiguous().numpy() for t in (height, begin, end, out)))
        ctx.save_for_backward(begin, end)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        begin, end = (t.tolist() for t in ctx.saved_tensors)
        sums = [row[a:b].sum() for row, a, b in zip(grad, begin, end, strict=True)]
        return torch.stack(sums) if sums else grad.new_zeros(0), None, None, None


def gate(height: Tensor, begin: Tensor, end: Tensor, samples: int) -> Tensor:
    """Signals of a height [rows] from one sample to another (int64 [rows], any), and 0 elsewhere; [rows, samples]."""
    out = _Gate.apply(height.cpu(), begin.cpu(), end.cpu(), samples)
    assert isinstance(out, Tensor)
    return out.to(height.device)
