r"""Smooth curves through equally spaced points (Catmull & Rom 1974), evaluated at every sample: one pass each way.

.. math::
    y = \sum_{k=0}^{3} w_k(x)\, p_{i - 1 + k}, \qquad
    w = \tfrac12 (-x + 2x^2 - x^3,\; 2 - 5x^2 + 3x^3,\; x + 4x^2 - 3x^3,\; -x^2 + x^3)

for a place :math:`i + x` between points :math:`i` and :math:`i + 1`. The slope is continuous. Before the first and
after the last point the curve goes on straight.
"""

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from graphmix.dsp.powers import FASTMATH


@numba.njit(parallel=True, cache=True, fastmath=FASTMATH, error_model="numpy")
def _evaluate(points: np.ndarray, place: np.ndarray, out: np.ndarray, slope: np.ndarray) -> None:
    """``points`` have one more at either end; ``slope`` is filled where it has room."""
    last = points.shape[1] - 3
    keeps = slope.shape[1] == place.shape[1]
    half = place.dtype.type(0.5)
    for row in numba.prange(place.shape[0]):
        p = points[row]
        for n in range(place.shape[1]):
            i = min(max(int(place[row, n]), 0), last - 1)
            x = place[row, n] - i
            a, b, c, d = p[i], p[i + 1], p[i + 2], p[i + 3]
            if x < 0:
                out[row, n] = b + x * (c - b)
                steep = c - b
            elif x > 1:
                out[row, n] = c + (x - 1) * (c - b)
                steep = c - b
            else:
                first, second, third = c - a, 2 * a - 5 * b + 4 * c - d, 3 * (b - c) + d - a
                out[row, n] = b + half * x * (first + x * (second + x * third))
                steep = half * (first + x * (2 * second + 3 * x * third))
            if keeps:
                slope[row, n] = steep


@numba.njit(parallel=True, cache=True, fastmath=FASTMATH, error_model="numpy")
def _scatter(place: np.ndarray, grad: np.ndarray, grad_points: np.ndarray) -> None:
    """Adjoint of the points, [rows, points + 2], one row for each of ``place``."""
    last = grad_points.shape[1] - 3
    half = place.dtype.type(0.5)
    for row in numba.prange(place.shape[0]):
        total = grad_points[row]
        for n in range(place.shape[1]):
            i = min(max(int(place[row, n]), 0), last - 1)
            x = place[row, n] - i
            g = grad[row, n]
            if x < 0 or x > 1:
                total[i + 1] += g * (1 - x)
                total[i + 2] += g * x
            else:
                square, cube = x * x, x * x * x
                total[i] += g * half * (2 * square - x - cube)
                total[i + 1] += g * half * (2 - 5 * square + 3 * cube)
                total[i + 2] += g * half * (x + 4 * square - 3 * cube)
                total[i + 3] += g * half * (cube - square)


class _Curve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, points: Tensor, place: Tensor, keeps: bool) -> Tensor:
        points, place = points.detach().contiguous(), place.detach().contiguous()
        out, slope = torch.empty_like(place), place.new_empty(place.size(0), place.size(1) if keeps else 0)
        _evaluate(points.numpy(), place.numpy(), out.numpy(), slope.numpy())
        ctx.save_for_backward(points, place, slope)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        points, place, slope = ctx.saved_tensors
        grad = grads[0].contiguous()
        grad_points = None
        if ctx.needs_input_grad[0]:
            # Sums of many samples want more digits than the samples have.
            each = points.new_zeros(place.size(0), points.size(1), dtype=torch.float64)
            _scatter(place.numpy(), grad.numpy(), each.numpy())
            grad_points = each.to(points.dtype)
        return grad_points, grad * slope if ctx.needs_input_grad[1] else None, None


def through_points(points: Tensor, place: Tensor) -> Tensor:
    """Values of curves at places.

    Args:
        points: values of the curve at 0, 1, 2, …, [rows or 1, points], three or more.
        place: where it is evaluated, [rows, samples].

    Shape:
        [rows, samples]

    Example:
        >>> through_points(torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([[-1.0, 0.5, 1.0, 3.0]]))
        tensor([[-1.0000,  0.6250,  1.0000, -1.0000]])
    """
    ends = 2 * points[:, :1] - points[:, 1:2], 2 * points[:, -1:] - points[:, -2:-1]
    extended = torch.cat([ends[0], points, ends[1]], dim=-1).expand(place.size(0), -1)
    keeps = torch.is_grad_enabled() and (points.requires_grad or place.requires_grad)
    return _Curve.apply(extended.cpu(), place.cpu(), keeps).to(place.device)
