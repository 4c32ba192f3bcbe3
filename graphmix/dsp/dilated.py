r"""One layer of a WaveNet in a compiled pass forward and one backward: dilated convolution, tanh, 1×1, residual.

.. math::
    z[n] = \tanh\Big(b + M c[n] + \sum_k W_k\, x[n - (K - 1 - k)\, d]\Big), \qquad y[n] = x[n] + V z[n] + v

Such layers have few channels (8 or 16) and many samples. Convolutions of a framework are made for many channels; here
the innermost loops run along the samples, over tiles that stay in the nearest cache. Nothing is padded: what comes in
is longer by the layer's reach than what goes out, as in :mod:`graphmix.models.effects.wavenet`, which see.
"""

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from graphmix.dsp.powers import FASTMATH
from graphmix.dsp.recurrent import tanh

_TILE = 256
"""Samples at a time: sixteen channels of them take 16 KiB."""


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def _add_scaled(rows: np.ndarray, weights: np.ndarray, out: np.ndarray) -> None:
    """Add the rows [rows, samples], each times its weight, to ``out`` [samples], four rows at a time."""
    whole = weights.size // 4 * 4
    for i in range(0, whole, 4):
        p, q, r, s = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
        a, b, c, d = rows[i], rows[i + 1], rows[i + 2], rows[i + 3]
        for t in range(out.size):
            out[t] += p * a[t] + q * b[t] + r * c[t] + s * d[t]
    for i in range(whole, weights.size):
        p, a = weights[i], rows[i]
        for t in range(out.size):
            out[t] += p * a[t]


@numba.njit(parallel=True, cache=True, fastmath=FASTMATH, error_model="numpy")
def _layer(
    x: np.ndarray,
    condition: np.ndarray,
    taps: np.ndarray,
    bias: np.ndarray,
    mixer: np.ndarray,
    last: np.ndarray,
    last_bias: np.ndarray,
    dilation: int,
    z: np.ndarray,
    y: np.ndarray,
) -> None:
    """``taps`` [kernel, outputs, inputs]."""
    rows, outputs, samples = z.shape
    kernel, inputs = taps.shape[0], x.shape[1]
    reach = (kernel - 1) * dilation
    tiles = (samples + _TILE - 1) // _TILE
    for index in numba.prange(rows * tiles):
        row, begin = index // tiles, index % tiles * _TILE
        end = min(begin + _TILE, samples)
        for o in range(outputs):
            out = z[row, o, begin:end]
            out[:] = bias[o]
            _add_scaled(condition[row, :, begin:end], mixer[o], out)
            for k in range(kernel):
                _add_scaled(x[row, :, begin + k * dilation : end + k * dilation], taps[k, o], out)
            for t in range(out.size):
                out[t] = tanh(out[t])
        for i in range(inputs):
            out = y[row, i, begin:end]
            out[:] = x[row, i, begin + reach : end + reach]
            for t in range(out.size):
                out[t] += last_bias[i]
            _add_scaled(z[row, :, begin:end], last[i], out)


