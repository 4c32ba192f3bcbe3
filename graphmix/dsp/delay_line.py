r"""A stereo delay line whose length may move with every sample, with feedback, filters in the loop and exact gradients.

.. math::
    y_c[n] = \sum_{k=-1}^{2} w_k(\varphi) \, v_c[n - i - k], \quad i + \varphi = D_c[n], \quad 0 \leq \varphi < 1 \\
    v_c[n] = x_c[n] + \sum_d G_{cd} \, z_d[n], \quad z = \text{low cut}(\text{high cut}(y)) \\
    l[n] = (1 - a) \, y[n] + a \, l[n - 1], \quad q[n] = (1 - b) \, l[n] + b \, q[n - 1], \quad z[n] = l[n] - q[n]

:math:`w_k` are the weights of cubic Lagrange interpolation, flat within 0.1 dB up to a fifth of the sample rate. The
loop reads only what has been written before, so a delay is :data:`SHORTEST` samples or more. One compiled loop
forward and one backward; both are float64 whatever the signal is. With a = 0 and b = 1 there is no filter, and nothing
is kept of it.

Conventions: signals [nodes, 2, samples]; delays in samples, [nodes, 2, samples] or [nodes, 2, 1], float64.
"""

from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

SHORTEST = 2.0
TAIL = 3
"""Samples of the past that interpolation reads beyond the whole part of a delay."""


class LineState(NamedTuple):
    """What a line remembers, float64.

    Args:
        past: what was written last, [nodes, 2, samples].
        filters: the filters' l and q, [nodes, 2 channels, 2].
    """

    past: Tensor
    filters: Tensor


@numba.njit(cache=True, inline="always")
def _read(v: np.ndarray, at: int, f: float) -> float:
    """Cubic interpolation between ``v[at]`` and ``v[at - 1]``."""
    a, b, c = f + 1.0, f - 1.0, f - 2.0
    return (
        -f * b * c / 6.0 * v[at + 1]
        + a * b * c / 2.0 * v[at]
        - a * f * c / 2.0 * v[at - 1]
        + a * f * b / 6.0 * v[at - 2]
    )


@numba.njit(cache=True, inline="always")
def _slope(v: np.ndarray, at: int, f: float) -> float:
    """Its derivative by f."""
    square = f * f
    return (
        -(3.0 * square - 6.0 * f + 2.0) / 6.0 * v[at + 1]
        + (3.0 * square - 4.0 * f - 1.0) / 2.0 * v[at]
        - (3.0 * square - 2.0 * f - 2.0) / 2.0 * v[at - 1]
        + (3.0 * square - 1.0) / 6.0 * v[at - 2]
    )


@numba.njit(cache=True, inline="always")
def _spread(to: np.ndarray, at: int, f: float, value: float) -> None:
    """Add a gradient to those of what was read."""
    a, b, c = f + 1.0, f - 1.0, f - 2.0
    to[at + 1] -= f * b * c / 6.0 * value
    to[at] += a * b * c / 2.0 * value
    to[at - 1] -= a * f * c / 2.0 * value
    to[at - 2] += a * f * b / 6.0 * value


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _forward(
    x: np.ndarray, delay: np.ndarray, gains: np.ndarray, poles: np.ndarray, begin: np.ndarray, v: np.ndarray,
    low: np.ndarray, cut: np.ndarray, y: np.ndarray,
) -> None:  # fmt: skip
    """``v`` holds the past before its last samples; ``low`` and ``cut`` are empty without filters."""
    samples, moves, filtered = x.shape[2], delay.shape[2] > 1, low.size > 0
    past = v.shape[2] - samples
    for i in numba.prange(x.shape[0]):
        l0, q0, l1, q1 = begin[i, 0, 0], begin[i, 0, 1], begin[i, 1, 0], begin[i, 1, 1]
        a, b = poles[i, 0], poles[i, 1]
        for n in range(samples):
            t = n if moves else 0
            w0, w1 = int(delay[i, 0, t]), int(delay[i, 1, t])
            y0 = _read(v[i, 0], past + n - w0, delay[i, 0, t] - w0)
            y1 = _read(v[i, 1], past + n - w1, delay[i, 1, t] - w1)
            y[i, 0, n], y[i, 1, n] = y0, y1
            z0, z1 = y0, y1
            if filtered:
                l0, l1 = y0 + a * (l0 - y0), y1 + a * (l1 - y1)
                q0, q1 = l0 + b * (q0 - l0), l1 + b * (q1 - l1)
                low[i, 0, n], low[i, 1, n], cut[i, 0, n], cut[i, 1, n] = l0, l1, q0, q1
                z0, z1 = l0 - q0, l1 - q1
            v[i, 0, past + n] = x[i, 0, n] + gains[i, 0, 0] * z0 + gains[i, 0, 1] * z1
            v[i, 1, past + n] = x[i, 1, n] + gains[i, 1, 0] * z0 + gains[i, 1, 1] * z1


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _backward(
    grad: np.ndarray, delay: np.ndarray, gains: np.ndarray, poles: np.ndarray, begin: np.ndarray, v: np.ndarray,
    low: np.ndarray, cut: np.ndarray, to_x: np.ndarray, to_delay: np.ndarray, to_gains: np.ndarray,
    to_poles: np.ndarray,
) -> None:  # fmt: skip
    samples, moves, filtered = grad.shape[2], delay.shape[2] > 1, low.size > 0
    past = v.shape[2] - samples
    for i in numba.prange(grad.shape[0]):
        to_v = np.zeros((2, v.shape[2]))
        next_low, next_cut = np.zeros(2), np.zeros(2)
        a, b = poles[i, 0], poles[i, 1]
        for n in range(samples - 1, -1, -1):
            t = n if moves else 0
            for c in range(2):
                to_x[i, c, n] = to_v[c, past + n]
            for c in range(2):
                whole = int(delay[i, c, t])
                at, f = past + n - whole, delay[i, c, t] - whole
                y = _read(v[i, c], at, f)
                z = low[i, c, n] - cut[i, c, n] if filtered else y
                to_gains[i, 0, c] += to_x[i, 0, n] * z
                to_gains[i, 1, c] += to_x[i, 1, n] * z
                of_z = gains[i, 0, c] * to_x[i, 0, n] + gains[i, 1, c] * to_x[i, 1, n]
                of_y = grad[i, c, n]
                if filtered:
                    of_cut = b * next_cut[c] - of_z
                    of_low = of_z + (1.0 - b) * of_cut + a * next_low[c]
                    before_low = low[i, c, n - 1] if n > 0 else begin[i, c, 0]
                    before_cut = cut[i, c, n - 1] if n > 0 else begin[i, c, 1]
                    to_poles[i, 0] += of_low * (before_low - y)
                    to_poles[i, 1] += of_cut * (before_cut - low[i, c, n])
                    next_low[c], next_cut[c] = of_low, of_cut
                    of_y += (1.0 - a) * of_low
                else:
                    of_y += of_z
                to_delay[i, c, t] += of_y * _slope(v[i, c], at, f)
                _spread(to_v[c], at, f, of_y)


