r"""Frequency response of second-order sections in a row, at the bins of an FFT.

.. math:: H(\omega) = \prod_k \frac{b_0 + b_1 z^{-1} + b_2 z^{-2}}{1 + a_1 z^{-1} + a_2 z^{-2}}, \quad z = e^{j \omega}

The inverse FFT of such a sampled response is the impulse response, infinitely long, wrapped around the FFT's length:
what rings on beyond it comes back at its beginning. A pole of radius r is :math:`r^N` of its first amplitude there.

On the CPU forward and backward are compiled loops in float64, some hundred bins at a time; elsewhere tensor operations.
"""

import math
from functools import lru_cache
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

_BLOCK = 256
"""Bins that are computed at a time, from end to end of the row of sections."""


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _section(
    c: np.ndarray, cosine: np.ndarray, sine: np.ndarray, re: np.ndarray, im: np.ndarray, inverse: np.ndarray
) -> None:
    """One section, and one over its denominator [2, bins]."""
    b0, b1, b2, a1, a2 = c[0], c[1], c[2], c[3], c[4]
    for n in range(cosine.size):
        x, y = cosine[n], -sine[n]
        x2, y2 = x * x - y * y, 2.0 * x * y
        den_re, den_im = 1.0 + a1 * x + a2 * x2, a1 * y + a2 * y2
        scale = 1.0 / (den_re * den_re + den_im * den_im)
        inv_re, inv_im = den_re * scale, -den_im * scale
        num_re, num_im = b0 + b1 * x + b2 * x2, b1 * y + b2 * y2
        inverse[0, n], inverse[1, n] = inv_re, inv_im
        re[n], im[n] = num_re * inv_re - num_im * inv_im, num_re * inv_im + num_im * inv_re


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _times(a: np.ndarray, re: np.ndarray, im: np.ndarray, out: np.ndarray) -> None:
    """Complex product, [2, bins]; ``out`` may be ``a``."""
    for n in range(re.size):
        first, second = a[0, n] * re[n] - a[1, n] * im[n], a[0, n] * im[n] + a[1, n] * re[n]
        out[0, n], out[1, n] = first, second


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _forward(c: np.ndarray, cosine: np.ndarray, sine: np.ndarray, h: np.ndarray) -> None:
    """``h`` [nodes, bins, 2]."""
    bins, sections = cosine.size, c.shape[1]
    blocks = -(-bins // _BLOCK)
    for job in numba.prange(c.shape[0] * blocks):
        i, first = job // blocks, job % blocks * _BLOCK
        last = min(bins, first + _BLOCK)
        own, inverse, total = np.empty((2, last - first)), np.empty((2, last - first)), np.zeros((2, last - first))
        total[0] = 1.0
        for k in range(sections):
            _section(c[i, k], cosine[first:last], sine[first:last], own[0], own[1], inverse)
            _times(total, own[0], own[1], total)
        for n in range(last - first):
            h[i, first + n, 0], h[i, first + n, 1] = total[0, n], total[1, n]


@numba.njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})
def _add_gradients(
    given: np.ndarray, own: np.ndarray, inverse: np.ndarray, cosine: np.ndarray, sine: np.ndarray, to: np.ndarray
) -> None:
    """``given``: gradient of this section's response, [2, bins]; added to that of its numbers."""
    b0, b1, b2, a1, a2 = 0.0, 0.0, 0.0, 0.0, 0.0
    for n in range(cosine.size):
        x, y = cosine[n], -sine[n]
        x2, y2 = x * x - y * y, 2.0 * x * y
        # conj(given) / denominator
        p = given[0, n] * inverse[0, n] + given[1, n] * inverse[1, n]
        q = given[0, n] * inverse[1, n] - given[1, n] * inverse[0, n]
        b0 += p
        b1 += p * x - q * y
        b2 += p * x2 - q * y2
        u, v = p * own[0, n] - q * own[1, n], p * own[1, n] + q * own[0, n]
        a1 += u * x - v * y
        a2 += u * x2 - v * y2
    to[0] += b0
    to[1] += b1
    to[2] += b2
    to[3] -= a1
    to[4] -= a2


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _pass_back(given: np.ndarray, re: np.ndarray, im: np.ndarray, out: np.ndarray) -> None:
    """Gradient of one factor of a product, given that of the product: times the conjugate of the other."""
    for n in range(re.size):
        first, second = given[0, n] * re[n] + given[1, n] * im[n], given[1, n] * re[n] - given[0, n] * im[n]
        out[0, n], out[1, n] = first, second


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _backward(c: np.ndarray, cosine: np.ndarray, sine: np.ndarray, grad: np.ndarray, to: np.ndarray) -> None:
    bins, sections = cosine.size, c.shape[1]
    for i in numba.prange(c.shape[0]):
        own, inverse = np.empty((sections, 2, _BLOCK)), np.empty((sections, 2, _BLOCK))
        before = np.empty((sections, 2, _BLOCK))  # product of the sections before each
        given, factor = np.empty((2, _BLOCK)), np.empty((2, _BLOCK))
        for first in range(0, bins, _BLOCK):
            last = min(bins, first + _BLOCK)
            m = last - first
            for k in range(sections):
                _section(c[i, k], cosine[first:last], sine[first:last], own[k, 0, :m], own[k, 1, :m], inverse[k, :, :m])
                if k == 0:
                    before[0, 0], before[0, 1] = 1.0, 0.0
                else:
                    _times(before[k - 1, :, :m], own[k - 1, 0, :m], own[k - 1, 1, :m], before[k, :, :m])
            for n in range(m):
                given[0, n], given[1, n] = grad[i, first + n, 0], grad[i, first + n, 1]
            for k in range(sections - 1, -1, -1):
                _pass_back(given[:, :m], before[k, 0, :m], before[k, 1, :m], factor[:, :m])
                parts = own[k, :, :m], inverse[k, :, :m], cosine[first:last], sine[first:last]
                _add_gradients(factor[:, :m], parts[0], parts[1], parts[2], parts[3], to[i, k])
                _pass_back(given[:, :m], own[k, 0, :m], own[k, 1, :m], given[:, :m])


