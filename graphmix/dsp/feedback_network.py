r"""Feedback delay networks: lines of different lengths that feed each other through an orthogonal matrix.

.. math::
    s_i[n] = w_i[n - m_i], \quad w_i[n] = x_i[n] + \sum_j A_{ij} f_j[n] \\
    f_i[n] = b_{0,i} \, s_i[n] + b_{1,i} \, s_i[n - 1] - a_{1,i} \, f_i[n - 1]

after Jot and Chaigne, "Digital delay networks for designing artificial reverberators" (1991). Here the responses of all
lines to an impulse, for linear combinations of which any input and output gains are enough:

* :func:`line_responses`: the recursion itself, exact, as a compiled loop forward and backward, in float64;
* :func:`sampled_responses`: the transfer functions at the bins of an FFT, by tensor operations on any device,

.. math:: S(z) = \big(D(z)^{-1} - A F(z)\big)^{-1} x, \quad D = \mathrm{diag}(z^{-m_i})

Sampling in frequency is aliasing in time: what sounds after the FFT's length comes back at its beginning. A network
that falls by 60 dB in T seconds has fallen by 60 L / T dB after a length of L seconds, which is the level of that.

A matrix is orthogonal and no filter louder than 1 at any frequency, so that every network is stable.
"""

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _forward(
    x: np.ndarray, matrix: np.ndarray, lengths: np.ndarray, filters: np.ndarray, s: np.ndarray, f: np.ndarray
) -> None:
    """``s`` and ``f`` [nodes, samples, lines]: what comes out of the lines, and of their filters."""
    lines = lengths.size
    longest = lengths.max()
    for i in numba.prange(filters.shape[0]):
        w = np.zeros((longest, lines))  # a ring: sample n in row n % longest
        for n in range(s.shape[1]):
            for j in range(lines):
                b0, b1, a1 = filters[i, j, 0], filters[i, j, 1], filters[i, j, 2]
                now = w[(n - lengths[j]) % longest, j] if n >= lengths[j] else 0.0
                s[i, n, j] = now
                f[i, n, j] = b0 * now + (b1 * s[i, n - 1, j] - a1 * f[i, n - 1, j] if n > 0 else 0.0)
            row = w[n % longest]
            for j in range(lines):
                total = x[j] if n == 0 else 0.0
                for k in range(lines):
                    total += matrix[j, k] * f[i, n, k]
                row[j] = total


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _backward(
    grad: np.ndarray, matrix: np.ndarray, lengths: np.ndarray, filters: np.ndarray, s: np.ndarray, f: np.ndarray,
    to: np.ndarray,
) -> None:  # fmt: skip
    lines, samples = lengths.size, s.shape[1]
    longest = lengths.max()
    for i in numba.prange(filters.shape[0]):
        of_s = np.zeros((longest, lines))  # a ring of gradients by what comes out of the lines
        later = np.zeros(lines)  # gradients by the filters' outputs one sample later
        for n in range(samples - 1, -1, -1):
            for j in range(lines):
                b0, b1, a1 = filters[i, j, 0], filters[i, j, 1], filters[i, j, 2]
                of_f = -a1 * later[j]
                for k in range(lines):
                    if n + lengths[k] < samples:
                        of_f += matrix[k, j] * of_s[(n + lengths[k]) % longest, k]
                to[i, j, 0] += of_f * s[i, n, j]
                if n > 0:
                    to[i, j, 1] += of_f * s[i, n - 1, j]
                    to[i, j, 2] -= of_f * f[i, n - 1, j]
                f[i, n, j] = (
                    grad[i, n, j] + b0 * of_f + b1 * later[j]
                )  # no longer needed: the gradient by s takes its place
                later[j] = of_f
            row = of_s[n % longest]
            for j in range(lines):
                row[j] = f[i, n, j]


class _Lines(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, filters: Tensor, x: Tensor, matrix: Tensor, lengths: Tensor, samples: int) -> Tensor:
        filters = filters.detach().contiguous()
        s, f = (torch.empty(len(filters), samples, len(lengths), dtype=torch.float64) for _ in range(2))
        _forward(*(t.numpy() for t in (x, matrix, lengths, filters, s, f)))
        ctx.save_for_backward(filters, matrix, lengths, s, f)
        return s

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        filters, matrix, lengths, s, f = ctx.saved_tensors
        to = torch.zeros_like(filters)
        _backward(*(t.numpy() for t in (grad.contiguous(), matrix, lengths, filters, s, f.clone(), to)))
        return to, None, None, None, None


def line_responses(filters: Tensor, x: Tensor, matrix: Tensor, lengths: Tensor, samples: int) -> Tensor:
    """What comes out of the lines after an impulse, by the recursion.

    Args:
        filters: b0, b1 and a1 of each line, float64 [nodes, lines, 3].
        x: how much of the impulse goes into each line, float64 [lines].
        matrix: A, orthogonal, float64 [lines, lines].
        lengths: m, whole samples from 1 on, int64 [lines].
        samples: how many.

    Returns:
        Float64 [nodes, lines, samples], with a gradient of the filters; on the CPU.
    """
    responses = _Lines.apply(filters, x, matrix, lengths, samples)
    assert isinstance(responses, Tensor)
    return responses.mT


def sampled_responses(filters: Tensor, x: Tensor, matrix: Tensor, lengths: Tensor, n_fft: int) -> Tensor:
    """Transfer functions of the same at the bins of an FFT, complex128 [nodes, lines, n_fft // 2 + 1].

    Args:
        filters, x, matrix, lengths: as of :func:`line_responses`, on any device.
        n_fft: what lasts longer is aliased in time.
    """
    bins = torch.arange(n_fft // 2 + 1, device=filters.device)
    turns = (torch.outer(bins, lengths.to(bins)) % n_fft).double() * (2 * torch.pi / n_fft)
    back = torch.polar(torch.ones_like(turns), turns)  # z ** m
    one = turns.new_tensor(2 * torch.pi / n_fft) * bins
    late = torch.polar(torch.ones_like(one), -one)[:, None]
    b0, b1, a1 = filters[:, None].unbind(-1)
    gains = (b0 + b1 * late) / (1 + a1 * late)
    system = torch.diag_embed(back) - matrix * gains[:, :, None, :]
    right = x.to(system).expand(*system.shape[:2], -1)
    return torch.linalg.solve(system, right).mT


def hadamard(lines: int) -> Tensor:
    """The orthogonal matrix that mixes all lines equally, float64 [lines, lines]; a power of two of them.

    Example:
        >>> hadamard(2).mul(2**0.5).round().tolist()
        [[1.0, 1.0], [1.0, -1.0]]
    """
    matrix = torch.ones(1, 1, dtype=torch.float64)
    step = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64)
    while len(matrix) < lines:
        matrix = torch.kron(matrix, step)
    return matrix / len(matrix) ** 0.5


def next_prime(least: int) -> int:
    """The smallest prime number from ``least`` on: lengths that share no factor make echoes that do not fall together.

    Example:
        >>> next_prime(663), next_prime(2)
        (673, 2)
    """
    number = max(least, 2)
    while any(number % d == 0 for d in range(2, int(number**0.5) + 1)):
        number += 1
    return number
