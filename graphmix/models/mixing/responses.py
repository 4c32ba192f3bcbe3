r"""Gain of each track in the mix, band by band: an input of models in reverse mode, beside tracks and mix.

For each of left and right and each mel band b, gains g that make the tracks' spectra X add up to the mix's Y best, by
least squares over all frames f and over the bins k of the band, which F weighs:

.. math:: \min_g \sum_{k, f} F[k, b] \Big|Y[k, f] - \sum_t g_{tb} X_t[k, f]\Big|^2 + \epsilon \sum_t P_{tb}\, g_{tb}^2

P is the power of a track in the band; a little of it keeps gains near 0 where tracks cannot be distinguished. Gains are
real, because faders and equalizers (zero-phase) are. So faders, panning and equalizers can nearly be read off;
the share of the mix that a track explains is a measure of their reliability.
"""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from graphmix.dsp.mel import hertz_to_mel
from graphmix.models.features import SCALE_DB, band_centers, mel_filters

RESPONSES = 2
"""Rows of :class:`Responses`."""
_N_FFT = 2048
_BLOCK_FRAMES = 256
"""Frames that are transformed at once."""
_RIDGE = 1e-3
_SILENT_POWER = 1e-8
"""Mean square, -80 dB re full scale, of a frame of the mix that counts as silent: what tracks do there is no gain."""
_LEAST_POWER = 1e-9
"""Added to each track's, in the units of a mean squared sample; it keeps gains of what is silent in a band at 0."""
_LEAST_DB, _MOST_DB = -50.0, 30.0
_LARGEST_SHARE = 1.5
_RANGE_DB = 15.0
_TRUSTED_SHARE = 0.1
"""Of the mix's power in a band, from which on a track's gain there is taken as it is."""


