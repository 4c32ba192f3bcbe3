r"""Band-limited periodic waveforms: tables of one period for each range of pitch, read by cubic interpolation.

A waveform is the sum of the harmonics that its range of pitch allows,

.. math:: w_l(\phi) = \sum_{k=1}^{K_l} a_k \cos(2 \pi k \phi) + b_k \sin(2 \pi k \phi)

Level *l* is read where the fundamental lies below :math:`f_l = (f_s - f_c) / K_l`, so that what is reflected at half
the sample rate falls above :math:`f_c`, and above :math:`f_{l+1} \geq f_c / K_l`, so that no harmonic below it is
missing. With :math:`f_c` of 15 kHz at 44.1 kHz both hold for levels 1.9 times apart: up to there the sound is that of
the ideal waveform, and free of aliases but for the interpolation (below -80 dB).

Conventions: phases are in periods, of any size, and float64 (a phase in float32 is noise after a minute). Gradients
flow to the phase, by the slope of the cubic, and not to the tables.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

CLEAN_SHARE = 0.34
"""Of the sample rate: up to there nothing is missing and nothing reflected; 15 kHz at 44.1 kHz."""
SIZE = 4096
MOST_HARMONICS = 1024
_SPACING = 1.9
_PADDING = 3
"""Points of the next period behind a table, one of the last before it, which interpolation needs."""


@dataclass(frozen=True)
class Wavetable:
    """Tables of one waveform.

    Args:
        tables: [levels, points], float32, from the fewest harmonics to the most.
        limits: largest frequency in periods a sample for each level, [levels], falling.
    """

    tables: NDArray[np.float32]
    limits: NDArray[np.float64]


def harmonic_counts() -> list[int]:
    """Harmonics of each level, rising by about 1.9."""
    counts = [MOST_HARMONICS]
    while counts[-1] > 1:
        counts.append(max(1, int(counts[-1] / _SPACING)))
    return counts[::-1]


def make_wavetable(cosines: NDArray[np.float64], sines: NDArray[np.float64]) -> Wavetable:
    """Tables from the amplitudes of harmonics 1, 2, …; there may be fewer than the levels have.

    Args:
        cosines, sines: [harmonics] each.
    """
    spectrum = np.zeros(SIZE // 2 + 1, np.complex128)
    known = min(len(cosines), MOST_HARMONICS)
    spectrum[1 : known + 1] = (cosines[:known] - 1j * sines[:known]) * SIZE / 2
    counts = harmonic_counts()
    rows = []
    for count in counts:
        period = np.fft.irfft(np.where(np.arange(len(spectrum)) <= count, spectrum, 0), SIZE)
        rows.append(np.concatenate([period[-1:], period, period[: _PADDING - 1]]))
    limits = (1 - CLEAN_SHARE) / np.array(counts)
    limits[0] = np.inf
    return Wavetable(np.stack(rows).astype(np.float32), limits)


@cache
def sine() -> Wavetable:
    """A sine, which needs one level; the others are equal."""
    return make_wavetable(np.zeros(1), np.ones(1))


@cache
def saw() -> Wavetable:
    """Rising from -1 to 1, with its step where the phase is whole."""
    k = np.arange(1, MOST_HARMONICS + 1)
    return make_wavetable(np.zeros(len(k)), -2 / (np.pi * k))


@cache
def triangle() -> Wavetable:
    """As the sine of the same phase, with a peak of 1."""
    k = np.arange(1, MOST_HARMONICS + 1)
    return make_wavetable(np.zeros(len(k)), np.where(k % 2 == 1, 8 / (np.pi * k) ** 2 * (-1.0) ** (k // 2), 0))


@numba.njit(parallel=True, cache=True, error_model="numpy")
def _read(
    tables: np.ndarray, limits: np.ndarray, phase: np.ndarray, step: np.ndarray, out: np.ndarray, slope: np.ndarray
) -> None:
    """``slope`` is empty where it is not wanted; ``step`` is the frequency in periods a sample."""
    size = tables.shape[1] - 3
    wanted = slope.size > 0
    for row in numba.prange(phase.shape[0]):
        level = limits.size - 1
        for n in range(phase.shape[1]):
            speed = abs(step[row, n])
            while level > 0 and speed > limits[level]:
                level -= 1
            while level < limits.size - 1 and speed <= limits[level + 1]:
                level += 1
            place = (phase[row, n] - np.floor(phase[row, n])) * size
            i = int(place)
            if i >= size:  # rounding
                i = size - 1
            t = np.float32(place - i)
            a, b, c, d = tables[level, i], tables[level, i + 1], tables[level, i + 2], tables[level, i + 3]
            # a cubic through b and c whose slopes there are the central differences
            p = np.float32(0.5) * (c - a)
            q = a - np.float32(2.5) * b + np.float32(2.0) * c - np.float32(0.5) * d
            r = np.float32(0.5) * (d - a) + np.float32(1.5) * (b - c)
            out[row, n] = b + t * (p + t * (q + t * r))
            if wanted:
                slope[row, n] = (p + t * (np.float32(2.0) * q + np.float32(3.0) * t * r)) * size


class _Read(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, phase: Tensor, step: Tensor, table: Wavetable, dtype: torch.dtype) -> Tensor:
        out = torch.empty(phase.shape, dtype=dtype)
        slope = torch.empty_like(out) if ctx.needs_input_grad[0] else out.new_zeros(0, 0)
        arrays = (t.detach().contiguous().numpy() for t in (phase, step, out, slope))
        _read(table.tables, table.limits, *arrays)
        ctx.save_for_backward(slope)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (slope,) = ctx.saved_tensors
        return (grad * slope).double(), None, None, None


def read(table: Wavetable, phase: Tensor, step: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """A waveform at given phases.

    Args:
        table: the waveform.
        phase: in periods, float64 [rows, samples].
        step: frequency in periods a sample, which decides how many harmonics there may be, [rows, samples].
        dtype: of the result.

    Returns:
        [rows, samples], with gradients of the phase.
    """
    out = _Read.apply(phase.cpu(), step.detach().cpu().double(), table, dtype)
    assert isinstance(out, Tensor)
    return out.to(phase.device)
