"""Reverb by filtered noise (appendix B.4 of the pruning paper)."""

import numpy as np
import torch
from torch import Tensor

from graphmix.dsp.energy import unit_energy
from graphmix.dsp.fft import rfft
from graphmix.dsp.noise import masked_noise
from graphmix.processors.base import StartsBypassed
from graphmix.processors.resampled import RateBound
from graphmix.spec import DB_PER_NEPER, Linear, NodeType, ParameterSpec

REVERB_SECONDS = 2.0
WINDOW_SECONDS = 384 / 30000
"""The paper's STFT size of 384 at 30 kHz; the hop is half of it."""
NOISE_SEED = 2024
"""One noise for all nodes and all time: the same parameters are the same sound."""
DECAY_UNIT_DB_PER_S = 170.0
"""Raw unit of the decay: about one eighth of a neper a frame, so that steps of 0.01 are audible but small."""
START_DECAY_DB_PER_S = -120.0
"""Where a search starts: -60 dB after half a second."""


def reverb_noise(sample_rate: int) -> np.ndarray:
    """The fixed uniform noise in [-1, 1], mid and side, [2, samples] in float64."""
    samples = round(REVERB_SECONDS * sample_rate)
    return np.random.Generator(np.random.PCG64(NOISE_SEED)).uniform(-1, 1, (2, samples))


def reverb_fft_size(sample_rate: int) -> int:
    """The even STFT size nearest to :data:`WINDOW_SECONDS`."""
    return 2 * round(WINDOW_SECONDS * sample_rate / 2)


class Reverb(StartsBypassed, RateBound):
    r"""Reverb: two seconds of stereo noise with a level and a decay for each frequency, as impulse response.

    .. math:: M_x[k, m] = \exp(H^0_x[k] + (m - 1) H^\Delta_x[k]), \quad x \in \{\mathrm{mid}, \mathrm{side}\}

    The mask multiplies the STFT of a fixed noise (equations 14 and 15); the inverse STFT gives mid and side
    responses, and these left and right. The STFT (Hann, size 384 and hop 192 at 30 kHz) is centered, with silence
    beyond the ends; its highest bin takes the mask of the one below, so that there are 192 values a filter. The
    response has unit energy (the mean over left and right is 1), so that the level is free of the parameters:
    dry/wet sets it.

    Params:
        initial_db     [nodes, 2 * 192]: level at time zero, mid then side, in dB.
        decay_db_per_s [nodes, 2 * 192]: change of level in dB per second; -60 / RT60.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    gain_staged = True
    noise_stft: Tensor
    window: Tensor

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        self.n_fft = reverb_fft_size(sample_rate)
        self.bands = self.n_fft // 2
        self.samples = round(REVERB_SECONDS * sample_rate)
        initial = ParameterSpec("initial_db", 2 * self.bands, "dB", -100.0, 60.0, 0.0, Linear(DB_PER_NEPER))
        decay = ParameterSpec(
            "decay_db_per_s",
            2 * self.bands,
            "dB/s",
            -4000.0,
            0.0,
            START_DECAY_DB_PER_S,
            Linear(DECAY_UNIT_DB_PER_S),
        )
        self.node_type = NodeType("reverb", "r", (initial, decay))
        noise = torch.from_numpy(reverb_noise(sample_rate))
        window = torch.hann_window(self.n_fft, dtype=torch.float64)
        stft = torch.stft(
            noise,
            self.n_fft,
            self.n_fft // 2,
            window=window,
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        self.register_buffer("noise_stft", stft, persistent=False)
        self.register_buffer("window", window, persistent=False)

    @property
    def extent(self) -> tuple[int, int]:
        """Two seconds, causal."""
        return 0, self.samples - 1

    def impulse_response(self, params: Tensor) -> Tensor:
        """Left and right taps, [nodes, 2, samples]."""
        return unit_energy(self._taps(params))

    def response(self, params: Tensor, n_fft: int) -> Tensor:
        """Complex responses of left and right, [nodes, 2, n_fft // 2 + 1]."""
        return rfft(unit_energy(self._taps(params), self.extent[0], n_fft), n_fft)

    def _taps(self, params: Tensor) -> Tensor:
        """The impulse response before it is scaled to unit energy."""
        shape = params.size(0), 2, self.bands
        initial = self.get(params, "initial_db").view(shape) / DB_PER_NEPER
        per_frame = self.n_fft / 2 / self.sample_rate / DB_PER_NEPER
        decay = self.get(params, "decay_db_per_s").view(shape) * per_frame
        return masked_noise(initial, decay, self.noise_stft.mT, self.window, self.samples)
