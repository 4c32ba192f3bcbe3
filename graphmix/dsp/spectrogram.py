"""Power spectrograms of whole songs at the size of a picture.

Power is averaged over the frames and bins that fall into one point of the picture, block by block, which keeps the
memory for a long song small.
"""

import numpy as np
import torch
from torch import Tensor

_WINDOW_SECONDS = 0.046
_MAX_COLUMNS, _MAX_BINS = 600, 384
_FRAMES_PER_BLOCK = 512
_TINY = 1e-20
"""Least power relative to the reference, so that the logarithm is finite."""


def pooled_power(signals: Tensor, sample_rate: int) -> Tensor:
    """Mean power spectrograms with at most 384 bins and 600 columns.

    Shape:
        signals [channels, samples] -> float64 [channels, bins, columns], low frequencies first
    """
    n_fft = 2 ** max(6, round(np.log2(_WINDOW_SECONDS * sample_rate)))
    hop = n_fft // 4
    signals = torch.nn.functional.pad(signals, (n_fft // 2, n_fft // 2))
    frames = 1 + (signals.size(1) - n_fft) // hop
    columns = min(frames, _MAX_COLUMNS)
    bins = min(n_fft // 2 + 1, _MAX_BINS)
    to_column = torch.arange(frames) * columns // frames
    to_bin = torch.arange(n_fft // 2 + 1) * bins // (n_fft // 2 + 1)
    channels = signals.size(0)
    total = torch.zeros(channels, columns, bins, dtype=torch.float64)
    window = torch.hann_window(n_fft)
    for start in range(0, frames, _FRAMES_PER_BLOCK):
        stop = min(frames, start + _FRAMES_PER_BLOCK)
        block = signals[:, start * hop : (stop - 1) * hop + n_fft].unfold(1, n_fft, hop) * window
        power = torch.fft.rfft(block).abs().square().double()
        pooled = torch.zeros(channels, stop - start, bins, dtype=torch.float64).index_add_(2, to_bin, power)
        total.index_add_(1, to_column[start:stop], pooled)
    count = torch.bincount(to_column, minlength=columns)[:, None] * torch.bincount(to_bin, minlength=bins)
    return (total / count).transpose(1, 2)


def power_to_db(power: Tensor, reference: float, floor_db: float) -> Tensor:
    """Decibels relative to a power (to 1 where that is zero), not below a floor.

    >>> power_to_db(torch.tensor([1.0, 0.1, 0.0]), 1.0, -80.0).round()
    tensor([  0., -10., -80.])
    """
    return (power / (reference or 1.0)).clamp(min=_TINY).log10().mul(10).clamp(min=floor_db)
