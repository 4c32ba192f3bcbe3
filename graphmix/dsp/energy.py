"""Responses of unit energy, laid onto the circle of an FFT.

Conventions: a response is stereo, ``[nodes, 2, taps]``; its energy is the mean over left and right. On the CPU
scaling and laying out are one compiled pass, forward and backward; elsewhere they are tensor operations.
"""

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphmix.dsp.fft import place

ENERGY_FLOOR = 1e-20
"""Keeps the scale of a silent response finite."""


@numba.njit(parallel=True, cache=True, fastmath=True)
def _forward(taps: np.ndarray, center: int, scale: np.ndarray, circle: np.ndarray) -> None:
    nodes, _, count = taps.shape
    length = circle.shape[2]
    for i in numba.prange(nodes):
        energy = 0.0
        for channel in range(2):
            for t in range(count):
                energy += taps[i, channel, t] ** 2
        scale[i] = 1 / np.sqrt(energy / 2 + ENERGY_FLOOR)
        factor = scale[i]
        for channel in range(2):
            row, source = circle[i, channel], taps[i, channel]
            for t in range(count - center):
                row[t] = factor * source[center + t]
            row[count - center : length - center] = 0
            for t in range(center):
                row[length - center + t] = factor * source[t]


@numba.njit(parallel=True, cache=True, fastmath=True)
def _backward(taps: np.ndarray, center: int, scale: np.ndarray, grad: np.ndarray, grad_taps: np.ndarray) -> None:
    nodes, _, count = taps.shape
    length = grad.shape[2]
    for i in numba.prange(nodes):
        along = 0.0
        for channel in range(2):
            row, source = grad[i, channel], taps[i, channel]
            for t in range(count - center):
                along += row[t] * source[center + t]
            for t in range(center):
                along += row[length - center + t] * source[t]
        factor = scale[i]
        pull = taps.dtype.type(factor**3 * along / 2)
        gain = taps.dtype.type(factor)
        for channel in range(2):
            row, source, out = grad[i, channel], taps[i, channel], grad_taps[i, channel]
            for t in range(count - center):
                out[center + t] = gain * row[t] - pull * source[center + t]
            for t in range(center):
                out[t] = gain * row[length - center + t] - pull * source[t]


class _UnitEnergy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, taps: Tensor, center: int, length: int) -> Tensor:
        taps = taps.contiguous()
        circle = taps.new_empty(*taps.shape[:2], length)
        scale = taps.new_empty(taps.size(0))
        _forward(taps.numpy(), center, scale.numpy(), circle.numpy())
        ctx.save_for_backward(taps, scale)
        ctx.center = center
        return circle

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        taps, scale = ctx.saved_tensors
        grad_taps = torch.empty_like(taps)
        arrays = scale.numpy(), grads[0].contiguous().numpy(), grad_taps.numpy()
        _backward(taps.numpy(), ctx.center, *arrays)
        return grad_taps, None, None


def by_tensors(taps: Tensor, center: int, length: int) -> Tensor:
    """The same by tensor operations, on any device."""
    energy = taps.square().sum(dim=(1, 2), keepdim=True) / 2
    return place(taps * (energy + ENERGY_FLOOR).rsqrt(), center, length)


def unit_energy(taps: Tensor, center: int = 0, length: int | None = None) -> Tensor:
    """Scale stereo responses so that the energies of left and right have mean 1, and lay them onto a circle.

    Args:
        taps: [nodes, 2, taps].
        center: index of time zero, which comes first on the circle.
        length: samples of the circle; as many as there are taps if not given.

    Shape:
        [nodes, 2, length]

    Raises:
        ValueError: the circle is shorter than the response.
    """
    length = taps.size(-1) if length is None else length
    if taps.size(-1) > length:
        raise ValueError(f"{taps.size(-1)} taps do not fit onto a circle of {length} samples")
    if taps.device.type == "cpu":
        return _UnitEnergy.apply(taps, center, length)
    return by_tensors(taps, center, length)
