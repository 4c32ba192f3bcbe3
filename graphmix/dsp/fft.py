"""Real FFTs whose backward pass is one real FFT, and lengths at which FFTs are fast.

PyTorch differentiates ``rfft`` by a full complex transform of a padded gradient. For a real signal the same
gradient is one ``irfft`` with the inner bins halved (and the other way round for ``irfft``), several times faster.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

_LEAST_POWER_OF_TWO = 6
"""Long FFTs are up to 1.5 times slower where the length holds hardly any factor 2, such as 4 * 3 ** 10."""


def good_length(minimum: int) -> int:
    """Smallest length of at least ``minimum`` that is fast: no prime factor above 5, and a multiple of 64 where long.

    Example:
        >>> good_length(114001), good_length(236000), good_length(90)
        (115200, 240000, 90)
    """
    least_twos = _LEAST_POWER_OF_TWO if minimum > 4096 else 1
    best = 1 << max(minimum - 1, 1).bit_length()
    five = 1
    while five < best:
        three = five
        while three < best:
            twos = max(least_twos, (-(-minimum // three) - 1).bit_length())
            if minimum <= three << twos < best:
                best = three << twos
            three *= 3
        five *= 5
    return best


def _edges(n_fft: int) -> slice:
    """The bins that stand for themselves alone: DC, and Nyquist for an even length; the others stand for two."""
    return slice(None, None, n_fft // 2) if n_fft % 2 == 0 else slice(0, 1)


def _unroll(circle: Tensor, start: int, length: int) -> Tensor:
    """``length`` samples of a circle, from ``start`` samples before time zero on."""
    if start == 0:
        return circle[..., :length]
    return torch.cat([circle[..., circle.size(-1) - start :], circle[..., : length - start]], dim=-1)


class _Rfft(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, signal: Tensor, n_fft: int, start: int) -> Tensor:
        ctx.sizes = signal.size(-1), n_fft, start
        return torch.fft.rfft(place(signal, start, n_fft) if start else signal, n=n_fft)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        # irfft counts inner bins twice. Halving its result and adding the edges' other half costs less than halving
        # the bins of a copy: a signal is shorter than the transform.
        length, n_fft, start = ctx.sizes
        signal = _unroll(torch.fft.irfft(grads[0], n=n_fft, norm="forward"), start, length).mul_(0.5)
        edges = grads[0][..., _edges(n_fft)].real / 2
        signal += edges[..., :1]
        if n_fft % 2 == 0:
            signal[..., start % 2 :: 2] += edges[..., 1:]
            signal[..., 1 - start % 2 :: 2] -= edges[..., 1:]
        return signal, None, None


class _Irfft(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, spectrum: Tensor, n_fft: int, length: int, start: int) -> Tensor:
        ctx.sizes = n_fft, start
        return _unroll(torch.fft.irfft(spectrum, n=n_fft), start, length)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        n_fft, start = ctx.sizes
        doubled = grads[0] * 2
        spectrum = torch.fft.rfft(place(doubled, start, n_fft) if start else doubled, n=n_fft, norm="forward")
        spectrum[..., _edges(n_fft)] *= 0.5
        return spectrum, None, None, None


def rfft(signal: Tensor, n_fft: int, start: int = 0) -> Tensor:
    """Spectrum of a real signal, zero-padded to ``n_fft``: [..., samples] -> [..., n_fft // 2 + 1].

    Args:
        signal: from ``start`` samples before time zero on.
        n_fft: samples of the circle on which it is laid.
        start: how much of the signal lies before time zero, at the end of the circle.
    """
    if signal.size(-1) > n_fft:
        raise ValueError(f"the signal has {signal.size(-1)} samples, more than n_fft = {n_fft}")
    return _Rfft.apply(signal, n_fft, start)


def irfft(spectrum: Tensor, n_fft: int, length: int, start: int = 0) -> Tensor:
    """Samples of the real signal with this spectrum: [..., n_fft // 2 + 1] -> [..., length].

    Args:
        spectrum: on a circle of ``n_fft`` samples.
        n_fft: at least ``length``.
        length: how many samples.
        start: how many of them lie before time zero, at the end of the circle.
    """
    return _Irfft.apply(spectrum, n_fft, length, start)


def place(impulse_response: Tensor, center: int, n_fft: int) -> Tensor:
    """Lay a response with time zero at index ``center`` onto a circle of ``n_fft`` samples."""
    taps = impulse_response.size(-1)
    if taps > n_fft:
        raise ValueError(f"{taps} taps do not fit into n_fft = {n_fft}")
    gap = impulse_response.new_zeros(*impulse_response.shape[:-1], n_fft - taps)
    return torch.cat([impulse_response[..., center:], gap, impulse_response[..., :center]], dim=-1)


def parseval_weights(n_fft: int, bins: slice = slice(None)) -> Tensor:
    """Weights c with ``sum(c * |rfft(x)|**2) == sum(x**2)``, shape [n_fft // 2 + 1], in float64."""
    weights = np.full(n_fft // 2 + 1, 2.0 / n_fft)
    weights[0] = 1.0 / n_fft
    if n_fft % 2 == 0:
        weights[-1] = 1.0 / n_fft
    return torch.from_numpy(weights[bins])
