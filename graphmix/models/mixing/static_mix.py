r"""A static mix, levels and places alone, by four numbers, which few songs are enough to learn.

Songs that people mixed themselves are rare, and what they have in common is simple. Each track is brought to

.. math:: g_i = G + \mathrm{kept}\,(L_i - \bar L) + \mathrm{tilt}\,(o_i - \bar o) - L_i

with its integrated loudness L_i in LUFS (ITU-R BS.1770-4) and its spectral centre o_i in octaves (the mean of log2 f,
weighted by the K-weighted power), both re their means over the song; G makes the sum as loud as mixes are, the powers
of tracks taken to add up. With kept = tilt = 0 this is the sum at equal loudness (``loudness_sum``); bright tracks are
mixed softer than that, and a part of the differences that the tracks come with is meant.

Where no track has a side channel, tracks are placed alternately on the left and on the right in the order of their
spectral centres, those of low frequencies in the middle, by the constant-power law.
"""

import math
from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from graphmix.audio.loudness import LOWEST_LUFS, gated_loudness, k_weighting, window_powers
from graphmix.graph.mixgraph import MixGraph
from graphmix.models.config import ModelConfig
from graphmix.models.mixing.baselines import GAIN_RANGE_DB
from graphmix.models.mixing.canonical import CanonicalSong, EmbeddedSong
from graphmix.models.mixing.estimator import Embeddings, Estimator, register
from graphmix.models.mixing.stems import Stems
from graphmix.models.mixing.wiring import console_of_faders
from graphmix.processors.rack import Rack

FURTHEST_DB = 12.0
"""No track is further than this from equal loudness."""
NO_SIDE = 1e-4
"""Share of the power that the side channel has in a song without one: -40 dB."""
LOW_HZ = 150.0
"""A track with most of its loudness below this stays in the middle."""
_FFT_SIZE = 4096
_POWER, _OCTAVES, _SIDE, _LOW = range(4)


class StaticMixConfig(ModelConfig):
    """The static mix; the defaults were fitted to eleven songs, and training replaces them.

    Args:
        mix_lufs: integrated loudness of the sum.
        kept: share of the differences of loudness between the tracks that stays.
        tilt_db: level of a track for each octave that its spectral centre is above the song's mean, in dB.
        width: place of tracks of songs without a side channel, from 0 (middle) to 1 (one side alone).
    """

    name: Literal["static_mix"] = "static_mix"
    chain: Literal["g"] = "g"
    mix_lufs: float = Field(default=-15.2, ge=LOWEST_LUFS, le=0)
    kept: float = Field(default=0.1, ge=0, le=1)
    tilt_db: float = Field(default=-1.5, ge=-12, le=12)
    width: float = Field(default=0.3, ge=0, le=1)


class Balance(NamedTuple):
    """The four numbers; see :class:`StaticMixConfig`."""

    mix_lufs: float
    kept: float
    tilt_db: float
    width: float


class TrackMeasures(NamedTuple):
    """What the static mix knows of the active tracks of a song, [active] each.

    Args:
        loudness: in LUFS.
        octaves: spectral centre, in octaves re 1 kHz.
        side: share of the side channel in the power.
        low: share of the K-weighted power below :data:`LOW_HZ`.
    """

    loudness: Tensor
    octaves: Tensor
    side: Tensor
    low: Tensor


