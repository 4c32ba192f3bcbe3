"""Applying frequency responses with dry/wet folded in, and the energies that gain-staging needs, in one pass.

.. math:: Y = (w H + 1 - w) U, \\quad E_{wet} = \\sum_k c_k |(H U)_{mid}|^2, \\quad E_{dry} = \\sum_k c_k |U_{mid}|^2

with Parseval's weights c, so that the energies are those of the signals in time (equation 5 of the pruning paper).
On the CPU forward and backward are one compiled pass each over memory; elsewhere they are tensor operations.
"""

from functools import lru_cache
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from graphmix.dsp.fft import parseval_weights

_BLOCK = 2048
"""Bins that one thread takes at a time: what it computes for them stays in the nearest caches."""

# Spectra are flat rows of (real, imag) pairs here, real responses rows of single numbers. Loops of few streams over
# flat rows are vectorized; a single loop over everything is not.


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _filter(u: np.ndarray, h: np.ndarray, v: np.ndarray) -> None:
    """v = h u."""
    if h.size == u.size:
        for k in range(u.size // 2):
            a, b, c, d = h[2 * k], h[2 * k + 1], u[2 * k], u[2 * k + 1]
            v[2 * k], v[2 * k + 1] = a * c - b * d, a * d + b * c
    else:
        for k in range(u.size // 2):
            v[2 * k], v[2 * k + 1] = h[k] * u[2 * k], h[k] * u[2 * k + 1]


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _mid_energy(left: np.ndarray, right: np.ndarray, c: np.ndarray) -> float:
    """Energy of the mid channel."""
    total = c.dtype.type(0)
    for k in range(c.size):
        total += c[k] * ((left[2 * k] + right[2 * k]) ** 2 + (left[2 * k + 1] + right[2 * k + 1]) ** 2)
    return total / 4


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _mid_gradient(left: np.ndarray, right: np.ndarray, c: np.ndarray, grad: float, out: np.ndarray) -> None:
    """Gradient of that energy, the same for both channels."""
    for k in range(c.size):
        out[2 * k] = grad * c[k] * (left[2 * k] + right[2 * k])
        out[2 * k + 1] = grad * c[k] * (left[2 * k + 1] + right[2 * k + 1])


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _mix(u: np.ndarray, v: np.ndarray, w: float, y: np.ndarray) -> None:
    for k in range(u.size):
        y[k] = u[k] + w * (v[k] - u[k])


@numba.njit(parallel=True, cache=True, fastmath=True, error_model="numpy")
def _forward(u: np.ndarray, h: np.ndarray, wet: np.ndarray, c: np.ndarray, y: np.ndarray, energy: np.ndarray) -> None:
    n, bins, blocks = u.shape[0], c.size, energy.shape[1]
    ratio = h.shape[2] // bins
    for job in numba.prange(n * blocks):
        i, block = job // blocks, job % blocks
        first, last = block * _BLOCK, min(bins, (block + 1) * _BLOCK)
        left, right = np.empty(2 * (last - first), u.dtype), np.empty(2 * (last - first), u.dtype)
        for channel, v in enumerate((left, right)):
            inside, response = u[i, channel, 2 * first : 2 * last], h[i, min(channel, h.shape[1] - 1)]
            _filter(inside, response[ratio * first : ratio * last], v)
            _mix(inside, v, wet[i], y[i, channel, 2 * first : 2 * last])
        energy[i, block, 0] = _mid_energy(left, right, c[first:last])
        energy[i, block, 1] = _mid_energy(u[i, 0, 2 * first : 2 * last], u[i, 1, 2 * first : 2 * last], c[first:last])


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _along(g: np.ndarray, u: np.ndarray, v: np.ndarray) -> float:
    """Gradient of the weight."""
    total = g.dtype.type(0)
    for k in range(g.size):
        total += g[k] * (v[k] - u[k])
    return total


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _filter_backward(
    u: np.ndarray,
    h: np.ndarray,
    g: np.ndarray,
    w: float,
    of_wet: np.ndarray,
    of_dry: np.ndarray,
    gu: np.ndarray,
    gh: np.ndarray,
) -> None:
    """Gradients of spectra and response, given those of the output and of both energies."""
    d = 1 - w
    if h.size == u.size:
        for k in range(u.size // 2):
            a, b = h[2 * k], h[2 * k + 1]
            p, q = w * g[2 * k] + of_wet[2 * k], w * g[2 * k + 1] + of_wet[2 * k + 1]
            gu[2 * k] = a * p + b * q + d * g[2 * k] + of_dry[2 * k]
            gu[2 * k + 1] = a * q - b * p + d * g[2 * k + 1] + of_dry[2 * k + 1]
            gh[2 * k] = p * u[2 * k] + q * u[2 * k + 1]
            gh[2 * k + 1] = q * u[2 * k] - p * u[2 * k + 1]
    else:
        for k in range(u.size // 2):
            p, q = w * g[2 * k] + of_wet[2 * k], w * g[2 * k + 1] + of_wet[2 * k + 1]
            gu[2 * k] = h[k] * p + d * g[2 * k] + of_dry[2 * k]
            gu[2 * k + 1] = h[k] * q + d * g[2 * k + 1] + of_dry[2 * k + 1]
            gh[k] = p * u[2 * k] + q * u[2 * k + 1]


@numba.njit(parallel=True, cache=True, fastmath=True, error_model="numpy")
def _backward(
    u: np.ndarray,
    h: np.ndarray,
    wet: np.ndarray,
    c: np.ndarray,
    gy: np.ndarray,
    ge: np.ndarray,
    gu: np.ndarray,
    gh: np.ndarray,
    gw: np.ndarray,
) -> None:
    n, bins, blocks = u.shape[0], c.size, gw.shape[1]
    ratio, channels = h.shape[2] // bins, h.shape[1]
    for job in numba.prange(n * blocks):
        i, block = job // blocks, job % blocks
        first, last = block * _BLOCK, min(bins, (block + 1) * _BLOCK)
        pairs, taps = slice(2 * first, 2 * last), slice(ratio * first, ratio * last)
        left, right = np.empty(2 * (last - first), u.dtype), np.empty(2 * (last - first), u.dtype)
        of_wet, of_dry = np.empty(2 * (last - first), u.dtype), np.empty(2 * (last - first), u.dtype)
        _filter(u[i, 0, pairs], h[i, 0, taps], left)
        _filter(u[i, 1, pairs], h[i, channels - 1, taps], right)
        _mid_gradient(left, right, c[first:last], ge[i, 0] / 2, of_wet)
        _mid_gradient(u[i, 0, pairs], u[i, 1, pairs], c[first:last], ge[i, 1] / 2, of_dry)
        gw[i, block] = _along(gy[i, 0, pairs], u[i, 0, pairs], left) + _along(gy[i, 1, pairs], u[i, 1, pairs], right)
        of_left = gh[i, 0, taps]
        of_right = gh[i, 1, taps] if channels == 2 else np.empty(of_left.size, u.dtype)
        _filter_backward(
            u[i, 0, pairs], h[i, 0, taps], gy[i, 0, pairs], wet[i], of_wet, of_dry, gu[i, 0, pairs], of_left
        )
        _filter_backward(
            u[i, 1, pairs], h[i, channels - 1, taps], gy[i, 1, pairs], wet[i], of_wet, of_dry, gu[i, 1, pairs], of_right
        )
        if channels == 1:
            for k in range(of_left.size):
                of_left[k] += of_right[k]


def _real(spectrum: Tensor) -> np.ndarray:
    """Rows of (real, imag) pairs, or of single numbers where the tensor is real."""
    spectrum = spectrum.detach().resolve_conj().contiguous()
    return (torch.view_as_real(spectrum).flatten(-2) if spectrum.is_complex() else spectrum).numpy()


class _ApplyResponse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, h: Tensor, wet: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        u, h = u.contiguous(), h.contiguous()
        blocks = -(-u.size(-1) // _BLOCK)
        y = torch.empty_like(u)
        energy = torch.zeros(u.size(0), blocks, 2, dtype=wet.dtype)
        arrays = _real(u), _real(h), wet.detach().contiguous().numpy(), weights.numpy()
        _forward(*arrays, _real(y), energy.numpy())
        ctx.save_for_backward(u, h, wet, weights)
        return y, energy.sum(1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        u, h, wet, weights = ctx.saved_tensors
        gy, ge = grads
        gu, gh = torch.empty_like(u), torch.empty_like(h)
        gw = torch.zeros(u.size(0), -(-u.size(-1) // _BLOCK), dtype=wet.dtype)
        _backward(
            _real(u),
            _real(h),
            wet.detach().contiguous().numpy(),
            weights.numpy(),
            _real(gy),
            ge.contiguous().numpy(),
            _real(gu),
            _real(gh),
            gw.numpy(),
        )
        return gu, gh, gw.sum(1), None


@lru_cache(maxsize=32)
def _weights(n_fft: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Parseval's weights, copied to a device once."""
    with torch.inference_mode(False):  # they outlive this call, and training may use them next
        return parseval_weights(n_fft).to(device, dtype)


def apply_response(u: Tensor, h: Tensor, wet: Tensor, n_fft: int) -> tuple[Tensor, Tensor]:
    """Filter spectra and mix with the dry ones.

    Args:
        u: spectra, [nodes, 2, bins].
        h: responses, real or complex, [nodes, 1 or 2, bins].
        wet: dry/wet weights, [nodes].
        n_fft: FFT length of the bins.

    Returns:
        The filtered spectra [nodes, 2, bins], and the energies (wet, dry) of the mid channel [nodes, 2].
    """
    wet = wet.to(u.real.dtype)
    weights = _weights(n_fft, wet.dtype, wet.device)
    if u.device.type == "cpu":
        return _ApplyResponse.apply(u, h, wet, weights)
    return apply_by_tensors(u, h, wet, weights)


def apply_by_tensors(u: Tensor, h: Tensor, wet: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The same by tensor operations, on any device."""
    v = u * h
    y = torch.lerp(torch.view_as_real(u), torch.view_as_real(v), wet[:, None, None, None])
    mids = torch.stack([v.mean(1), u.mean(1)], dim=1)
    energy = (torch.view_as_real(mids).square().sum(-1) * weights).sum(-1)
    return torch.view_as_complex(y), energy


@numba.njit(parallel=True, cache=True, fastmath=True, error_model="numpy")
def _filter_rows(u: np.ndarray, h: np.ndarray, wet: np.ndarray, rows: np.ndarray, y: np.ndarray) -> None:
    n, bins = u.shape[0], u.shape[2] // 2
    blocks = -(-bins // _BLOCK)
    ratio = h.shape[2] // bins
    for job in numba.prange(n * 2 * blocks):
        i, channel, block = job // (2 * blocks), job // blocks % 2, job % blocks
        first, last = block * _BLOCK, min(bins, (block + 1) * _BLOCK)
        inside, v = u[i, channel, 2 * first : 2 * last], np.empty(2 * (last - first), u.dtype)
        _filter(inside, h[rows[i], min(channel, h.shape[1] - 1), ratio * first : ratio * last], v)
        _mix(inside, v, wet[rows[i]], y[i, channel, 2 * first : 2 * last])


@torch.no_grad()
def filter_rows(u: Tensor, h: Tensor, wet: Tensor, rows: Tensor) -> Tensor:
    """Filter spectra by chosen responses and mix with the dry ones, without gradients or energies.

    Args:
        u: spectra, [pairs, 2, bins].
        h: responses, real or complex, [nodes, 1 or 2, bins].
        wet: dry/wet weights, [nodes].
        rows: which of the nodes filters each spectrum, [pairs].
    """
    wet = wet.to(u.real.dtype)
    if u.device.type != "cpu":
        return torch.lerp(torch.ones_like(h[:1]), h, wet[:, None, None].to(h.dtype))[rows] * u
    y = torch.empty_like(u)
    _filter_rows(_real(u), _real(h), wet.contiguous().numpy(), rows.numpy(), _real(y))
    return y
