r"""Masking: below which level a sound is inaudible beside others.

A sound is compared with the others in *cells*: mel bands of frames of 64 ms, left and right apart. In a cell it is
masked where its power lies below

.. math:: \sum_{b'} S(z_b - z_{b'})\, P_{b'}\, 10^{-O/10} + Q_b

P is the power of the others, S the spreading function of Schroeder, Atal and Hall (1979, "Optimizing digital speech
coders by exploiting masking properties of the human ear"), z = 7 arsinh(f / 650 Hz) their Bark scale, O = 10 dB between
what noise masks of a tone (6 dB below it) and a tone of noise (15 dB and more, Johnston 1988). Q is the threshold in
quiet (Terhardt 1979), never below the noise of a room, where the mix is played at 75 dB SPL.

Powers are mean squares in full scale: summed over bands they are the power of the windowed frame.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphmix.dsp.fft import good_length
from graphmix.dsp.mel import hertz_to_mel, mel_to_hertz

BANDS = 40
"""About as many as there are critical bands times 1.7 up to 15 kHz."""
FRAME_SECONDS = 0.064
"""A frame; successive ones overlap by half."""
MASKING_DB = 10.0
PLAYBACK_DB_SPL = 75.0
"""At which the mix is played, as mixing rooms of moderate size are calibrated."""
ROOM_DB_SPL = 15.0
"""Noise of a quiet room in one band."""
SILENCE = 1e-12
"""A power that is not there: -120 dB, below the last bit of 16."""
_LOWEST_HZ = 40.0


@dataclass(frozen=True)
class Bands:
    """Powers in cells, and what others mask of them, at one sample rate.

    Args:
        n_fft: samples of a frame.
        filters: triangles that add up to 1 at every frequency, [bins, bands].
        spreading: power in a band (second) that one unit in another (first) masks, before the offset, [bands, bands].
        quiet_db_spl: threshold in quiet, [bands].
    """

    n_fft: int
    filters: Tensor
    spreading: Tensor
    quiet_db_spl: Tensor

    @classmethod
    def at(cls, sample_rate: int, bands: int = BANDS) -> "Bands":
        """For one sample rate in Hz."""
        n_fft = good_length(round(FRAME_SECONDS * sample_rate))
        mels = _centers(sample_rate, bands)
        at = hertz_to_mel(np.arange(n_fft // 2 + 1) * (sample_rate / n_fft)).clip(mels[0], mels[-1])
        filters = (1 - np.abs(at[:, None] - mels) / (mels[1] - mels[0])).clip(min=0)
        hertz = mel_to_hertz(mels)
        bark = hertz_to_bark(hertz)
        tensors = (torch.from_numpy(x).float() for x in (filters, spread(bark[None] - bark[:, None]), in_quiet(hertz)))
        return cls(n_fft, *tensors)

    def to(self, device: torch.device) -> "Bands":
        """The same on a device."""
        return Bands(self.n_fft, *(x.to(device) for x in (self.filters, self.spreading, self.quiet_db_spl)))

    def powers(self, audio: Tensor) -> Tensor:
        """Powers in cells, [2, samples] -> [2, frames, bands]; a signal shorter than a frame is one frame."""
        return band_powers(audio, self.n_fft, self.filters)

    def threshold(self, others: Tensor, mix_power: float) -> Tensor:
        """Power below which a sound is masked by others, [..., bands] -> the same.

        Args:
            others: their powers.
            mix_power: mean square of the mix, a channel; it decides what is too soft for itself.
        """
        quiet = max(mix_power, SILENCE) * (10 ** ((self.quiet_db_spl - PLAYBACK_DB_SPL) / 10)).to(others.dtype)
        return others @ self.spreading.to(others.dtype) * 10 ** (-MASKING_DB / 10) + quiet


def spread(bark: np.ndarray) -> np.ndarray:
    """Power that masks at a distance in Bark from a masker, above it if positive; 1 at none."""
    shifted = bark + 0.474
    return 10 ** ((15.81 + 7.5 * shifted - 17.5 * np.sqrt(1 + shifted**2)) / 10)


def in_quiet(hertz: np.ndarray) -> np.ndarray:
    """Threshold in quiet in dB SPL at frequencies in Hz, not below :data:`ROOM_DB_SPL`."""
    khz = hertz / 1000
    ear = 3.64 * khz**-0.8 - 6.5 * np.exp(-0.6 * (khz - 3.3) ** 2) + 1e-3 * khz**4
    return np.maximum(ear, ROOM_DB_SPL)


def band_powers(audio: Tensor, n_fft: int, filters: Tensor) -> Tensor:
    """Powers of frames in bands, [..., samples] -> [..., frames, bands]; see :class:`Bands`."""
    missing = n_fft - audio.size(-1)
    if missing > 0:
        audio = torch.nn.functional.pad(audio, (0, missing))
    window = torch.hann_window(n_fft, dtype=audio.dtype, device=audio.device)
    spectrum = torch.view_as_real(torch.fft.rfft(audio.unfold(-1, n_fft, n_fft // 2) * window))
    return spectrum.square().sum(-1) @ (filters.to(audio.dtype) * (2 / (n_fft * window.square().sum())))


def band_hertz(sample_rate: int, bands: int = BANDS) -> np.ndarray:
    """Centers of the bands of :class:`Bands` in Hz, [bands]."""
    return mel_to_hertz(_centers(sample_rate, bands))


def hertz_to_bark(hertz: np.ndarray) -> np.ndarray:
    """The Bark scale of Schroeder, Atal and Hall, on which critical bands are equally wide."""
    return 7 * np.arcsinh(hertz / 650)


def _centers(sample_rate: int, bands: int) -> np.ndarray:
    """Equally spaced in mel, up to half the sample rate."""
    edges = hertz_to_mel(np.array([_LOWEST_HZ, sample_rate / 2]))
    return np.linspace(float(edges[0]), float(edges[1]), bands)