class _DelayLine(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, delay: Tensor, gains: Tensor, poles: Tensor, state: LineState, filtered: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x, delay, gains, poles = (t.detach().contiguous() for t in (x, delay, gains, poles))
        v = torch.cat([state.past, torch.empty(x.shape, dtype=torch.float64)], dim=-1)
        low, cut = (torch.empty(x.shape if filtered else (0, 0, 0), dtype=torch.float64) for _ in range(2))
        begin, y = state.filters.contiguous(), torch.empty_like(x)
        _forward(*(t.numpy() for t in (x, delay, gains, poles, begin, v, low, cut, y)))
        ctx.save_for_backward(delay, gains, poles, begin, v, low, cut)
        ctx.mark_non_differentiable(v, low, cut)
        return y, v, low, cut

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *others: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        to_x, to_others = (
            torch.empty_like(grad, memory_format=torch.contiguous_format),
            [torch.zeros_like(t) for t in saved[:3]],
        )
        _backward(*(t.numpy() for t in (grad.contiguous(), *saved, to_x, *to_others)))
        return to_x, *to_others, None, None


def rest(nodes: int, longest: float) -> LineState:
    """A line that holds silence.

    Args:
        nodes: how many lines.
        longest: delay in samples that will be read.
    """
    past = torch.zeros(nodes, 2, int(longest) + TAIL, dtype=torch.float64)
    return LineState(past, torch.zeros(nodes, 2, 2, dtype=torch.float64))


def delay_line(
    x: Tensor, delay: Tensor, gains: Tensor, poles: Tensor | None, state: LineState, mark: int = 0
) -> tuple[Tensor, LineState]:
    """What comes out of the line.

    Args:
        x: what is written into it, [nodes, 2, samples].
        delay: in samples, :data:`SHORTEST` or more, [nodes, 2, samples] or [nodes, 2, 1].
        gains: feedback G into channel c from channel d, [nodes, 2, 2].
        poles: a and b, [nodes, 2]; None without filters.
        state: what was written before, long enough for the longest delay (:func:`rest`).
        mark: sample before which the state is wanted.

    Returns:
        As ``x``, with gradients of the first four; and the state at the mark.
    """
    still = torch.tensor([0.0, 1.0], dtype=torch.float64).expand(len(x), 2) if poles is None else poles
    inputs = (t.cpu() for t in (x, delay.double(), gains.double(), still.double()))
    y, v, low, cut = _DelayLine.apply(*inputs, state, poles is not None)
    past = v[..., mark : mark + state.past.size(-1)]
    filters = state.filters
    if low.numel() and mark:
        filters = torch.stack([low[..., mark - 1], cut[..., mark - 1]], dim=-1)
    return y.to(x.device), LineState(past, filters)
