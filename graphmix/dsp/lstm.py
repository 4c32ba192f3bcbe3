r"""An LSTM layer over samples as a compiled loop, forward and backward.

.. math::
    i, f, o = \sigma(\cdot),\; g = \tanh(\cdot),\; c[n] = f c[n-1] + i g,\; h[n] = o \tanh(c[n])

A few rows go through a step together, so that a processor has more to do than to wait for the step before; the others
have threads of their own. The gates are those of PyTorch, i, f, g, o; with :math:`\sigma(x) = (1 + \tanh(x / 2)) / 2`
all of them are one tanh of a matrix product. Products are those of :mod:`graphmix.dsp.tiles`, whose rows are padded.

Gradients may be truncated: they then do not pass the beginnings of blocks of ``truncate`` steps (truncated
backpropagation through time, Williams & Peng 1990), which keeps them bounded over thousands of steps.
"""

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from graphmix.dsp.powers import FASTMATH
from graphmix.dsp.recurrent import tanh
from graphmix.dsp.threads import at_most
from graphmix.dsp.tiles import LANES, add_product, add_product_of_rows

_TILE = 32
"""Steps whose gates, or adjoints, are held in the nearest cache."""
_TOGETHER = 4
"""Rows that go through a step together, at most."""
_COMPILED = {"cache": True, "fastmath": FASTMATH, "error_model": "numpy"}


@numba.njit(**_COMPILED)
def _cell(gates: np.ndarray, c: np.ndarray, h: np.ndarray) -> None:
    """One step of one row: gates [4 * width or more] before tanh. Each loop writes to one array, as compilers like."""
    width, half = c.size, gates.dtype.type(0.5)
    for j in range(gates.size):
        gates[j] = tanh(gates[j])
    i, f, g, o = gates[:width], gates[width : 2 * width], gates[2 * width : 3 * width], gates[3 * width : 4 * width]
    for j in range(width):
        c[j] = (half + half * f[j]) * c[j] + (half + half * i[j]) * g[j]
    for j in range(width):
        h[j] = (half + half * o[j]) * tanh(c[j])


