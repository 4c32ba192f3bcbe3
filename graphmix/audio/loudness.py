"""Integrated loudness, ITU-R BS.1770-4, by torchaudio; and its weights by frequency."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LOWEST_LUFS = -70.0
"""The absolute gate of BS.1770: what lies below is silence."""
_BLOCK_SECONDS = 0.4
_SAFE_PEAK = 0.25  # torchaudio's biquads clip at 1, and the K weighting boosts treble by 4 dB


def loudness(mix: Tensor, sample_rate: int) -> float:
    """Integrated loudness in LUFS; silence counts as -70, the gate below which BS.1770 hears nothing."""
    from torchaudio.functional import loudness as integrated  # importing graphmix must not load torchaudio

    mix = mix.detach().float()
    peak = float(mix.abs().max())
    if peak == 0:
        return LOWEST_LUFS
    scale = min(1.0, _SAFE_PEAK / peak)
    short = math.ceil(_BLOCK_SECONDS * sample_rate) - mix.size(1)
    padded = torch.nn.functional.pad(mix * scale, (0, max(0, short)))
    measured = float(integrated(padded, sample_rate)) - 20 * math.log10(scale)
    return max(LOWEST_LUFS, measured) if math.isfinite(measured) else LOWEST_LUFS


def k_weighting(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """What BS.1770's filters do to the power at each frequency, nearly: a high shelf of 4 dB and a low cut at 38 Hz."""
    low_cut = (hz / 38) ** 4 / (1 + (hz / 38) ** 4)
    shelf = 10 ** (0.4 / (1 + (1500 / np.maximum(hz, 1.0)) ** 2))
    return np.asarray(low_cut * shelf)
