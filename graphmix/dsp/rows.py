"""Sums of rows: what a stage of message passing does with its edges, in one pass over memory.

.. math:: y_t = \\sum_{e: target(e) = t} x_{source(e)}

The tensor operations for it (``index_select``, then ``index_add``) write every message out before they add it.
On the CPU this is one compiled loop that reads each source row once for each edge and writes each target once.
"""

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphmix.dsp.elementary import SUMS

_BLOCK = 8192
_PIECE = 256
_SHORT_BLOCK = 2048
"""Samples of which all rows of a few notes stay in the processor's cache."""
Entries = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Rows that are read, and rows to which they are added."""


@numba.njit(parallel=True, cache=True)
def _sum_rows(x: np.ndarray, sources: np.ndarray, first: np.ndarray, y: np.ndarray) -> None:
    rows, width = y.shape
    blocks = -(-width // _BLOCK)
    for job in numba.prange(rows * blocks):
        row, block = job // blocks, job % blocks
        span = slice(block * _BLOCK, min(width, (block + 1) * _BLOCK))
        out = y[row, span]
        start, stop = first[row], first[row + 1]
        if start == stop:
            out[:] = 0
        else:
            out[:] = x[sources[start], span]
        for edge in range(start + 1, stop):
            brought = x[sources[edge], span]
            for k in range(out.size):
                out[k] += brought[k]


def _real_rows(x: Tensor) -> np.ndarray:
    """[rows, all other numbers], complex ones as pairs."""
    x = x.detach().resolve_conj().contiguous()
    return (torch.view_as_real(x) if x.is_complex() else x).reshape(x.size(0), -1).numpy()


def _run(x: Tensor, sources: Tensor, targets: Tensor, size: int) -> Tensor:
    """One pass; ``targets`` in rising order."""
    y = x.new_empty(size, *x.shape[1:])
    first = np.searchsorted(targets.numpy(), np.arange(size + 1))
    if y.numel():
        _sum_rows(_real_rows(x), sources.numpy(), first, _real_rows(y))
    return y


class _SumRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, sources: Tensor, targets: Tensor, size: int) -> Tensor:
        ctx.save_for_backward(sources, targets)
        ctx.rows = x.size(0)
        return _run(x, sources, targets, size)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        sources, targets = ctx.saved_tensors
        order = sources.argsort(stable=True)
        return _run(grads[0], targets[order], sources[order], ctx.rows), None, None, None


def sum_rows(x: Tensor, sources: Tensor, targets: Tensor, size: int) -> Tensor:
    """Add rows of ``x`` to the rows of a new tensor.

    Args:
        x: real or complex, [rows, ...].
        sources: which row each edge reads, [edges].
        targets: which row it goes to, in rising order, [edges].
        size: rows of the result; those without an edge are zero.

    Shape:
        [size, ...]
    """
    if x.device.type == "cpu":
        return _SumRows.apply(x, sources, targets, size)
    return x.new_zeros(size, *x.shape[1:]).index_add_(0, targets, x.index_select(0, sources))


@numba.njit(parallel=True, cache=True, fastmath={"contract"})
def _mix_rows(
    x: np.ndarray, sources: np.ndarray, weights: np.ndarray, first: np.ndarray, begun: bool, y: np.ndarray
) -> None:
    """Weighted rows of one signal; ``begun``: they are added to what ``y`` holds."""
    rows, width = y.shape
    blocks = -(-width // _SHORT_BLOCK)
    for job in numba.prange(rows * blocks):
        row, block = job // blocks, job % blocks
        span = slice(block * _SHORT_BLOCK, min(width, (block + 1) * _SHORT_BLOCK))
        out, start = y[row, span], first[row]
        if not begun:
            if start < first[row + 1]:
                brought, weight = x[sources[start], span], weights[start]
                for k in range(out.size):
                    out[k] = weight * brought[k]
            else:
                out[:] = 0
            start += 1
        for edge in range(start, first[row + 1]):
            brought, weight = x[sources[edge], span], weights[edge]
            for k in range(out.size):
                out[k] += weight * brought[k]


@numba.njit(cache=True, fastmath=SUMS)
def _dot(a: np.ndarray, b: np.ndarray) -> float:
    total = a.dtype.type(0)
    for k in range(a.size):
        total += a[k] * b[k]
    return float(total)


@numba.njit(parallel=True, cache=True, fastmath={"contract"})
def _mix_rows_back(
    x: np.ndarray, sources: np.ndarray, targets: np.ndarray, weights: np.ndarray, grad: np.ndarray, to_x: np.ndarray,
    to_weights: np.ndarray,
) -> None:  # fmt: skip
    """``to_weights`` [blocks, entries]; ``to_x`` is empty where it is not wanted."""
    width = grad.shape[1]
    for block in numba.prange(to_weights.shape[0]):
        span = slice(block * _SHORT_BLOCK, min(width, (block + 1) * _SHORT_BLOCK))
        for row in range(to_x.shape[0]):
            to_x[row, span] = 0
        for edge in range(sources.size):
            given, weight = grad[targets[edge], span], weights[edge]
            to_weights[block, edge] = _dot(given, x[sources[edge], span])
            if to_x.shape[0] > 0:
                result = to_x[sources[edge], span]
                for k in range(given.size):
                    result[k] += weight * given[k]


class _MixRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, indices: Sequence[Entries], size: int, *tensors: Tensor) -> Tensor:
        signals, weights = (
            [t.detach().contiguous() for t in own] for own in (tensors[: len(indices)], tensors[len(indices) :])
        )
        y = signals[0].new_empty(size, *signals[0].shape[1:])
        for i, (x, weight, (sources, targets)) in enumerate(zip(signals, weights, indices, strict=True)):
            first = np.searchsorted(targets, np.arange(size + 1))
            _mix_rows(_real_rows(x), sources, weight.numpy(), first, i > 0, _real_rows(y))
        ctx.save_for_backward(*signals, *weights)
        ctx.indices = indices
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        count, given = len(ctx.indices), _real_rows(grad)
        signals, weights, wanted = ctx.saved_tensors[:count], ctx.saved_tensors[count:], ctx.needs_input_grad[2:]
        to_signals: list[Tensor | None] = []
        to_weights: list[Tensor | None] = []
        for i, (x, weight, ends) in enumerate(zip(signals, weights, ctx.indices, strict=True)):
            to_x = torch.empty_like(x) if wanted[i] else None
            rows = x.new_empty(0, 1).numpy() if to_x is None else _real_rows(to_x)
            sums = torch.empty(-(-given.shape[1] // _SHORT_BLOCK), len(weight), dtype=torch.float64)
            _mix_rows_back(_real_rows(x), *ends, weight.numpy(), given, rows, sums.numpy())
            to_signals.append(to_x)
            to_weights.append(sums.sum(0).to(weight.dtype) if wanted[count + i] else None)
        return None, None, *to_signals, *to_weights


def mix_rows(signals: Sequence[Tensor], weights: Sequence[Tensor], indices: Sequence[Entries], size: int) -> Tensor:
    """Add weighted rows of several signals to the rows of a new tensor.

    Args:
        signals: on the CPU, real, of one shape but for the first axis, [rows, ...] each.
        weights: for each signal those of its entries, [entries].
        indices: for each signal which row each entry reads and to which row it is added, these in rising order.
        size: rows of the result; those without an entry are zero.

    Shape:
        [size, ...], with gradients of signals and weights.
    """
    out = _MixRows.apply(indices, size, *signals, *weights)
    assert isinstance(out, Tensor)
    return out


@numba.njit(cache=True)
def end_of_sound(row: np.ndarray) -> int:
    """The number of samples up to the last one that is not 0."""
    end = row.size
    while end > 0:
        found, begin = 0, max(0, end - _PIECE)
        for i in range(begin, end):
            found += row[i] != 0
        if found > 0:
            break
        end = begin
    while end > 0 and row[end - 1] == 0:
        end -= 1
    return end


@numba.njit(cache=True)
def leave_silent(row: np.ndarray, begin: int) -> None:
    """Zeros from a sample on; by itself, as numba loses assignments to slices within its parallel loops."""
    for i in range(begin, row.size):
        row[i] = 0


def summed(grad: Tensor, samples: int) -> Tensor:
    """The gradient of a signal [rows, samples] that may be one number for all samples, [rows, 1]."""
    return grad if grad.size(-1) == samples else grad.sum(-1, keepdim=True)


def room_for(signals: Sequence[Tensor], wanted: Sequence[bool]) -> list[Tensor]:
    """Room for the gradients of signals [..., samples] that are wanted, and nothing, [..., 0], for the others.

    Loops write all samples and add to those that are one number for all, which are zero here.
    """
    made = (
        torch.zeros_like(t) if t.size(-1) == 1 else torch.empty_like(t) if w else t
        for t, w in zip(signals, wanted, strict=True)
    )
    return [t if w else t[..., :0] for t, w in zip(made, wanted, strict=True)]


def only_wanted(gradients: Sequence[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
    """Gradients of signals, as autograd takes them."""
    return [t if w else None for t, w in zip(gradients, wanted, strict=True)]
