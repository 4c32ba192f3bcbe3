"""Bands of the constant-Q transform: centers, widths, and the windows that cut them out of a spectrum."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_LEAST = 1e-9
"""Smaller weights are rounding at the edge of a band."""


class Bands:
    """What does not depend on the length of the signal. Frequencies in Hz."""

    @staticmethod
    def centers_of(sample_rate: float, low_hz: float, bins_per_octave: int) -> NDArray[np.float64]:
        """0, then equally spaced in the logarithm from the lowest center on, then half the rate."""
        half = sample_rate / 2
        count = math.ceil(bins_per_octave * math.log2(half / low_hz) - 1e-9)
        centers = low_hz * 2.0 ** (np.arange(count) / bins_per_octave)
        return np.concatenate([[0.0], centers[centers < half * (1 - 1e-9)], [half]])

    @staticmethod
    def hop_of(centers: NDArray[np.float64], sample_rate: float) -> int:
        """Samples between frames: as many as the widest band, from neighbor to neighbor, allows; an even number."""
        widest = max(float((centers[2:] - centers[:-2]).max()), float(centers[1]))
        return max(2, 2 * int(sample_rate / widest / 2))


def constant_q_bands(centers: NDArray[np.float64], sample_rate: float, frames: int, hop: int) -> tuple[Tensor, Tensor]:
    """Bins and weights of each band.

    Args:
        centers: of the bands, in Hz.
        sample_rate: in Hz.
        frames: of a signal of frames * hop samples.
        hop: samples between frames, even.

    Returns:
        Index and weight, [bands, frames]: the bins of a band stand at their number modulo `frames`, so that sampling a
        band is nothing but a Fourier transform of that length; places beyond its bins have weight 0.
    """
    samples = frames * hop
    bins = samples // 2 + 1
    at = np.arange(bins) * (sample_rate / samples)
    upper = np.clip(np.searchsorted(centers, at, side="right"), 1, len(centers) - 1)
    phase = np.clip((at - centers[upper - 1]) / (centers[upper] - centers[upper - 1]), 0.0, 1.0) * (math.pi / 2)
    index = np.zeros((len(centers), frames), dtype=np.int64)
    weight = np.zeros((len(centers), frames))
    for band, value in ((upper - 1, np.cos(phase)), (upper, np.sin(phase))):
        inside = value > _LEAST
        rows, columns = band[inside], np.flatnonzero(inside) % frames
        index[rows, columns] = np.flatnonzero(inside)
        weight[rows, columns] += value[inside]
    return torch.from_numpy(index), torch.from_numpy(weight)