@numba.njit(parallel=True, **_COMPILED)
def _forward(
    x: np.ndarray, held: np.ndarray, inward: np.ndarray, weight: np.ndarray, h0: np.ndarray, c0: np.ndarray,
    out: np.ndarray, last: np.ndarray, kept: np.ndarray, cells: np.ndarray, together: int,
) -> None:  # fmt: skip
    """``inward`` [inputs, gates], ``weight`` [width, gates]; ``kept`` and ``cells`` may have no room."""
    (rows, steps, inputs), size = x.shape, weight.shape[1]
    keeps = kept.shape[0] > 0
    for index in numba.prange((rows + together - 1) // together):
        first = index * together
        count = min(together, rows - first)
        h, c = h0[first : first + count].copy(), c0[first : first + count].copy()
        local = np.empty((_TILE * count, size), x.dtype)
        for begin in range(0, steps, _TILE):
            for n in range(begin, min(begin + _TILE, steps)):
                gates, place = (kept, n * rows + first) if keeps else (local, (n - begin) * count)
                for r in range(count):
                    row, biases = gates[place + r], held[first + r]
                    for j in range(size):
                        row[j] = biases[j]
                    for k in range(inputs):
                        value, factors = x[first + r, n, k], inward[k]
                        for j in range(size):
                            row[j] += value * factors[j]
                add_product_of_rows(h, 0, count, weight, gates, place)
                for r in range(count):
                    _cell(gates[place + r], c[r], h[r])
                    out[first + r, n] = h[r]
                    if keeps:
                        cells[place + r] = c[r]
        last[first : first + count] = c


@numba.njit(**_COMPILED)
def _cell_backward(
    gates: np.ndarray, c: np.ndarray, before: np.ndarray, dh: np.ndarray, dc: np.ndarray, d: np.ndarray,
    work: np.ndarray,
) -> None:  # fmt: skip
    """Adjoints of what enters the gates of one row, ``d``; ``dc`` becomes that of the cell before."""
    width, half, one = c.size, gates.dtype.type(0.5), gates.dtype.type(1)
    i, f, g, o = gates[:width], gates[width : 2 * width], gates[2 * width : 3 * width], gates[3 * width : 4 * width]
    d_i, d_f, d_g, d_o = d[:width], d[width : 2 * width], d[2 * width : 3 * width], d[3 * width : 4 * width]
    for j in range(width):
        work[j] = tanh(c[j])
    for j in range(width):
        d_o[j] = dh[j] * work[j] * half * (one - o[j] * o[j])
    for j in range(width):
        dc[j] += dh[j] * (half + half * o[j]) * (one - work[j] * work[j])
    for j in range(width):
        d_i[j] = dc[j] * g[j] * half * (one - i[j] * i[j])
    for j in range(width):
        d_f[j] = dc[j] * before[j] * half * (one - f[j] * f[j])
    for j in range(width):
        d_g[j] = dc[j] * (half + half * i[j]) * (one - g[j] * g[j])
    for j in range(width):
        dc[j] *= half + half * f[j]


@numba.njit(parallel=True, **_COMPILED)
def _backward(
    x: np.ndarray, inward: np.ndarray, turned: np.ndarray, h0: np.ndarray, c0: np.ndarray, out: np.ndarray,
    kept: np.ndarray, cells: np.ndarray, grad_out: np.ndarray, grad_h: np.ndarray, grad_c: np.ndarray,
    grad_x: np.ndarray, grad_held: np.ndarray, grad_inward: np.ndarray, grad_weight: np.ndarray, truncate: int,
    together: int,
) -> None:  # fmt: skip
    """``turned`` [gates, width, padded]; gradients of weights for each group of rows, ``grad_x`` if it has room."""
    (rows, steps, inputs), size, width = x.shape, kept.shape[1], h0.shape[1]
    for index in numba.prange((rows + together - 1) // together):
        first = index * together
        count = min(together, rows - first)
        dh, work = np.zeros((count, turned.shape[1]), x.dtype), np.empty(width, x.dtype)
        d = np.zeros((_TILE * count, size), x.dtype)
        previous, given = np.empty((width, _TILE * count), x.dtype), np.empty((inputs, _TILE * count), x.dtype)
        for begin in range((steps - 1) // _TILE * _TILE, -1, -_TILE):
            end = min(begin + _TILE, steps)
            for n in range(end - 1, begin - 1, -1):
                place = (n - begin) * count
                for r in range(count):
                    row = n * rows + first + r
                    own, arriving = dh[r], grad_out[first + r, n]
                    for j in range(width):
                        own[j] += arriving[j]
                    before = cells[row - rows] if n > 0 else c0[first + r]
                    _cell_backward(kept[row], cells[row], before, own, grad_c[first + r], d[place + r], work)
                    own[:] = 0
                    passed = out[first + r, n - 1] if n > 0 else h0[first + r]
                    for j in range(width):
                        previous[j, place + r] = passed[j]
                    for k in range(inputs):
                        given[k, place + r] = x[first + r, n, k]
                if truncate > 0 and n % truncate == 0:
                    grad_c[first : first + count] = 0
                else:
                    add_product_of_rows(d, place, count, turned, dh, 0)
            used = (end - begin) * count
            add_product(previous[:, :used], d, grad_weight[index], size)
            add_product(given[:, :used], d, grad_inward[index], size)
            for p in range(used):
                into, values = grad_held[first + p % count], d[p]
                for j in range(size):
                    into[j] += values[j]
            if grad_x.shape[0] > 0:
                for p in range(used):
                    values = d[p]
                    for k in range(inputs):
                        factors, total = inward[k], x.dtype.type(0)
                        for j in range(size):
                            total += values[j] * factors[j]
                        grad_x[first + p % count, begin + p // count, k] = total
        grad_h[first : first + count] = dh[:, :width]


class _LSTM(torch.autograd.Function):
    """Weights and biases as the loops take them: transposed, padded, those of i, f and o halved."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, held: Tensor, inward: Tensor, weight: Tensor, h0: Tensor, c0: Tensor, truncate: int,
        keeps: bool,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        tensors = [t.detach().contiguous() for t in (x, held, inward, weight, h0, c0)]
        rows, steps, width = x.size(0), x.size(1), h0.size(1)
        together = _group(rows)
        out, last = x.new_empty(rows, steps, width), torch.empty_like(tensors[5])
        kept = x.new_empty(rows * steps if keeps else 0, weight.size(1))
        cells = x.new_empty(len(kept), width)
        with at_most(-(-rows // together)):
            _forward(*(t.numpy() for t in (*tensors, out, last, kept, cells)), together)
        ctx.save_for_backward(*tensors, out, kept, cells)
        ctx.truncate, ctx.together = truncate, together
        return out, last

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, held, inward, weight, h0, c0, out, kept, cells = ctx.saved_tensors
        groups, width = -(-x.size(0) // ctx.together), h0.size(1)
        turned = functional.pad(weight.t(), (0, -width % LANES)).contiguous()
        grad_h, grad_c = torch.empty_like(h0), grads[1].clone(memory_format=torch.contiguous_format)
        grad_x = torch.empty_like(x) if ctx.needs_input_grad[0] else x.new_empty(0, 0, 0)
        grad_held = torch.zeros_like(held)
        grad_inward, grad_weight = (t.new_zeros(groups, *t.shape) for t in (inward, weight))
        arrays = [x, inward, turned, h0, c0, out, kept, cells, grads[0].contiguous()]
        arrays += [grad_h, grad_c, grad_x, grad_held, grad_inward, grad_weight]
        with at_most(groups):
            _backward(*(t.numpy() for t in arrays), ctx.truncate, ctx.together)
        first = grad_x if ctx.needs_input_grad[0] else None
        return first, grad_held, grad_inward.sum(0), grad_weight.sum(0), grad_h, grad_c, None, None


def _group(rows: int) -> int:
    """Rows that go through a step together: no fewer groups than threads, if there are rows enough."""
    return min(_TOGETHER, max(1, rows // numba.get_num_threads()))


def lstm(
    x: Tensor, held: Tensor, inward: Tensor, weight: Tensor, state: tuple[Tensor, Tensor], truncate: int = 0
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """One LSTM layer over whole signals.

    Args:
        x: inputs, [rows, samples, inputs].
        held: all biases, and what inputs that do not change contribute, [rows, 4 * width].
        inward: weight of the inputs, [4 * width, inputs], as PyTorch's ``weight_ih``.
        weight: of the previous output, [4 * width, width], as PyTorch's ``weight_hh``.
        state: output and cell before the first sample, [rows, width] each.
        truncate: gradients do not pass the beginnings of blocks of so many samples; 0 for no limit.

    Returns:
        Outputs [rows, samples, width], and the state after the last sample.
    """
    keeps = torch.is_grad_enabled() and any(t.requires_grad for t in (x, held, inward, weight, *state))
    device, width = x.device, weight.size(1)
    scale = weight.new_full((4 * width,), 0.5)
    scale[2 * width : 3 * width] = 1
    room = (0, -4 * width % LANES)
    held, inward, weight = (functional.pad(t * scale, room) for t in (held, inward.t(), weight.t()))
    # Where there is no loop, on a GPU, the host computes it.
    out, cell = _LSTM.apply(*(t.cpu() for t in (x, held, inward, weight, *state)), truncate, keeps)
    out, cell = out.to(device), cell.to(device)
    return out, (out[:, -1] if out.size(1) else state[0], cell)
