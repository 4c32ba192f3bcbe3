r"""Real frequency responses of symmetric filters that are much shorter than the FFT.

With :math:`N = R M`, M at least the number of taps, the bins :math:`k = r + R m` of one residue r are an FFT of length
M of the modulated taps:

.. math:: H[r + R m] = \sum_n h[n]\, w_N^{rn}\, w_M^{mn}

Since h is real and symmetric, H is real and residue R - r mirrors residue r: half of the residues are enough, and two
of them are real and imaginary part of one FFT. In all that is half the work of a real FFT of length N, in pieces that
fit a cache. On the CPU only; elsewhere it is one real FFT.
"""

from functools import lru_cache
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphmix.dsp.fft import place, rfft


@numba.njit(parallel=True, cache=True, fastmath=True)
def _interleave(pairs: np.ndarray, residues: int, response: np.ndarray) -> None:
    """Residues, two in each of pairs [nodes, pairs, M, 2], to bins in their order, [nodes, bins]."""
    nodes, bins = response.shape
    length, rows = pairs.shape[2], -(-bins // residues)
    for job in numba.prange(nodes * rows):
        i, m = job // rows, job % rows
        out = response[i, m * residues : (m + 1) * residues]
        own, mirrored = pairs[i, :, m], pairs[i, :, length - 1 - m]
        direct = min(len(out), residues // 2 + 1)
        for r in range(direct):
            out[r] = own[r >> 1, r & 1]
        for r in range(direct, len(out)):
            out[r] = mirrored[(residues - r) >> 1, (residues - r) & 1]


@numba.njit(parallel=True, cache=True, fastmath=True)
def _interleave_backward(grad: np.ndarray, residues: int, pairs: np.ndarray) -> None:
    nodes, bins = grad.shape
    length = pairs.shape[2]
    for job in numba.prange(nodes * length):
        i, m = job // length, job % length
        own, first = pairs[i, :, m], residues * m
        own[:] = 0
        direct = min(max(bins - first, 0), residues // 2 + 1)
        for r in range(direct):
            own[r >> 1, r & 1] = grad[i, first + r]
        for r in range(max(direct, 1), (residues + 1) // 2):
            own[r >> 1, r & 1] = grad[i, residues * length - first - r]


@numba.njit(parallel=True, cache=True, fastmath=True)
def _modulate(taps: np.ndarray, carriers: np.ndarray, pairs: np.ndarray) -> None:
    """Taps [nodes, T] on the carriers [pairs, T, 2] of each pair, around time zero on circles: [nodes, pairs, M, 2]."""
    nodes, count = taps.shape
    width, length, half = carriers.shape[0], pairs.shape[2], count // 2
    for job in numba.prange(nodes * width):
        i, pair = job // width, job % width
        out = pairs[i, pair]
        out[count - half : length - half] = 0
        for n in range(half, count):
            out[n - half, 0] = taps[i, n] * carriers[pair, n, 0]
            out[n - half, 1] = taps[i, n] * carriers[pair, n, 1]
        for n in range(half):
            out[length - half + n, 0] = taps[i, n] * carriers[pair, n, 0]
            out[length - half + n, 1] = taps[i, n] * carriers[pair, n, 1]


@numba.njit(parallel=True, cache=True, fastmath=True)
def _modulate_backward(pairs: np.ndarray, carriers: np.ndarray, grad: np.ndarray) -> None:
    nodes, count = grad.shape
    length, half = pairs.shape[2], count // 2
    for i in numba.prange(nodes):
        grad[i] = 0
        for pair in range(len(carriers)):
            source, carrier = pairs[i, pair], carriers[pair]
            for n in range(half, count):
                grad[i, n] += source[n - half, 0] * carrier[n, 0] + source[n - half, 1] * carrier[n, 1]
            for n in range(half):
                at = length - half + n
                grad[i, n] += source[at, 0] * carrier[n, 0] + source[at, 1] * carrier[n, 1]


def _piece(taps: int, n_fft: int) -> int:
    """M: the least divisor of ``n_fft`` into which the taps fit."""
    return next(n_fft // r for r in range(n_fft // taps, 0, -1) if n_fft % r == 0)


@lru_cache(maxsize=16)
def _carriers(taps: int, n_fft: int, dtype: torch.dtype) -> Tensor:
    """Two carriers in one, ``w ** (r n) + 1j * w ** ((r + 1) n)`` for even residues r, [pairs, taps, (real, imag)]."""
    pairs = n_fft // _piece(taps, n_fft) // 4 + 1
    turn = (torch.arange(taps) - taps // 2) * torch.tensor(-2 * np.pi / n_fft, dtype=torch.float64)
    residue = 2 * torch.arange(pairs)[:, None]
    unit = torch.ones((), dtype=torch.float64)
    carriers = torch.polar(unit, residue * turn) + 1j * torch.polar(unit, (residue + 1) * turn)
    return torch.view_as_real(carriers).to(dtype)


class _Response(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, taps: Tensor, n_fft: int) -> Tensor:
        nodes, count = taps.shape
        carriers, length = _carriers(count, n_fft, taps.dtype), _piece(count, n_fft)
        pairs = taps.new_empty(nodes, len(carriers), length, dtype=taps.dtype.to_complex())
        _modulate(taps.contiguous().numpy(), carriers.numpy(), torch.view_as_real(pairs).numpy())
        response = taps.new_empty(nodes, n_fft // 2 + 1)
        spectra = torch.view_as_real(torch.fft.fft(pairs))
        _interleave(spectra.numpy(), n_fft // length, response.numpy())
        ctx.sizes = count, n_fft
        return response

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        count, n_fft = ctx.sizes
        grad = grads[0].contiguous()
        carriers, length = _carriers(count, n_fft, grad.dtype), _piece(count, n_fft)
        pairs = grad.new_empty(len(grad), len(carriers), length, dtype=grad.dtype.to_complex())
        _interleave_backward(grad.numpy(), n_fft // length, torch.view_as_real(pairs).numpy())
        signals = torch.view_as_real(torch.fft.ifft(pairs, norm="forward"))
        grad_taps = grad.new_empty(len(grad), count)
        _modulate_backward(signals.numpy(), carriers.numpy(), grad_taps.numpy())
        return grad_taps, None


def zero_phase_response(taps: Tensor, n_fft: int) -> Tensor:
    """Frequency response of symmetric filters with time zero in the middle.

    Args:
        taps: an odd number T of them, the same from both ends, [..., T].
        n_fft: FFT length of the bins.

    Shape:
        real, [..., n_fft // 2 + 1]

    Raises:
        ValueError: more taps than ``n_fft``.
    """
    if taps.size(-1) > n_fft:
        raise ValueError(f"{taps.size(-1)} taps do not fit into n_fft = {n_fft}")
    if taps.device.type == "cpu":
        return _Response.apply(taps.flatten(0, -2), n_fft).unflatten(0, taps.shape[:-1])
    return by_tensors(taps, n_fft)


def by_tensors(taps: Tensor, n_fft: int) -> Tensor:
    """The same by tensor operations, on any device."""
    return rfft(place(taps, taps.size(-1) // 2, n_fft), n_fft).real
