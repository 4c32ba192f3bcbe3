"""Bands that are equally spaced on the mel scale, but at least one bin apart, for analysis and for masks."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphmix.dsp.mel import hertz_to_mel, mel_to_hertz


def mel_centers(bins: int, bands: int, sample_rate: float) -> NDArray[np.float64]:
    """Centers of bands in bins, from 0 to `bins` - 1, rising by 1 or more."""
    top = float(hertz_to_mel(np.array([sample_rate / 2]))[0])
    hertz = np.asarray(mel_to_hertz(np.linspace(0.0, top, bands)), dtype=np.float64)
    # The scale grows faster and faster: where it has once passed one bin a band, it stays above.
    return np.maximum(np.arange(bands), hertz / (sample_rate / 2) * (bins - 1))


def mel_triangles(bins: int, bands: int, sample_rate: float) -> tuple[Tensor, Tensor, Tensor]:
    """Triangular bands, and the interpolation between their centers.

    Returns:
        Weights of means, [bands, bins], each row adding up to 1; for each bin the band below it, [bins], and the share
        of the band above that one, [bins].
    """
    centers = mel_centers(bins, bands, sample_rate)
    at = np.arange(bins)
    below = np.clip(np.searchsorted(centers, at, side="right") - 1, 0, bands - 2)
    share = np.clip((at - centers[below]) / (centers[below + 1] - centers[below]), 0.0, 1.0)
    weights = np.zeros((bands, bins))
    weights[below, at] += 1 - share
    weights[below + 1, at] += share
    weights /= weights.sum(axis=1, keepdims=True)
    tensors = torch.from_numpy(weights).float(), torch.from_numpy(below), torch.from_numpy(share).float()
    return tensors
