"""What losses in mel bands need of the coefficients of stems, in one pass on the CPU.

The same numbers as :class:`graphmix.training.separation.quadratic.QuadraticForm` takes from mixtures and sources one
array after another, for the case that most trainings are: masks on mel bands, and mixtures that are sums of stems. An
array of coefficients of a step's stems has 90 MB, and each pass over one takes about as long as the network's LSTM.
"""

from typing import NamedTuple

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphmix.models.masks.representation import Mel

Floats = NDArray[np.float32]
FASTMATH = {"reassoc", "contract", "nsz", "arcp"}
"""Sums in another order; but what is not a number stays so, and a training leaves such a step out."""


class MelProducts(NamedTuple):
    """Sums over the bins of each band, weighted as in the interpolation of masks.

    Args:
        features: amplitudes of the mixtures, [N, channels, bands, frames].
        square: of the mixtures' power, by squared weights, [N, channels, bands, frames].
        neighbor: likewise, by the weights' products with the next band's.
        cross: of the real part of mixture times conjugate source, [N, sources, channels, bands, frames].
        magnitude_cross: of the product of their magnitudes, likewise.
        energy: of each source, [N, sources].
        mixture_energy: [N, 1].
        scale: mean magnitude of each mixture, [N, 1].
    """

    features: Tensor
    square: Tensor
    neighbor: Tensor
    cross: Tensor
    magnitude_cross: Tensor
    energy: Tensor
    mixture_energy: Tensor
    scale: Tensor


def mel_products(representation: Mel, stems: Tensor, gains: Tensor) -> MelProducts:
    """Products of stems and their sum.

    Args:
        representation: whose bands are taken.
        stems: coefficients, [N, sources, channels, bins, frames], on the CPU.
        gains: of amplitudes, [N, sources, bins].
    """
    n, sources, channels, _, frames = stems.shape
    bands = representation.feature_bins
    rows = stems.detach().mT.contiguous()  # bins beside each other, as the Fourier transform leaves them
    per_mixture = np.zeros((4, n, channels, frames, bands), np.float32)
    per_source = np.zeros((2, n, sources, channels, frames, bands), np.float32)
    energy = np.zeros((n, sources + 2), np.float64)
    _fill(
        torch.view_as_real(rows).numpy(),
        gains.detach().to(torch.float32).contiguous().numpy(),
        representation.below.numpy(),
        representation.share.float().numpy(),
        per_mixture,
        per_source,
        energy,
    )
    amplitude, square, neighbor, weight = (part.mT for part in torch.from_numpy(per_mixture))
    cross, magnitude_cross = (part.mT for part in torch.from_numpy(per_source))
    size = channels * representation.bins * frames
    energies = torch.from_numpy(energy).float()
    return MelProducts(
        amplitude * (representation.amplitude / weight),
        square,
        neighbor,
        cross,
        magnitude_cross,
        energies[:, :sources],
        energies[:, sources : sources + 1],
        (energies[:, sources + 1 :] / size).clamp(min=1e-6),
    )


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy", boundscheck=False)
def _fill(
    stems: Floats,
    gains: Floats,
    below: NDArray[np.int64],
    share: Floats,
    per_mixture: Floats,
    per_source: Floats,
    energy: NDArray[np.float64],
) -> None:
    """Fill the sums: amplitude, square, neighbor, weight; cross, cross of magnitudes; energies and magnitudes."""
    count, sources, channels, frames, bins, _ = stems.shape
    mixture = np.empty((bins, 2), np.float32)
    power, magnitude = np.empty(bins, np.float32), np.empty(bins, np.float32)
    product, own = np.empty(bins, np.float32), np.empty(bins, np.float32)
    for n in range(count):
        for channel in range(channels):
            for frame in range(frames):
                mixture[:] = 0
                for s in range(sources):
                    row, gain = stems[n, s, channel, frame], gains[n, s]
                    for b in range(bins):
                        mixture[b, 0] += gain[b] * row[b, 0]
                        mixture[b, 1] += gain[b] * row[b, 1]
                for b in range(bins):
                    power[b] = mixture[b, 0] * mixture[b, 0] + mixture[b, 1] * mixture[b, 1]
                    magnitude[b] = np.sqrt(power[b])
                energy[n, sources] += power.sum()
                energy[n, sources + 1] += magnitude.sum()
                _sum_mixture(power, magnitude, below, share, per_mixture[:, n, channel, frame])
                for s in range(sources):
                    row, gain = stems[n, s, channel, frame], gains[n, s]
                    for b in range(bins):
                        product[b] = gain[b] * (mixture[b, 0] * row[b, 0] + mixture[b, 1] * row[b, 1])
                        own[b] = gain[b] * gain[b] * (row[b, 0] * row[b, 0] + row[b, 1] * row[b, 1])
                    energy[n, s] += own.sum()
                    for b in range(bins):
                        own[b] = np.sqrt(own[b]) * magnitude[b]
                    _sum_source(product, own, below, share, per_source[:, n, s, channel, frame])


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy", boundscheck=False)
def _sum_mixture(power: Floats, magnitude: Floats, below: NDArray[np.int64], share: Floats, sums: Floats) -> None:
    for b in range(len(power)):
        band, upper = below[b], share[b]
        lower = 1 - upper
        sums[0, band] += lower * magnitude[b]
        sums[0, band + 1] += upper * magnitude[b]
        sums[1, band] += lower * lower * power[b]
        sums[1, band + 1] += upper * upper * power[b]
        sums[2, band] += lower * upper * power[b]
        sums[3, band] += lower
        sums[3, band + 1] += upper


@numba.njit(cache=True, fastmath=FASTMATH, error_model="numpy", boundscheck=False)
def _sum_source(product: Floats, own: Floats, below: NDArray[np.int64], share: Floats, sums: Floats) -> None:
    first, band = 0, 0
    bins = len(product)
    while first < bins:
        band, last = below[first], first
        a, b, c, d = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        while last < bins and below[last] == band:
            last += 1
        for i in range(first, last):
            a += product[i]
            b += share[i] * product[i]
            c += own[i]
            d += share[i] * own[i]
        sums[0, band] += a - b
        sums[0, band + 1] += b
        sums[1, band] += c - d
        sums[1, band + 1] += d
        first = last
