"""Integrated loudness after ITU-R BS.1770-4: K weighting, windows of 400 ms, an absolute and a relative gate.

Conventions. Loudness in LUFS; a power is the K-weighted mean square of a window, summed over channels; windows begin
every 100 ms. Both gates look at *all* windows of a track: the absolute one leaves out windows below -70 LUFS, the
relative one those that are 10 LU below the mean power of what is left. What is read in blocks is therefore not
averaged by blocks: the powers of the windows are collected, and gated once.

* a whole signal: :func:`loudness`;
* a stream of successive blocks: :class:`LoudnessMeter`, equal to the whole to rounding;
* blocks that do not follow each other, or that must travel as tensors: :func:`window_powers` of each, concatenated
  along the last axis, to :func:`gated_loudness`;
* how far loudness moves within a song: :func:`loudness_range`.
"""

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphmix.errors import SongError

LOWEST_LUFS = -70.0
"""The absolute gate: a window below it counts as silence, and so does a track of nothing else."""
RELATIVE_GATE_LU = 10.0
OFFSET_LU = -0.691
"""Loudness of a power of 1: it cancels the gain of the K weighting at 997 Hz."""
WINDOWS_PER_SECOND = 10
HOPS_PER_WINDOW = 4
RANGE_HOPS = 30
"""Windows of the loudness range last 3 s."""
RANGE_GATE_LU = 20.0
RANGE_SHARES = (0.10, 0.95)
_LOWEST_RATE = 4000  # the shelf begins at 1.7 kHz
_LOW_CUT_HZ, _LOW_CUT_Q = 38.13547087602444, 0.5003270373238773
_CHUNK = 1 << 19  # samples filtered at a time, in float64


def loudness(audio: Tensor, sample_rate: int) -> float:
    """Integrated loudness of one signal, [channels, samples], in LUFS; silence counts as -70.

    >>> sine = torch.sin(2 * torch.pi * 997 / 48000 * torch.arange(96000, dtype=torch.float64))
    >>> round(loudness(sine[None], 48000), 2)
    -3.01
    """
    return float(gated_loudness(window_powers(audio, sample_rate)))


def gated_loudness(powers: Tensor) -> Tensor:
    """Loudness by the powers of windows, from any number of blocks.

    Args:
        powers: of :func:`window_powers`; those of several blocks may be concatenated, whatever lies between these.

    Shape:
        powers [..., windows] -> [...], in LUFS, never below :data:`LOWEST_LUFS`; float64.
    """
    powers = powers.double()
    sounding = powers > _power(LOWEST_LUFS)
    gate = torch.where(sounding, powers, 0).sum(-1, keepdim=True) / sounding.sum(-1, keepdim=True).clamp(min=1)
    loud = sounding & (powers > gate * 10 ** (-RELATIVE_GATE_LU / 10))
    mean = torch.where(loud, powers, 0).sum(-1) / loud.sum(-1).clamp(min=1)
    return OFFSET_LU + 10 * mean.clamp(min=_power(LOWEST_LUFS)).log10()


def loudness_range(audio: Tensor, sample_rate: int) -> float:
    """Loudness range (LRA) of one signal, [channels, samples], in LU, after EBU Tech 3342.

    The spread from the 10th to the 95th percentile of windows of 3 s, without those below -70 LUFS or more than 20 LU
    below the mean power of the rest. 0 for silence, and for what is no longer than a window.
    """
    meter = LoudnessMeter(sample_rate)
    meter.add(audio)
    powers = meter.window_powers(RANGE_HOPS)
    powers = powers[powers > _power(LOWEST_LUFS)]
    if powers.numel() < 2:
        return 0.0
    loud = 10 * powers[powers > powers.mean() * 10 ** (-RANGE_GATE_LU / 10)].log10()
    low, high = torch.quantile(loud, torch.tensor(RANGE_SHARES, dtype=loud.dtype))
    return float(high - low)


def _power(lufs: float) -> float:
    return float(10 ** ((lufs - OFFSET_LU) / 10))


def window_powers(audio: Tensor, sample_rate: int) -> Tensor:
    """K-weighted powers of the windows of a signal at rest before it; at least one, padded where audio is shorter.

    Shape:
        audio [..., channels, samples] -> [..., windows], float64, on the device of `audio`.
    """
    meter = LoudnessMeter(sample_rate)
    meter.add(audio)
    return meter.window_powers().to(audio.device)


