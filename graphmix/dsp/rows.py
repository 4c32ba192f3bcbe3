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
from torch import Tensor

_BLOCK = 8192


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


def summed(grad: Tensor, samples: int) -> Tensor:
    """The gradient of a signal [rows, samples] that may be one number for all samples, [rows, 1]."""
    return grad if grad.size(-1) == samples else grad.sum(-1, keepdim=True)


def room_for(signals: Sequence[Tensor], wanted: Sequence[bool]) -> list[Tensor]:
    """Zeros for the gradients of signals [..., samples] that are wanted, and nothing, [..., 0], for the others."""
    return [torch.zeros_like(t) if w else t[..., :0] for t, w in zip(signals, wanted, strict=True)]


def only_wanted(gradients: Sequence[Tensor], wanted: Sequence[bool]) -> list[Tensor | None]:
    """Gradients of signals, as autograd takes them."""
    return [t if w else None for t, w in zip(gradients, wanted, strict=True)]
