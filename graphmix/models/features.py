r"""Log-mel spectrograms of mid and side, and levels taken from them: the inputs of encoders.

.. math:: X[f, b] = \big(10 \log_{10}(10^{-10} + \textstyle\sum_k F[k, b]\, |S[f, k]|^2) + 50\big) / 25

S is scaled so that a sine at full scale has a power of 1. So levels are preserved (they are what a mix is made of), and
features lie between about -2, which is silence, and 2. Mid and side are half the sum and half the difference of left
and right. Frames of 25 ms begin every 10 ms, as in VGGish (Hershey et al. 2017).
"""

import math
import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from graphmix.dsp.mel import hertz_to_mel, mel_to_hertz

WINDOW_SECONDS, HOP_SECONDS = 0.025, 0.010
FRAMES_PER_SECOND = round(1 / HOP_SECONDS)
LOWEST_HZ = 30.0
FLOOR_POWER = 1e-10
OFFSET_DB, SCALE_DB = 50.0, 25.0
LEVELS = 6
"""Rows of :class:`Levels`."""
_LOUD_SHARE = 1e-3
SILENCE = (10 * math.log10(FLOOR_POWER) + OFFSET_DB) / SCALE_DB
"""The value of silence in all bands."""


class LogMel(nn.Module):
    """Log-mel spectrograms of mid and side; a pure function of each track, so that they can be kept.

    Args:
        sample_rate: in Hz.
        mels: number of bands.

    Shape:
        audio [tracks, 2, samples] -> [tracks, 2 (mid, side), frames, mels], frames = 1 + samples // hop.

    Example:
        >>> LogMel(30000)(torch.zeros(1, 2, 30000)).shape
        torch.Size([1, 2, 101, 64])
    """

    window: Tensor
    filters: Tensor

    def __init__(self, sample_rate: int, mels: int = 64) -> None:
        super().__init__()
        self.sample_rate, self.mels = sample_rate, mels
        size = round(WINDOW_SECONDS * sample_rate)
        self.hop = round(HOP_SECONDS * sample_rate)
        self.n_fft = 2 ** math.ceil(math.log2(size))
        window = torch.hann_window(size)
        before = (self.n_fft - size) // 2
        window = nn.functional.pad(window * (2 / window.sum()), (before, self.n_fft - size - before))
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filters", mel_filters(sample_rate, self.n_fft, mels), persistent=False)

    @torch.no_grad()
    def forward(self, audio: Tensor) -> Tensor:
        """Track by track, so that no neighbour changes a bit of a track's features; without gradients."""
        with torch.autocast(audio.device.type, enabled=False):  # half precision has no room for the floor
            tracks = [self._spectrogram(track) for track in audio]
        frames = 1 + audio.size(-1) // self.hop
        return torch.stack(tracks) if tracks else audio.new_zeros(0, 2, frames, self.mels)

    def _spectrogram(self, track: Tensor) -> Tensor:
        return (10 * self.powers(track).log10() + OFFSET_DB) / SCALE_DB

    def powers(self, track: Tensor) -> Tensor:
        """Powers of one track in the bands, not in dB, [2, samples] -> [2, frames, mels]."""
        left, right = track.to(self.window.dtype).unbind(0)
        signal = torch.stack([(left + right) / 2, (left - right) / 2])
        half = self.n_fft // 2  # frames lie around their times, with silence before and after the track
        windows = nn.functional.pad(signal, (half, half)).unfold(1, self.n_fft, self.hop)
        spectrum = torch.view_as_real(torch.fft.rfft(windows * self.window))
        return (spectrum[..., 0].square() + spectrum[..., 1].square()) @ self.filters + FLOOR_POWER


class Levels(nn.Module):
    r"""Levels of a track over a whole excerpt, as a meter and an analyser show them: of each band, and of all together.

    Rows are, in the units of :class:`LogMel`: the level of the mean power over the loud frames, which are within 30 dB
    of the loudest one in mid and side together, and over all frames; the greatest level; mean and standard deviation
    over the loud frames; the level that is exceeded nine tenths of the time, which is that of pauses. Frames
    begin every 20 ms: they still overlap, and cost half as much.

    Args:
        sample_rate: in Hz.
        mels: number of bands.

    Shape:
        audio [tracks, 2, samples] -> [tracks, 2 (mid, side), 6, mels + 1]
    """

    def __init__(self, sample_rate: int, mels: int = 64) -> None:
        super().__init__()
        self.log_mel = LogMel(sample_rate, mels)
        self.log_mel.hop *= 2

    @torch.no_grad()
    def forward(self, audio: Tensor) -> Tensor:
        """Track by track, without gradients."""
        with torch.autocast(audio.device.type, enabled=False):
            tracks = [self._levels(self.log_mel.powers(track)) for track in audio]
        return torch.stack(tracks) if tracks else audio.new_zeros(0, 2, LEVELS, self.log_mel.mels + 1)

    def _levels(self, power: Tensor) -> Tensor:
        power = torch.cat([power, power.sum(-1, keepdim=True)], dim=-1)
        levels = _in_units(power)
        loud = loud_frames(power[..., -1])
        rows = [_in_units(power[:, loud].mean(1)), _in_units(power.mean(1)), levels.amax(1), levels[:, loud].mean(1)]
        rows += [levels[:, loud].std(1, correction=0), levels.kthvalue(1 + levels.size(1) // 10, dim=1).values]
        return torch.stack(rows, dim=1)


def loud_frames(power: Tensor) -> Tensor:
    """Frames within 30 dB of the loudest, mid and side together, [2, frames] -> bool [frames]."""
    overall = power.sum(0)
    return overall >= overall.amax() * _LOUD_SHARE


def band_centers(sample_rate: int, mels: int) -> NDArray[np.float64]:
    """Frequencies at which the triangles of :func:`mel_filters` are 1, in Hz, [mels]."""
    low, high = hertz_to_mel(np.array([LOWEST_HZ, sample_rate / 2]))
    return mel_to_hertz(np.linspace(low, high, mels + 2)[1:-1])


def _in_units(power: Tensor) -> Tensor:
    return (10 * power.clamp(min=FLOOR_POWER).log10() + OFFSET_DB) / SCALE_DB


def mel_filters(sample_rate: int, n_fft: int, mels: int) -> Tensor:
    """Triangles of height 1, [bins, mels]."""
    from torchaudio.functional import melscale_fbanks  # importing graphmix must not load torchaudio

    with warnings.catch_warnings():  # of bands without a bin, which then stay silent
        warnings.simplefilter("ignore", UserWarning)
        filters: Tensor = melscale_fbanks(n_fft // 2 + 1, LOWEST_HZ, sample_rate / 2, mels, sample_rate)
    return filters
