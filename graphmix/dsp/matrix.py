"""Real 2×2 matrices on (left, right), of samples or spectra, in one pass over memory.

A general matrix product is made for large inner dimensions; with two it is slower than copying the signals.
"""

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

_BLOCK = 4096


@numba.njit(parallel=True, cache=True, fastmath=True, error_model="numpy")
def _multiply(matrix: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
    nodes, width = x.shape[0], x.shape[2]
    blocks = -(-width // _BLOCK)
    for job in numba.prange(nodes * blocks):
        i, block = job // blocks, job % blocks
        span = slice(block * _BLOCK, min(width, (block + 1) * _BLOCK))
        left, right = x[i, 0, span], x[i, 1, span]
        for channel in range(2):
            a, b, out = matrix[i, channel, 0], matrix[i, channel, 1], y[i, channel, span]
            for k in range(out.size):
                out[k] = a * left[k] + b * right[k]


@numba.njit(parallel=True, cache=True, fastmath=True, error_model="numpy")
def _outer(x: np.ndarray, y: np.ndarray, sums: np.ndarray) -> None:
    """Inner products of the channels of y with those of x, by block: [nodes, blocks, 2, 2]."""
    nodes, width, blocks = x.shape[0], x.shape[2], sums.shape[1]
    for job in numba.prange(nodes * blocks):
        i, block = job // blocks, job % blocks
        span = slice(block * _BLOCK, min(width, (block + 1) * _BLOCK))
        for channel in range(2):
            for other in range(2):
                a, b, total = y[i, channel, span], x[i, other, span], x.dtype.type(0)
                for k in range(a.size):
                    total += a[k] * b[k]
                sums[i, block, channel, other] = total


def _flat(signal: Tensor) -> np.ndarray:
    """[nodes, 2, numbers], complex ones as pairs."""
    signal = signal.detach().resolve_conj().contiguous()
    return (torch.view_as_real(signal).flatten(-2) if signal.is_complex() else signal).numpy()


class _Multiply(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: Tensor, signal: Tensor) -> Tensor:
        matrix, signal = matrix.contiguous(), signal.contiguous()
        ctx.save_for_backward(matrix, signal)
        out = torch.empty_like(signal)
        _multiply(matrix.detach().numpy(), _flat(signal), _flat(out))
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None]:
        matrix, signal = ctx.saved_tensors
        x, grad = _flat(signal), _flat(grads[0])
        sums = matrix.new_zeros(x.shape[0], -(-x.shape[2] // _BLOCK), 2, 2)
        _outer(x, grad, sums.numpy())
        if not ctx.needs_input_grad[1]:
            return sums.sum(1), None
        to_signal = torch.empty_like(signal)
        _multiply(matrix.mT.contiguous().numpy(), grad, _flat(to_signal))
        return sums.sum(1), to_signal


def multiply(matrix: Tensor, signal: Tensor) -> Tensor:
    """Multiply stereo signals by matrices.

    Args:
        matrix: real, [nodes, 2, 2].
        signal: real or complex, [nodes, 2, samples or bins].
    """
    matrix = matrix.to(signal.real.dtype)
    if signal.device.type == "cpu":
        return _Multiply.apply(matrix, signal)
    if not signal.is_complex():
        return matrix @ signal
    flat = torch.view_as_real(signal).flatten(-2)
    return torch.view_as_complex((matrix @ flat).unflatten(-1, (-1, 2)))
