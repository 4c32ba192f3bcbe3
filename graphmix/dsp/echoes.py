r"""Filtered echoes at whole samples, with a surrogate gradient for their delays (equations 24 to 26 of the paper).

Each tap has a segment of S samples for itself; its delay is the angle of a complex number z. The surrogate of
:math:`\delta[n - d]` is the inverse FFT of :math:`z^k`, k = 0 to S / 2, over the segment; the tap's filter acts
circularly within it. With the gradient g, filtered, and :math:`w = e^{-2 \pi i / S}` the slope by z is

.. math:: \sum_{k=1}^{K} k \bar z^{k-1} \sum_n g[n] w^{nk} = \sum_n g[n]\, w^n D(\bar z w^n), \quad
    D(q) = \sum_{k=1}^{K} k q^{k-1} = \frac{1 - (K + 1) q^K + K q^{K+1}}{(1 - q)^2}, \quad K = S / 2

On the CPU it is computed in the closed form, in one pass over time and in float64; elsewhere over frequencies.
"""

import math
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

RADIUS_PULL = 0.01
"""gamma of equation 26."""
_NEAR_ONE = 1e-12
"""Where ``|1 - q| ** 2`` is less, D(q) is its tangent at 1: the closed form would divide rounding errors."""


@numba.njit(parallel=True, cache=True, fastmath=True)
def _forward(filters: np.ndarray, shift: np.ndarray, response: np.ndarray) -> None:
    rows, taps, width = filters.shape
    for row in numba.prange(rows):
        out = response[row]
        out[:] = 0
        for tap in range(taps):
            at = shift[row, tap]
            for t in range(width):
                out[at + t] += filters[row, tap, t]


@numba.njit(cache=True, fastmath=True)
def _convolve(padded: np.ndarray, taps: np.ndarray, out: np.ndarray) -> None:
    """Filter with an odd number of symmetric taps: ``out[n] = sum(taps[j] * padded[n + j])``."""
    half, count = len(taps) // 2, len(out)
    gain, middle = taps[half], padded[half : half + count]
    for n in range(count):
        out[n] = gain * middle[n]
    for j in range(half):
        last = 2 * half - j
        gain, left, right = taps[j], padded[j : j + count], padded[last : last + count]
        for n in range(count):
            out[n] += gain * (left[n] + right[n])


@numba.njit(cache=True, fastmath=True, error_model="numpy")
def _slope(signal: np.ndarray, zr: float, zi: float, turn: np.ndarray) -> tuple[float, float]:
    """Sum of ``signal[n] * w ** n * D(conj(z) * w ** n)``; turn [2, S] is w."""
    half = len(signal) // 2
    power, angle = math.hypot(zr, zi) ** half, -half * math.atan2(zi, zr)
    pr, pi = power * math.cos(angle), power * math.sin(angle)
    flat, steep = half * (half + 1) / 2, (half - 1) * half * (half + 1) / 3
    real, imag = 0.0, 0.0
    cosine, sine = turn[0], turn[1]
    for n in range(len(signal)):
        wr, wi = cosine[n], sine[n]
        dr, di = 1 - (zr * wr + zi * wi), zi * wr - zr * wi  # 1 - q
        # q ** half is (-1) ** n * conj(z) ** half; the numerator 1 - q ** half * (1 + half * (1 - q))
        sign = 1.0 - 2.0 * (n & 1)
        sr, si = sign * (1 + half * dr), sign * half * di
        ar, ai = 1 - (pr * sr - pi * si), -(pr * si + pi * sr)
        square = dr * dr + di * di
        near = square < _NEAR_ONE
        scale = 1 / (1.0 if near else square * square)
        er, ei = scale * (dr * dr - di * di), -2 * scale * dr * di  # 1 / (1 - q) ** 2
        fr = flat - steep * dr if near else ar * er - ai * ei
        fi = -steep * di if near else ar * ei + ai * er
        real += signal[n] * (wr * fr - wi * fi)
        imag += signal[n] * (wr * fi + wi * fr)
    return real, imag


@numba.njit(parallel=True, cache=True, fastmath=True)
def _backward(
    grad: np.ndarray,
    filters: np.ndarray,
    shift: np.ndarray,
    z: np.ndarray,
    turn: np.ndarray,
    grad_filters: np.ndarray,
    slope: np.ndarray,
) -> None:
    rows, taps, width = filters.shape
    half, segment = width // 2, turn.shape[1]
    for row in numba.prange(rows):
        padded, filtered = np.empty(segment + width - 1, grad.dtype), np.empty(segment, grad.dtype)
        for tap in range(taps):
            at = shift[row, tap]
            grad_filters[row, tap] = grad[row, at : at + width]
            window = grad[row, half + tap * segment : half + (tap + 1) * segment]
            padded[half : half + segment] = window
            padded[:half] = window[segment - half :]
            padded[half + segment :] = window[:half]
            _convolve(padded, filters[row, tap], filtered)
            slope[row, tap, 0], slope[row, tap, 1] = _slope(filtered, z[row, tap, 0], z[row, tap, 1], turn)