@lru_cache(maxsize=16)
def _circle(n_fft: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cosine and sine of the frequencies of an FFT's bins."""
    turns = np.arange(n_fft // 2 + 1) * (2 * math.pi / n_fft)
    return np.cos(turns), np.sin(turns)


class _Response(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, sections: Tensor, n_fft: int) -> Tensor:
        sections = sections.detach().contiguous()
        h = sections.new_empty(sections.size(0), n_fft // 2 + 1, 2)
        _forward(sections.numpy(), *_circle(n_fft), h.numpy())
        ctx.save_for_backward(sections)
        ctx.n_fft = n_fft
        return torch.view_as_complex(h)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (sections,) = ctx.saved_tensors
        to = torch.zeros_like(sections)
        given = torch.view_as_real(grad.resolve_conj().contiguous()).contiguous()
        _backward(sections.numpy(), *_circle(ctx.n_fft), given.numpy(), to.numpy())
        return to, None


def section_response(sections: Tensor, n_fft: int) -> Tensor:
    """Response at ``n_fft // 2 + 1`` bins, complex128 [nodes, bins].

    Args:
        sections: b0, b1, b2, a1, a2 of each, float64 [nodes, sections, 5].
        n_fft: length of the FFT.
    """
    if sections.device.type == "cpu":
        result = _Response.apply(sections, n_fft)
        assert isinstance(result, Tensor)
        return result
    turns = torch.arange(n_fft // 2 + 1, device=sections.device) * (2 * math.pi / n_fft)
    z = torch.polar(torch.ones_like(turns, dtype=torch.float64), -turns.double())
    b, a = sections[..., :3, None], sections[..., 3:, None]
    numerator = b[..., 0, :] + b[..., 1, :] * z + b[..., 2, :] * z**2
    denominator = 1 + a[..., 0, :] * z + a[..., 1, :] * z**2
    return (numerator / denominator).prod(dim=1)
