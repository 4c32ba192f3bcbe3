r"""Responses at another sample rate: each tap becomes an impulse that is delayed by a part of a sample.

.. math:: h'[m] = \sum_k h[k] \, g(m / f' - k / f), \qquad g(t) = \frac{2 B}{f'} \, \mathrm{sinc}(2 B t) \, w(t)

with a Kaiser window *w* of 64 zero crossings (beta 8). With :math:`B = f' / 2` nothing is filtered: the spectrum is
that of the taps, which repeats beyond half of their own rate :math:`f`, mirrored. With :math:`B = f / 2` what repeats
is left out. Both are flat to 2e-4 up to 0.9 B.
"""

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from graphmix.dsp.resampling import can_resample

HALF = 32
"""Zero crossings of the kernel on either side."""
_BETA = 8.0


def converted_extent(extent: tuple[int, int], old: int, new: int) -> tuple[int, int]:
    """How far a response reaches before and after time zero, in samples of the new rate, with what the kernel adds."""
    before, after = _padded(extent, old, new)
    common = math.gcd(old, new)
    return before * new // old, after * new // old + new // common - 1


def convert_taps(taps: Tensor, extent: tuple[int, int], old: int, new: int, *, mirrored: bool = False) -> Tensor:
    """Taps at another rate; the frequency response in the band that both rates have stays as it is.

    Args:
        taps: from ``-extent[0]`` to ``extent[1]``, [..., before + 1 + after].
        extent: samples before and after time zero.
        old: their rate in Hz.
        new: another rate in Hz.
        mirrored: beyond half of the lower rate the response is the mirror image of what lies below; else silence.

    Shape:
        [..., taps of :func:`converted_extent`]

    Raises:
        ValueError: rates that have too little in common.
    """
    if old == new:
        return taps
    if not can_resample(old, new):
        raise ValueError(f"responses cannot go from {old} Hz to {new} Hz: the rates have no large common divisor")
    before, after = _padded(extent, old, new)
    band = new / 2 if mirrored else min(old, new) / 2
    bank, margin = _bank(old, new, band)
    step = old // math.gcd(old, new)
    blocks = (before + after) // step + 1
    left, right = before - extent[0] + margin, after - extent[1] + margin + step
    padded = functional.pad(taps.reshape(-1, 1, taps.size(-1)), (left, right))
    parts = functional.conv1d(padded, bank.to(taps)[:, None], stride=step)[..., :blocks]
    return parts.mT.reshape(*taps.shape[:-1], -1)


def _padded(extent: tuple[int, int], old: int, new: int) -> tuple[int, int]:
    """The extent in samples of the old rate with room for the kernel, in whole periods of the two rates."""
    step = old // math.gcd(old, new)
    room = math.ceil(HALF * old / min(old, new))
    before, after = (-(-(side + room) // step) * step for side in extent)
    return before, after


@lru_cache(maxsize=16)
def _bank(old: int, new: int, band: float) -> tuple[Tensor, int]:
    """One row of weights for each sample of a period, and samples before the period that they reach."""
    common = math.gcd(old, new)
    step, rows = old // common, new // common
    margin = math.ceil(HALF / (2 * band) * old)
    at = np.arange(-margin, step + margin + 1)
    time = np.arange(rows)[:, None] / new - at / old
    crossings = 2 * band * time
    window = np.i0(_BETA * np.sqrt(np.clip(1 - (crossings / HALF) ** 2, 0, None))) / np.i0(_BETA)
    kernel = (2 * band / new) * np.sinc(crossings) * np.where(np.abs(crossings) < HALF, window, 0)
    return torch.from_numpy(kernel), margin