class _Echoes(torch.autograd.Function):
    """Rows of taps: z [rows, taps, (real, imag)], filters [rows, taps, F] -> [rows, taps * segment + F - 1]."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, filters: Tensor, segment: int) -> Tensor:
        filters, shift = filters.contiguous(), _shifts(z, segment)
        response = filters.new_empty(len(z), z.size(1) * segment + filters.size(-1) - 1)
        _forward(filters.numpy(), shift.numpy(), response.numpy())
        ctx.save_for_backward(z, filters, shift)
        ctx.segment = segment
        return response

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        z, filters, shift = ctx.saved_tensors
        angle = torch.arange(ctx.segment, dtype=torch.float64) * (-2 * math.pi / ctx.segment)
        turn = torch.stack([angle.cos(), angle.sin()])
        grad_filters, slope = torch.empty_like(filters), torch.empty(z.shape, dtype=torch.float64)
        results = grad_filters.numpy(), slope.numpy()
        known = grads[0].contiguous(), filters, shift, z.double().contiguous(), turn
        _backward(*[tensor.numpy() for tensor in known], *results)
        return _descent(z, slope), grad_filters, None


class _EchoesByTensors(torch.autograd.Function):
    """The same by tensor operations, on any device."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, filters: Tensor, segment: int) -> Tensor:
        rows, taps, width = filters.shape
        index = _shifts(z, segment)[..., None] + torch.arange(width, device=z.device)
        response = filters.new_zeros(rows, taps * segment + width - 1)
        response.scatter_add_(1, index.flatten(1), filters.flatten(1))
        ctx.save_for_backward(z, filters, index)
        ctx.segment = segment
        return response

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        z, filters, index = ctx.saved_tensors
        grad, segment = grads[0], ctx.segment
        taps, width = filters.shape[1:]
        grad_filters = grad.gather(1, index.flatten(1)).view_as(filters)
        half = width // 2
        windows = grad[..., half : half + taps * segment].unflatten(-1, (taps, segment))
        centered = torch.zeros_like(windows)
        centered[..., : width - half] = filters[..., half:]
        centered[..., segment - half :] = filters[..., :half]
        spectrum = torch.fft.rfft(windows) * torch.fft.rfft(centered).real
        point = torch.view_as_complex(z.contiguous())
        slope = (_power_series(point.conj(), spectrum.size(-1)) * spectrum).sum(-1)
        return _descent(z, torch.view_as_real(slope)), grad_filters, None


def _shifts(z: Tensor, segment: int) -> Tensor:
    """First sample of each tap's filter, [rows, taps]."""
    turn = (-torch.atan2(z[..., 1], z[..., 0]) / (2 * math.pi)) % 1.0
    place = turn * segment
    # A delay at the very start of its segment may come back from its angle as just below a full turn.
    shift = torch.where(place > segment - 0.02, 0, place.round()).long().clamp(max=segment - 1)
    return shift + segment * torch.arange(z.size(-2), device=z.device)


def _descent(z: Tensor, slope: Tensor) -> Tensor:
    """Equation 26: the slope's direction, and a pull of the radius towards 1; [.., (real, imag)]."""
    steepness = slope.norm(dim=-1, keepdim=True)
    direction = torch.where(steepness > 0, slope / steepness.clamp(min=1e-30), 0)
    radius = z.norm(dim=-1, keepdim=True)
    return direction.to(z.dtype) + RADIUS_PULL * (radius - 1) * z / radius.clamp(min=1e-12)


def _power_series(z: Tensor, count: int) -> Tensor:
    """``k * z ** (k - 1)`` for k = 0 to count - 1, [..., count], by an outer product of small powers."""
    step = math.isqrt(count) + 1
    small = torch.cumprod(torch.cat([torch.ones_like(z)[..., None], z[..., None].expand(*z.shape, step)], -1), -1)
    large = torch.cumprod(
        torch.cat([torch.ones_like(z)[..., None], small[..., step:].expand(*z.shape, step - 1)], -1), -1
    )
    powers = (large[..., :, None] * small[..., None, :step]).flatten(-2)[..., : count - 1]
    k = torch.arange(1, count, device=z.device, dtype=powers.real.dtype)
    return torch.nn.functional.pad(powers * k, (1, 0))


def echoes(z: Tensor, filters: Tensor, segment: int) -> Tensor:
    """Sum of filters shifted by whole samples; the gradient of the shifts is the surrogate's.

    Args:
        z: real and imaginary part for each tap; its angle, clockwise, is the delay within the tap's segment,
            [nodes, channels, taps, 2].
        filters: symmetric, an odd number F of values each, [nodes, channels, taps, F].
        segment: samples from one tap's segment to the next, even.

    Shape:
        [nodes, channels, taps * segment + F - 1]; the segments begin at sample F // 2.
    """
    function = _Echoes if z.device.type == "cpu" else _EchoesByTensors
    return function.apply(z.flatten(0, 1), filters.flatten(0, 1), segment).unflatten(0, z.shape[:2])