class Responses(nn.Module):
    """Gain of each track in the mix, and its share of the mix's power, in mel bands and over all.

    Args:
        sample_rate: in Hz.
        mels: number of bands.

    Shape:
        audio [tracks, 2, samples], mix [2, samples] -> [tracks, 2 (left, right), 2 (gain in units of 25 dB, share),
        mels + 1]; the last column is that of all bands together.

    Example:
        >>> tracks = torch.randn(2, 2, 30000)
        >>> gains = Responses(30000)(tracks, tracks[0] + 0.1 * tracks[1])[:, :, 0, -1]
        >>> (25 * gains).round().int()
        tensor([[  0,   0],
                [-20, -20]], dtype=torch.int32)
    """

    window: Tensor
    filters: Tensor

    def __init__(self, sample_rate: int, mels: int = 64) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        filters = mel_filters(sample_rate, _N_FFT, mels)
        window = torch.hann_window(_N_FFT)
        self.register_buffer("window", window / window.square().sum().sqrt(), persistent=False)
        self.register_buffer("filters", torch.cat([filters, filters.sum(1, keepdim=True)], dim=1), persistent=False)

    @torch.no_grad()
    def forward(self, audio: Tensor, mix: Tensor) -> Tensor:
        """Gains and shares of all tracks."""
        return self.measure([(audio, mix)])

    @torch.no_grad()
    def measure(self, blocks: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
        """Gains and shares of a song that comes in blocks, (tracks, mix) each; one or more."""
        total, frames = None, 0
        for audio, mix in blocks:
            products, count = self._products(torch.cat([audio, mix[None]]).to(self.window.dtype))
            total, frames = products if total is None else total + products, frames + count
        assert total is not None, "a song has a block or more"
        filtered = torch.einsum("kb,ckij->cbij", self.filters.double(), total.double() / max(1, frames))
        return torch.stack([self._solve(channel) for channel in filtered], dim=1).to(self.window.dtype)

    def _products(self, signals: Tensor) -> tuple[Tensor, int]:
        """Products of the spectra of all pairs of signals, [2, bins, signals, signals], summed over so many frames.

        Frames in which the mix, the last signal, is silent are left out: there it carries no information on levels.
        """
        hop = _N_FFT // 2
        missing = max(0, _N_FFT - signals.size(2))
        windows = nn.functional.pad(signals, (0, missing)).unfold(2, _N_FFT, hop)  # [signals, 2, frames, n_fft], a view
        sounding = (windows[-1].square().mean(-1) > _SILENT_POWER).any(0).nonzero().flatten()
        total = signals.new_zeros(2, self.filters.size(0), len(signals), len(signals))
        for block in sounding.split(_BLOCK_FRAMES) if sounding.numel() else ():
            for channel in range(2):
                spectra = torch.view_as_real(torch.fft.rfft(windows[:, channel, block] * self.window))
                flat = spectra.permute(2, 0, 1, 3).flatten(2)  # [bins, signals, frames * 2]
                total[channel].baddbmm_(flat, flat.mT)
        return total, sounding.numel()

    @staticmethod
    def _solve(products: Tensor) -> Tensor:
        """Gains and shares from the mean products of one channel, float64 [bands, tracks + 1, tracks + 1]."""
        among, with_mix, of_mix = products[:, :-1, :-1], products[:, :-1, -1], products[:, -1, -1]
        power = among.diagonal(dim1=1, dim2=2)
        gains = torch.linalg.solve(among + torch.diag_embed(_RIDGE * power + _LEAST_POWER), with_mix)
        share = gains * with_mix / (of_mix[:, None] + _LEAST_POWER)
        gain_db = 20 * gains.clamp(min=1e-6).log10()
        rows = gain_db.clamp(_LEAST_DB, _MOST_DB) / SCALE_DB, share.clamp(-_LARGEST_SHARE, _LARGEST_SHARE)
        return torch.stack([row.mT for row in rows], dim=1)

    def read_off(self, responses: Tensor, bins: int) -> tuple[Tensor, Tensor]:
        """Faders, panning and equalizers with the measured responses, as if nothing else had made the mix.

        Args:
            responses: [tracks, 2, 2, mels + 1].
            bins: of the equalizer.

        Returns:
            (gains [tracks, 2], not in dB; the equalizers' gains in dB at equally spaced frequencies from 0 to half the
            sample rate, [tracks, bins]: 0 dB where a track has no part in the mix.)
        """
        gain_db, share = responses[:, :, 0] * SCALE_DB, responses[:, :, 1, :-1]
        curves = (gain_db[:, :, :-1] - gain_db[:, :, -1:]).clamp(-_RANGE_DB, _RANGE_DB)
        rows = (curves * (share / _TRUSTED_SHARE).clamp(0, 1)).mean(1).double().cpu().numpy()
        centers = hertz_to_mel(band_centers(self.sample_rate, rows.shape[1]))
        at = hertz_to_mel(np.linspace(0, self.sample_rate / 2, bins))
        smooth = np.stack([np.interp(at, centers, row) for row in rows]) if len(rows) else np.zeros((0, bins))
        return 10 ** (gain_db[:, :, -1] / 20), torch.from_numpy(smooth).to(responses)


class ResponseEncoder(nn.Module):
    """Two dense layers on :class:`Responses`; their output is added to the embedding of the track.

    Args:
        mels: number of bands.
        hidden: units between them.
        embedding: size of the result.

    Shape:
        [tracks, 2, 2, mels + 1] -> [tracks, embedding]
    """

    def __init__(self, mels: int, hidden: int, embedding: int) -> None:
        super().__init__()
        self.dense = nn.Sequential(
            nn.Linear(2 * RESPONSES * (mels + 1), hidden), nn.ReLU(), nn.Linear(hidden, embedding)
        )

    def forward(self, responses: Tensor) -> Tensor:
        """Embeddings of tracks."""
        embedded: Tensor = self.dense(responses.flatten(1))
        return embedded


def staged_responses(responses: Tensor, excess_db: Tensor) -> Tensor:
    """Responses of the same tracks at the standard level (:mod:`.gain_staging`): gains are higher by the excess."""
    gains, share = responses.split(1, dim=2)
    present = gains > _LEAST_DB / SCALE_DB
    moved = gains + excess_db[:, None, None, None] / SCALE_DB
    return torch.cat([torch.where(present, moved, gains), share], dim=2)