class LoudnessMeter:
    """Integrated loudness of a stream of successive blocks: one gate over all of them.

    What is kept is the state of the filters and ten numbers a second, so that a song of any length needs a block of
    memory. Several tracks of one length are measured at once along leading axes.

    Args:
        sample_rate: in Hz.

    Example:
        >>> meter = LoudnessMeter(48000)
        >>> for block in torch.zeros(3, 2, 48000):
        ...     meter.add(block)
        >>> meter.loudness()
        tensor(-70., dtype=torch.float64)

    Not for: blocks with gaps between them; give their :func:`window_powers` to :func:`gated_loudness`.
    """

    def __init__(self, sample_rate: int) -> None:
        if sample_rate < _LOWEST_RATE:
            raise SongError(f"loudness is measured at {_LOWEST_RATE} Hz or more, not at {sample_rate}.")
        self.sample_rate = sample_rate
        self.hop = round(sample_rate / WINDOWS_PER_SECOND)
        self._state: NDArray[np.float64] | None = None
        self._rest: NDArray[np.float64] | None = None  # weighted power per sample that fills no hop yet, [..., samples]
        self._hops: list[NDArray[np.float64]] = []  # mean powers of hops, [..., hops] each

    def add(self, audio: Tensor) -> None:
        """Continue the stream by a block [..., channels, samples], of any length.

        Raises:
            SongError: its channels or leading axes are not those of the first block.
        """
        from scipy import signal  # here: most of what imports this module measures nothing

        samples = audio.detach().cpu()
        if samples.dim() < 2:
            raise SongError(f"audio has shape {list(samples.shape)}, expected [..., channels, samples].")
        filters = k_filters(self.sample_rate)
        if self._state is None:
            self._state = np.zeros((len(filters), *samples.shape[:-1], 2))
            self._rest = np.zeros((*samples.shape[:-2], 0))
            self._hops.append(self._rest)
        if self._state.shape[1:-1] != samples.shape[:-1]:
            raise SongError(
                f"a block has shape {list(samples.shape)} after blocks of {list(self._state.shape[1:-1])} channels: "
                "measure one stream with one meter."
            )
        for chunk in samples.split(_CHUNK, dim=-1) if samples.size(-1) else ():
            weighted, self._state = signal.sosfilt(filters, chunk.double().numpy(), axis=-1, zi=self._state)
            self._collect(np.square(weighted).sum(axis=-2))

    def _collect(self, powers: NDArray[np.float64]) -> None:
        assert self._rest is not None, "the first block sets it"
        powers = np.concatenate([self._rest, powers], axis=-1)
        full = powers.shape[-1] // self.hop * self.hop
        self._hops.append(powers[..., :full].reshape(*powers.shape[:-1], -1, self.hop).mean(axis=-1))
        self._rest = powers[..., full:].copy()

    def window_powers(self, length: int = HOPS_PER_WINDOW) -> Tensor:
        """Powers of the windows so far, [..., windows]; a last window that is not full counts only if it is alone.

        Args:
            length: of a window, in steps of 100 ms.
        """
        if self._rest is None:
            return torch.zeros(1, dtype=torch.float64)
        hops = np.concatenate(self._hops, axis=-1)
        if hops.shape[-1] < length:
            power = hops.sum(axis=-1) + self._rest.sum(axis=-1) / self.hop
            return torch.from_numpy(np.asarray(power / length))[..., None]
        windows = np.lib.stride_tricks.sliding_window_view(hops, length, axis=-1).mean(axis=-1)
        return torch.from_numpy(windows)

    def loudness(self) -> Tensor:
        """Loudness of all blocks so far in LUFS, [...]."""
        return gated_loudness(self.window_powers())


@lru_cache(maxsize=8)
def k_filters(sample_rate: int) -> NDArray[np.float64]:
    """The K weighting at a rate as two second-order sections: a shelf of 4 dB above 1.7 kHz, a low cut at 38 Hz.

    The standard gives coefficients for 48 kHz. These are the bilinear transforms, at any rate, of the analogue filters
    behind them: equal to the standard's at 48 kHz, with its gain at all rates.
    """
    gain, q = 10 ** (3.999843853973347 / 20), 0.7071752369554196
    middle = gain**0.4996667741545416
    k = math.tan(math.pi * 1681.974450955533 / sample_rate)
    shelf = [gain + middle * k / q + k * k, 2 * (k * k - gain), gain - middle * k / q + k * k]
    poles = _poles(k, q)
    low_cut = _poles(math.tan(math.pi * _LOW_CUT_HZ / sample_rate), _LOW_CUT_Q)
    b = _poles(math.tan(math.pi * _LOW_CUT_HZ / 48000), _LOW_CUT_Q)[0]  # the standard's numerator is 1, -2, 1 there
    sections = [[*shelf, *poles], [b, -2 * b, b, *low_cut]]
    return np.array([[value / section[3] for value in section] for section in sections])


def _poles(k: float, q: float) -> list[float]:
    return [1 + k / q + k * k, 2 * (k * k - 1), 1 - k / q + k * k]


def k_weighting(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Approximate power gain of the K weighting by frequency: a high shelf of 4 dB and a low cut at 38 Hz."""
    low_cut = (hz / 38) ** 4 / (1 + (hz / 38) ** 4)
    shelf = 10 ** (0.4 / (1 + (1500 / np.maximum(hz, 1.0)) ** 2))
    return np.asarray(low_cut * shelf)
