r"""How loud a mix is in each critical band, as far as it is not masked: a model of excitation and specific loudness.

1. *Powers* P in mel bands of frames of 64 ms (:mod:`graphmix.search.masking`), of left, right, mid and side, in dB SPL,
   where the song is played at 75 dB SPL.
2. *Excitation* E: each band spreads to those around it, by 27 dB/Bark downwards and by a slope upwards that is flatter
   the louder it is (Terhardt 1979, "Calculating virtual pitch"):

   .. math:: E(z) = \sum_{z' \ge z} P(z')\, 10^{-2.7 (z' - z)} + \sum_{z' < z} P(z')\, 10^{-s(z') (z - z') / 10}, \quad
       s = 24 + \tfrac{230\,\mathrm{Hz}}{f} - 0.2\, L \text{ dB/Bark}

3. *Specific loudness* in sone/Bark (Zwicker and Fastl, "Psychoacoustics", chapter 8), with the threshold in quiet and
   the noise of a room as internal excitation, as Moore, Glasberg and Baer (1997) add it:

   .. math:: N'(z) = c \big[ (E(z) + E_0(z))^{0.23} - E_0(z)^{0.23} \big]

   c makes a tone of 1 kHz and 40 dB SPL one sone. Ten dB more are then 2.1 to 2.5 times as loud, near the
   threshold more: 1.7 times by the exponent, the rest by the flatter slope.
4. :math:`L_x = \operatorname{mean}_n \int |N' - \hat N'|\, dz / N_0`, with N_0 = 40 sone.

What is masked lies below the excitation of what masks it, and hardly changes it: a difference between two mixes is the
partial loudness of what one has more than the other, without the detection threshold that Moore, Glasberg and Baer add.

Simplifications: one frame size for all frequencies and no forward masking or temporal integration; the ear's transfer
from the field to the cochlea is in the threshold alone; bands are 0.6 to 0.8 Bark wide, without a correction of their
power to that of a critical band; left and right are not summed to a binaural loudness, since what each ear receives and
what the width adds (mid and side) count apart.
"""

import math

import numpy as np
import torch
from torch import Tensor

from graphmix.search.masking import (
    BANDS,
    PLAYBACK_DB_SPL,
    Bands,
    band_hertz,
    band_powers,
    hertz_to_bark,
    in_quiet,
)
from graphmix.search.pattern_loss import PatternLoss, four_signals

EXPONENT = 0.23
LOWER_DB_PER_BARK = 27.0
UPPER_DB_PER_BARK, UPPER_DB_HZ_PER_BARK, UPPER_BY_LEVEL = 24.0, 230.0, 0.2
FLATTEST_DB_PER_BARK = 4.0
"""The upper slope at 100 dB SPL; louder bands spread no further."""
REFERENCE_SONE = 40.0
"""About the loudness of a mix that is played at 75 dB SPL: 35 to 60 in five real songs."""
_FAINTEST = 1e-3
"""Power of a band, -30 dB SPL, below which it counts as silent."""
_NEPERS_PER_DB = math.log(10) / 10


class LoudnessModel(torch.nn.Module):
    """From powers in bands to specific loudness; equations in :mod:`graphmix.search.loudness_loss`.

    Args:
        hertz: centers of the bands, rising.
    """

    lower: Tensor
    distance: Tensor
    steep: Tensor
    quiet: Tensor
    width: Tensor

    def __init__(self, hertz: np.ndarray) -> None:
        super().__init__()
        bark = hertz_to_bark(hertz)
        apart = bark[None] - bark[:, None]  # from band (row) to band (column)
        below = np.where(apart <= 0, 10 ** (LOWER_DB_PER_BARK / 10 * np.minimum(apart, 0)), 0.0)
        tensors = {
            "lower": below,
            "distance": _NEPERS_PER_DB * np.maximum(apart, 0),
            "steep": UPPER_DB_PER_BARK + UPPER_DB_HZ_PER_BARK / hertz,
            "quiet": 10 ** (in_quiet(hertz) / 10),
            "width": np.gradient(bark),
        }
        for name, values in tensors.items():
            self.register_buffer(name, torch.from_numpy(values).float(), persistent=False)
        self.scale = 1.0
        tone = torch.zeros(len(hertz))
        tone[int(np.abs(hertz - 1000).argmin())] = 1e4
        self.scale = 1 / float(self.loudness(tone))

    def excitation(self, powers: Tensor) -> Tensor:
        """Powers in bands, 1 at 0 dB SPL, spread over the bands: [..., bands] -> the same."""
        log_power = (powers + _FAINTEST).log()
        slope = (self.steep - UPPER_BY_LEVEL / _NEPERS_PER_DB * log_power).clamp(min=FLATTEST_DB_PER_BARK)
        spread = (log_power[..., None] - slope[..., None] * self.distance).exp() * (self.distance > 0)
        return powers @ self.lower + spread.sum(-2)

    def specific_loudness(self, powers: Tensor) -> Tensor:
        """In sone/Bark, [..., bands] -> the same."""
        return self.scale * ((self.excitation(powers) + self.quiet) ** EXPONENT - self.quiet**EXPONENT)

    def loudness(self, powers: Tensor) -> Tensor:
        """In sone, [..., bands] -> [...]."""
        return self.specific_loudness(powers) @ self.width


class LoudnessLoss(PatternLoss):
    """Mean difference of specific loudness, in shares of 40 sone; see :mod:`graphmix.search.loudness_loss`.

    >>> loss = LoudnessLoss(30_000)
    >>> mix = 0.1 * torch.randn(1, 2, 30_000)
    >>> float(loss(prediction=mix, target=mix).total)
    0.0
    """

    def __init__(self, sample_rate: int) -> None:
        super().__init__(sample_rate, shortest=1)
        bands = Bands.at(sample_rate)
        self.n_fft, self.unit = bands.n_fft, BANDS / REFERENCE_SONE
        self.register_buffer("filters", bands.filters, persistent=False)
        self.model = LoudnessModel(band_hertz(sample_rate))

    def measure(self, audio: Tensor) -> Tensor:
        """Powers in cells, [batch, 2, samples] -> [batch, 4, frames, bands]."""
        return band_powers(four_signals(audio), self.n_fft, self.get_buffer("filters"))

    def pattern(self, powers: Tensor, power: Tensor) -> Tensor:
        """Specific loudness times the width of its band in Bark, [batch, 4, frames, bands]."""
        played = powers * (10 ** (PLAYBACK_DB_SPL / 10) / power)[:, None, None, None]
        return self.model.specific_loudness(played) * self.model.width