@register
class StaticMix(Estimator):
    """Levels and places by four numbers; see the module."""

    config_type: ClassVar[type[ModelConfig]] = StaticMixConfig
    needs_training: ClassVar[bool] = False
    config: StaticMixConfig
    balance: Tensor

    def __init__(self, config: ModelConfig, rack: Rack | None = None) -> None:
        super().__init__(config, rack)
        numbers = [getattr(self.config, name) for name in Balance._fields]
        self.register_buffer("balance", torch.tensor(numbers, dtype=torch.float64))

    def embeddings_of(self, songs: Sequence[CanonicalSong]) -> list[Embeddings]:
        """Of each window of 400 ms its K-weighted power, and the measures of the block times that power, [active,
        windows, 4]: so that the mean over the windows of all blocks is weighted by loudness.
        """
        return [Embeddings(track_windows(song)) for song in songs]

    def pool(self, parts: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """The windows of all blocks."""
        return torch.cat(list(parts))

    @torch.no_grad()
    def graphs_of(self, songs: Sequence[EmbeddedSong], *, soft: bool) -> list[MixGraph]:
        """One gain for each track."""
        balance, graphs = Balance(*self.balance.tolist()), []
        for song in songs:
            gains = static_gains_db(measures_of(song.tracks.cpu()), balance).float()
            graph = console_of_faders(self.rack.types, song.names, song.silent, gains, self.sample_rate)
            graphs.append(graph.to(self.device))
        return graphs

    @torch.no_grad()
    def fit_songs(self, examples: Iterable[tuple[Stems, MixGraph]]) -> None:
        """Fit the numbers to the mixes; see :func:`graphmix.models.mixing.static_mix_fit.fit_balance`.

        Songs without a mix, or with a silent one, do not count; without any, nothing changes.
        """
        from graphmix.models.mixing.static_mix_fit import fit_balance, stretches

        songs = list(stretches((stems for stems, _ in examples), self.sample_rate))
        if songs:
            self.balance.copy_(torch.tensor(fit_balance(songs), dtype=torch.float64))


def static_gains_db(tracks: TrackMeasures, balance: Balance) -> Tensor:
    """Gains of left and right in dB, [active, 2], float64."""
    if not len(tracks.loudness):
        return torch.zeros(0, 2, dtype=torch.float64)
    wanted = balance.kept * _centered(tracks.loudness) + balance.tilt_db * _centered(tracks.octaves)
    wanted = wanted.clamp(-FURTHEST_DB, FURTHEST_DB)
    wanted = wanted + balance.mix_lufs - 10 * (10 ** (wanted / 10)).sum().log10()
    gains = (wanted - tracks.loudness).clamp(*GAIN_RANGE_DB)
    angle = (1 + balance.width * _sides(tracks, wanted)) * (math.pi / 4)
    sides = math.sqrt(2) * torch.stack([angle.cos(), angle.sin()], dim=1)
    return (gains[:, None] + 20 * sides.clamp(min=1e-3).log10()).clamp(*GAIN_RANGE_DB)


def _centered(values: Tensor) -> Tensor:
    return values - values.mean()


def _sides(tracks: TrackMeasures, levels: Tensor) -> Tensor:
    """-1, 0 or 1 for each track: left, middle, right; 0 for all where the sum at these levels has a side channel."""
    sides = torch.zeros_like(levels)
    power = 10 ** (levels / 10)
    free = [row for row in tracks.octaves.argsort().tolist() if float(tracks.low[row]) < 0.5]
    if float((power * tracks.side).sum() / power.sum()) < NO_SIDE and len(free) > 1:
        for number, row in enumerate(free):
            sides[row] = 1 if number % 2 else -1
    return sides


def track_windows(song: CanonicalSong) -> Tensor:
    """Power, octaves, side, low of each track and window, [active, windows, 4]; all but the first times the power."""
    if not song.names:
        return song.audio.new_zeros(0, 1, 4, dtype=torch.float64)
    powers = window_powers(song.audio, song.sample_rate)
    measures = torch.stack([_block_measures(track, song.sample_rate) for track in song.audio]).to(powers)
    return torch.cat([powers[..., None], powers[..., None] * measures[:, None]], dim=-1)


def _block_measures(track: Tensor, sample_rate: int) -> Tensor:
    """Spectral centre in octaves re 1 kHz, share of the side, share of what is low: [2, samples] -> [3]."""
    left, right = track.float().unbind(0)
    pair = torch.stack([(left + right) / 2, (left - right) / 2])
    pair = torch.nn.functional.pad(pair, (0, max(0, _FFT_SIZE - pair.size(1))))
    window = torch.hann_window(_FFT_SIZE, device=track.device)
    spectrum = torch.stft(pair, _FFT_SIZE, _FFT_SIZE // 2, window=window, center=False, return_complex=True)
    power = spectrum.abs().square().double().mean(-1)[:, 1:]
    hz = torch.fft.rfftfreq(_FFT_SIZE, 1 / sample_rate, dtype=torch.float64)[1:]
    weighted = power.sum(0) * torch.from_numpy(k_weighting(hz.numpy())).to(power)
    total = weighted.sum().clamp(min=1e-30)
    hz = hz.to(power)
    octaves = (weighted * (hz / 1000).log2()).sum() / total
    return torch.stack([octaves, power[1].sum() / power.sum().clamp(min=1e-30), weighted[hz < LOW_HZ].sum() / total])


def measures_of(windows: Tensor) -> TrackMeasures:
    """Of all windows, [active, windows, 4]."""
    power = windows[..., _POWER].sum(1).clamp(min=1e-30)
    octaves, side, low = (windows[..., column].sum(1) / power for column in (_OCTAVES, _SIDE, _LOW))
    return TrackMeasures(gated_loudness(windows[..., _POWER]), octaves, side, low)