@numba.njit(parallel=True, cache=True, fastmath=FASTMATH, error_model="numpy")
def _layer_backward(
    z: np.ndarray,
    taps_t: np.ndarray,
    last_t: np.ndarray,
    grad_z: np.ndarray,
    grad_y: np.ndarray,
    dilation: int,
    adjoint: np.ndarray,
    grad_x: np.ndarray,
) -> None:
    """Adjoints of what enters tanh and of ``x``; ``taps_t`` [kernel, inputs, outputs], ``last_t`` [outputs, inputs]."""
    rows, outputs, samples = z.shape
    kernel, inputs = taps_t.shape[0], grad_x.shape[1]
    reach = (kernel - 1) * dilation
    tiles = (samples + _TILE - 1) // _TILE
    one = z.dtype.type(1)
    for index in numba.prange(rows * tiles):
        row, begin = index // tiles, index % tiles * _TILE
        end = min(begin + _TILE, samples)
        for o in range(outputs):
            out, value = adjoint[row, o, begin:end], z[row, o, begin:end]
            out[:] = grad_z[row, o, begin:end]
            _add_scaled(grad_y[row, :, begin:end], last_t[o], out)
            for t in range(out.size):
                out[t] *= one - value[t] * value[t]
    length = samples + reach
    tiles = (length + _TILE - 1) // _TILE
    for index in numba.prange(rows * tiles):
        row, begin = index // tiles, index % tiles * _TILE
        end = min(begin + _TILE, length)
        for i in range(inputs):
            out = grad_x[row, i, begin:end]
            out[:] = 0
            if end > reach:
                first = max(begin, reach)
                out[first - begin :] = grad_y[row, i, first - reach : end - reach]
            for k in range(kernel):
                first, stop = max(begin, k * dilation), min(end, k * dilation + samples)
                if first < stop:
                    rows_of = adjoint[row, :, first - k * dilation : stop - k * dilation]
                    _add_scaled(rows_of, taps_t[k, i], out[first - begin : stop - begin])


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        condition: Tensor,
        taps: Tensor,
        bias: Tensor,
        mixer: Tensor,
        last: Tensor,
        last_bias: Tensor,
        dilation: int,
    ) -> tuple[Tensor, Tensor]:
        samples = x.size(-1) - (taps.size(-1) - 1) * dilation
        z = x.new_empty(x.size(0), taps.size(0), samples)
        y = x.new_empty(x.size(0), x.size(1), samples)
        tensors = [x, condition, taps.permute(2, 0, 1), bias, mixer, last, last_bias]
        arrays = [tensor.detach().contiguous().numpy() for tensor in tensors]
        _layer(*arrays, dilation, z.numpy(), y.numpy())
        ctx.save_for_backward(x, condition, taps, mixer, last, z)
        ctx.dilation = dilation
        return z, y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, condition, taps, mixer, last, z = ctx.saved_tensors
        dilation, samples = ctx.dilation, z.size(-1)
        grad_z, grad_y = (grad.contiguous() for grad in grads)
        adjoint, grad_x = torch.empty_like(z), torch.empty_like(x, memory_format=torch.contiguous_format)
        arrays = [z, taps.detach().permute(2, 1, 0).contiguous(), last.detach().t().contiguous(), grad_z, grad_y]
        _layer_backward(*(a.numpy() for a in arrays), dilation, adjoint.numpy(), grad_x.numpy())
        shifted = [x[..., k * dilation : k * dilation + samples] for k in range(taps.size(-1))]
        grad_taps = torch.stack([_outer(adjoint, part) for part in shifted], dim=-1)
        grad_condition = None
        if ctx.needs_input_grad[1]:
            grad_condition = mixer.detach().t() @ adjoint
        return (
            grad_x,
            grad_condition,
            grad_taps,
            adjoint.sum(dim=(0, 2)),
            _outer(adjoint, condition),
            _outer(grad_y, z),
            grad_y.sum(dim=(0, 2)),
            None,
        )


def _outer(left: Tensor, right: Tensor) -> Tensor:
    """Sum over rows and samples of the products of channels, [left channels, right channels]."""
    return (left @ right.mT).sum(dim=0)


def dilated_layer(
    x: Tensor,
    condition: Tensor,
    taps: Tensor,
    bias: Tensor,
    mixer: Tensor,
    last: Tensor,
    last_bias: Tensor,
    dilation: int,
) -> tuple[Tensor, Tensor]:
    """One layer, on the CPU.

    Args:
        x: [rows, channels, samples + reach], with a reach of ``(kernel - 1) * dilation``.
        condition: what every layer is given beside, [rows, conditions, samples].
        taps: [outputs, channels, kernel], the latest tap last, as ``Conv1d`` has them.
        bias: [outputs].
        mixer: [outputs, conditions].
        last: the 1×1 convolution, [channels, outputs].
        last_bias: [channels].
        dilation: samples between taps.

    Returns:
        z [rows, outputs, samples] and y [rows, channels, samples].
    """
    return _Layer.apply(x, condition, taps, bias, mixer, last, last_bias, dilation)
