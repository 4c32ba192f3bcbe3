"""From amplitudes to what a network likes to receive: decibels, then normalized over mixtures, time or the data.

All of it works on features [mixtures, channels, bins, frames] and keeps their shape.
"""

import math

import torch
from torch import Tensor, nn

from graphmix.models.masks.config import Normalization

FLOOR = 1e-4
"""Least amplitude: -80 dB re a sine at full scale."""
_EPS = 1e-5


class AmplitudeToDecibel(nn.Module):
    r"""Level of amplitudes: :math:`20 \log_{10} \max(a, 10^{-4})`.

    Args:
        floor: least amplitude.

    Shape:
        [...] -> [...]

    Example:
        >>> AmplitudeToDecibel()(torch.tensor([1.0, 0.1, 0.0]))
        tensor([  0., -20., -80.])
    """

    def __init__(self, floor: float = FLOOR) -> None:
        super().__init__()
        self.floor = floor

    def forward(self, amplitude: Tensor) -> Tensor:
        """Level in dB."""
        return amplitude.clamp(min=self.floor).log() * (20 / math.log(10))


class BatchNorm(nn.Module):
    """Batch normalization of each channel and bin, over mixtures and frames; in evaluation by running statistics.

    Args:
        channels: of the features.
        bins: of the features.

    Shape:
        [mixtures, channels, bins, frames] -> the same.
    """

    def __init__(self, channels: int, bins: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels * bins)

    def forward(self, features: Tensor) -> Tensor:
        """Normalize."""
        return self.norm(features.flatten(1, 2)).unflatten(1, features.shape[1:3])


class InstanceNorm(nn.Module):
    """Each mixture has mean 0 and deviation 1 over all its channels, bins and frames, at whatever level it arrives.

    A mixture without differences (silence) becomes zero.

    Args:
        channels: of the features.
        bins: of the features; each has a scale and an offset that are learned.
    """

    def __init__(self, channels: int, bins: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels, bins, 1))
        self.offset = nn.Parameter(torch.zeros(channels, bins, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Normalize."""
        variance, mean = torch.var_mean(features, dim=(1, 2, 3), keepdim=True, correction=0)
        return (features - mean) * (variance + _EPS).rsqrt() * self.scale + self.offset


class DataNorm(nn.Module):
    """Mean and deviation of each channel and bin from the training songs, measured before the first step, then fixed.

    Args:
        channels: of the features.
        bins: of the features.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int, bins: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels, bins, 1))
        self.register_buffer("deviation", torch.ones(channels, bins, 1))

    @torch.no_grad()
    def set(self, mean: Tensor, deviation: Tensor) -> None:
        """Set mean and deviation in dB, [channels, bins] each."""
        self.mean.copy_(mean.unsqueeze(-1))
        self.deviation.copy_(deviation.unsqueeze(-1).clamp(min=1e-3))

    def forward(self, features: Tensor) -> Tensor:
        """Normalize."""
        return (features - self.mean) / self.deviation


NORMALIZATIONS: dict[Normalization, type[BatchNorm | InstanceNorm | DataNorm]] = {
    "batch": BatchNorm,
    "instance": InstanceNorm,
    "data": DataNorm,
}


class Level(nn.Sequential):
    """Amplitude to dB, then normalization: how most separators begin.

    Args:
        kind: of normalization.
        channels: of the features.
        bins: of the features.

    Shape:
        [mixtures, channels, bins, frames] -> the same.
    """

    def __init__(self, kind: Normalization, channels: int, bins: int) -> None:
        super().__init__(AmplitudeToDecibel(), NORMALIZATIONS[kind](channels, bins))
