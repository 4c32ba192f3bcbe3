"""Spectrograms of a page: level over time and frequency in one byte a point.

The mid channel, at most :data:`COLUMNS` moments by :data:`BANDS` bands whose middles are equally spaced on a
logarithmic scale. Levels are in dB re the loudest point of the first version (the target) and not below -80 dB. The
page subtracts two of them: that is the error.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphmix.report.sound import RATE, Sound

COLUMNS, BANDS = 600, 96
LOWEST_HZ, HIGHEST_HZ = 30.0, 20000.0
FLOOR_DB = -80.0
_FFT, _HOP, _FRAMES = 4096, 1024, 512
_TINY = 1e-20


@dataclass(frozen=True)
class Maps:
    """Spectrograms of versions of one stretch.

    Attributes:
        columns, bands: their size.
        levels: a byte a point, 0 at -80 dB and 255 at 0 dB, low bands first, [bands * columns] of each version.
        mean_error_db: mean magnitude of each one's error against the first.
    """

    columns: int
    bands: int
    levels: Sequence[bytes]
    mean_error_db: Sequence[float]


def level_maps(sounds: Sequence[Sound]) -> Maps:
    """Spectrograms of pieces of one stretch; the first is the reference."""
    powers = [_power(sound.samples.mean(0)) for sound in sounds]
    reference = max(float(powers[0].max()), _TINY)
    levels = [np.maximum(10 * np.log10(np.maximum(p / reference, _TINY)), FLOOR_DB).clip(None, 0.0) for p in powers]
    codes = [np.round((level - FLOOR_DB) * (255 / -FLOOR_DB)).astype(np.uint8) for level in levels]
    errors = [float(np.abs(level - levels[0]).mean()) for level in levels]
    return Maps(powers[0].shape[1], BANDS, [code.tobytes() for code in codes], [round(e, 2) for e in errors])


def _power(mono: Tensor) -> NDArray[np.float64]:
    """Power in bands over time, [bands, columns]."""
    padded = torch.nn.functional.pad(mono, (_FFT // 2, _FFT))
    frames = max(1, mono.numel() // _HOP)
    columns = min(frames, COLUMNS)
    to_column = torch.arange(frames) * columns // frames
    window, weights = torch.hann_window(_FFT), torch.from_numpy(_band_weights())
    total = torch.zeros(columns, BANDS, dtype=torch.float64)
    for begin in range(0, frames, _FRAMES):
        end = min(frames, begin + _FRAMES)
        block = padded[begin * _HOP : (end - 1) * _HOP + _FFT].unfold(0, _FFT, _HOP) * window
        power = torch.fft.rfft(block).abs().square().double()
        total.index_add_(0, to_column[begin:end], power @ weights.T)
    return np.asarray((total / torch.bincount(to_column, minlength=columns)[:, None]).T)


def _band_weights() -> NDArray[np.float64]:
    """Of each bin in each band, [bands, bins]: the bins between the band's edges, or those beside a narrow one."""
    ratio = (HIGHEST_HZ / LOWEST_HZ) ** (1 / (BANDS - 1))
    middles = LOWEST_HZ * ratio ** np.arange(BANDS)
    bins = np.arange(_FFT // 2 + 1) * (RATE / _FFT)
    spread = np.maximum(middles * (np.sqrt(ratio) - 1 / np.sqrt(ratio)), RATE / _FFT)
    weights = np.maximum(0.0, 1 - np.abs(bins - middles[:, None]) / spread[:, None])
    return np.asarray(weights / weights.sum(1, keepdims=True))
