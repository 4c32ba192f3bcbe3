r"""How late a mix is against its tracks, and which tracks lie elsewhere or are inverted.

:func:`find_lags` answers three questions. *The whole mix*: where the correlations of all tracks with the mix, whitened
by the phase transform, have their greatest mean square (:func:`graphmix.audio.correlation.common_lag`); then, to a part
of a sample, where the likelihood below is greatest for all tracks together. *Each track*: in each bin f the mix is
explained by filters of all tracks at once, by least squares over the frames of the song,

.. math:: X(f, t) = \sum_k H_k(f) S_k(f, t) + E(f, t), \quad
    z_k(\tau) = \frac{\sum_f \mathrm{Re}\, H_k(f) \, w_k(f) \, e^{j 2 \pi f \tau}}{\sqrt{\sum_f w_k(f) / 2}}, \quad
    w_k = \frac{P_k}{\sigma^2}

where :math:`P_k` is the power of the track that no filters of the others explain, and :math:`\sigma^2` that of *E*. A
track that is in the mix by a gain and a delay alone has the maximum-likelihood estimate of both where z is extreme; z
has a variance of about 1 where it is not. Effects spread the peak and lower it, and so does a neighbour that plays
the same, for then P is small: such a track is not certain, and is left where it is. *Polarity* is the sign of the peak.

Conventions: lags are in samples of the song, positive where the mix is late. A track is moved against the others only
if its peak is far above what z is where the others lie.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from graphmix.audio.alignment import (
    INVERTED_CORRELATION,
    profile_song,
)
from graphmix.audio.correlation import RELATED_POWER, RELATED_SHARE, common_lag, fit_tracks
from graphmix.audio.song import SILENT_PEAK, Song
from graphmix.audio.speed import find_drift, find_rate_mixup

MOST_SECONDS = 30.0
"""Largest offset of a mix that is taken for granted."""
FRAME_SECONDS = 0.27
"""Of the spectra: a track is found within a third of it, or where it correlates best if that is farther away."""
FAR_SECONDS = 0.02
CERTAIN = 20.0
"""Height of a peak above which it counts."""
FACTOR = 2.0
"""A track is moved if its peak is so many times as high as anything where the others lie, and so its share of the mix's
energy."""
AUDIBLE = 1e-4
"""Share of the mix's energy that counts."""
LEAST = 0.5
"""Samples that a mix or a track is away at the least."""
QUIET_PEAK = 1e-3
"""A mix with peaks below is dither or noise, of which nothing can be said."""
_NEAR_SECONDS = 0.0002
_MOST_BYTES = 512 << 20
_RIDGE = 1e-6
_FLOOR = 1e-4
_BLOCK_SECONDS = 10.0
_MANY = 12
"""Tracks from which on blocks are shorter: spectra of a block take 5 MB a second and track."""


@dataclass(frozen=True)
class TrackLag:
    """Where one track lies against the others: later by so many samples in the mix, and with which polarity."""

    samples: float
    inverted: bool


@dataclass(frozen=True)
class Lags:
    """What was found.

    Args:
        mix: how many samples the mix is late, beyond the song's own offset.
        tracks: name -> of the tracks that lie elsewhere or are inverted.
        related: False if mix and tracks do not belong together; then nothing is moved.
        mixup: true rate and rate that a file was read at, if that is why they do not belong together.
        drift_ppm: by how much longer the mix takes than its tracks, in millionths; nothing is done about it.
        too_far: seconds of an offset beyond :data:`MOST_SECONDS`; then nothing is moved either.
    """

    mix: float = 0.0
    tracks: Mapping[str, TrackLag] = field(default_factory=dict)
    related: bool = True
    too_far: float = 0.0
    mixup: tuple[int, int] | None = None
    drift_ppm: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.mix or self.tracks)


@torch.no_grad()
def find_lags(song: Song) -> Lags:
    """Where mix and tracks lie, and whether they run at one speed; nothing is moved where that is not certain.

    Args:
        song: with a mix.

    Raises:
        SongError: a file cannot be decoded any more.
    """
    profile = profile_song(song)
    *tracks, mix = profile.low
    sounding = [row for row, track in enumerate(tracks) if np.ptp(track) > SILENT_PEAK]
    if song.mix is None or not sounding or np.ptp(mix) <= QUIET_PEAK:
        return Lags()
    lag, power, best = common_lag(profile.low[sounding], mix)
    _, share = fit_tracks(profile.low[sounding], mix, lag)
    if power < RELATED_POWER and share < RELATED_SHARE:
        return Lags(related=False, mixup=find_rate_mixup(profile.low[sounding], mix))
    if abs(lag / profile.rate) > MOST_SECONDS:
        return Lags(too_far=lag / profile.rate)
    drift = find_drift(profile.low[sounding], mix, profile.rate, lag)
    return replace(_find_lags(song, sounding, lag, best, profile.rate), drift_ppm=drift)


def _find_lags(song: Song, sounding: list[int], lag: int, best: list[tuple[int, float]], rate: float) -> Lags:
    """The same of a song whose mix belongs to its tracks.

    Args:
        song: with a mix.
        sounding: rows of the tracks that sound.
        lag: of the mix, in samples of the profile.
        best: where each track correlates best, and how well.
        rate: of the profile.
    """
    scale = song.sample_rate / rate
    start = torch.full((len(sounding),), round(lag * scale))
    first = _measure(song, sounding, start)
    common = first.common_lag()
    if common is None:
        return Lags()
    own = first.own_lags(common)
    settled = first.settle(common, own == 0)
    own[own != 0] -= settled - common
    common = settled
    start += common
    for i, (place, value) in enumerate(best):
        apart = round(place * scale) - int(start[0])
        is_far = abs(value) > INVERTED_CORRELATION and abs(apart) > FAR_SECONDS * song.sample_rate
        if is_far and abs(int(own[i]) - apart) > scale:
            own[i] = apart
    names = [song.track_names[row] for row in sounding]
    if common == 0 and not bool(own.any()):  # as most songs are: measured already
        return _result(names, first, int(start[0]), own)
    second = _measure(song, sounding, start + own)
    before, after = first.contributions(common).abs(), second.contributions().abs()
    moved = (own != 0) & (second.peaks().abs() > CERTAIN) & (after > AUDIBLE) & (after > FACTOR * before)
    if not torch.equal(moved, own != 0):
        own = own * moved
        second = _measure(song, sounding, start + own)
    return _result(names, second, int(start[0]), own)


def _result(names: list[str], found: "_Likelihood", start: int, own: Tensor) -> Lags:
    """The lags of the mix and of what is moved against it, to a part of a sample."""
    still = own == 0
    rest = found.refine(still) if bool(still.any()) else 0.0
    mix = start + rest if abs(start + rest) >= LEAST else 0.0
    gains, heights = found.contributions(), found.at(rest)
    tracks = {}
    for i, name in enumerate(names):
        samples = 0.0 if still[i] else int(own[i]) + found.refine(torch.arange(len(names)) == i) - rest
        peak = float(found.peaks()[i])
        height = float(heights[i]) if still[i] else peak
        inverted = height < -CERTAIN and -height > 0.8 * abs(peak) and float(gains[i]) < -AUDIBLE
        if abs(samples) >= LEAST or inverted:
            tracks[name] = TrackLag(samples if abs(samples) >= LEAST else 0.0, inverted)
    return Lags(mix, tracks)


class _Likelihood:
    """How well each track fits at each lag, around the lags for which it was measured.

    Args:
        spectra: :math:`H_k w_k`, summed over left and right, [bins, tracks].
        weights: the sum of :math:`w_k` over bins and sides, [tracks].
        sums: products of tracks, [2, bins, tracks, tracks], of tracks and mix, [2, bins, tracks], and the mix's energy.
        n_fft: of the frames.
        near: samples around a lag that count as that lag.
    """

    def __init__(
        self, spectra: Tensor, weights: Tensor, sums: tuple[Tensor, Tensor, float], n_fft: int, near: int
    ) -> None:
        self.gram, self.right, self.energy = sums
        self.spectra = spectra / (weights / 2).sqrt().clamp(min=1e-30)
        self.n_fft, self.reach, self._near = n_fft, n_fft // 3, near
        whole = torch.fft.irfft(self.spectra.T, n_fft, norm="forward") / 2
        self.z = torch.cat([whole[:, -self.reach :], whole[:, : self.reach + 1]], 1)
        """At the lags from ``-reach`` to ``reach``, [tracks, lags]."""

    def at(self, lag: float, order: int = 0) -> Tensor:
        """z at any lag, or a derivative of it, [tracks]."""
        turn = 2 * math.pi / self.n_fft * torch.arange(len(self.spectra), dtype=torch.float64)
        return ((1j * turn) ** order * torch.exp(1j * turn * lag) @ self.spectra).real

    def common_lag(self) -> int | None:
        """The lag at which all tracks together fit best; None if none of them is certain there."""
        votes = self.z.square().log1p().sum(0)
        place = int(votes.argmax())
        return place - self.reach if float(self.z[:, place].abs().max()) > CERTAIN else None

    def settle(self, lag: int, chosen: Tensor) -> int:
        """The lag around another one at which some of the tracks fit best: the vote counts small heights too much."""
        begin = max(0, self.reach + lag - 4 * self._near)
        z = self.z[chosen, begin : self.reach + lag + 4 * self._near + 1]
        return int(z.square().sum(0).argmax()) + begin - self.reach if len(z) else lag

    def near(self, lag: int) -> Tensor:
        """The greatest height around a lag, [tracks]."""
        begin = max(0, self.reach + lag - self._near)
        return self.z[:, begin : self.reach + lag + self._near + 1].abs().amax(1)

    def own_lags(self, common: int) -> Tensor:
        """How far each track's peak lies from the common lag, where it is certain and high enough; else 0."""
        height, place = self.z.abs().max(1)
        apart = place - self.reach - common
        apart[(height <= CERTAIN) | (height <= FACTOR * self.near(common))] = 0
        return apart

    def contributions(self, lag: int = 0) -> Tensor:
        """The share of the mix's energy that each track has by a gain alone, all of them at one lag, [tracks].

        Negative where the gain is.
        """
        turn = torch.exp(2j * math.pi / self.n_fft * lag * torch.arange(self.right.size(1)))[None, :, None]
        gram, right = self.gram.real.sum(1, dtype=torch.float64), (self.right * turn).real.sum(1, dtype=torch.float64)
        own = gram.diagonal(dim1=1, dim2=2)
        gains = torch.linalg.solve(gram + torch.diag_embed(1e-6 * own + 1e-30), right)
        return (gains.abs() * gains * own).sum(0) / self.energy

    def peaks(self) -> Tensor:
        """The greatest height of each track, with its sign, [tracks]."""
        place = self.z.abs().argmax(1, keepdim=True)
        return self.z.gather(1, place)[:, 0]

    def refine(self, chosen: Tensor) -> float:
        """The lag near 0 at which some of the tracks fit best together, by Newton's method."""
        first_lag = lag = float(self.settle(0, chosen))
        for _ in range(20):
            z, slope, bend = (self.at(lag, order)[chosen] for order in range(3))
            first, second = float((z * slope).sum()), float((slope * slope + z * bend).sum())
            step = -first / second if second < 0 else 0.0
            lag = min(max(lag + min(max(step, -0.5), 0.5), first_lag - 1), first_lag + 1)
            if abs(step) < 1e-6:
                break
        return lag


def _measure(song: Song, rows: list[int], lags: Tensor) -> _Likelihood:
    """Filters and their precision around lags in whole samples, one for each of some tracks."""
    count, rate = len(rows), song.sample_rate
    n_fft = 2 ** round(math.log2(FRAME_SECONDS * rate))
    while n_fft > 1024 and (16 * n_fft // 2 * count**2 > _MOST_BYTES or song.num_samples < 1.5 * n_fft * count):
        n_fft //= 2
    bins = n_fft // 2 + 1
    gram = torch.zeros(2, bins, count, count, dtype=torch.complex64)
    right = torch.zeros(2, bins, count, 1, dtype=torch.complex64)
    power, frames = torch.zeros(2, bins, dtype=torch.float64), 0
    for tracks, mix in _frames(song, rows, lags, n_fft):
        gram += tracks.mH @ tracks
        right += tracks.mH @ mix
        power += mix.abs().square().sum((2, 3)).double()
        frames += mix.size(2)
    spectra, weights = torch.zeros(bins, count, dtype=torch.complex128), torch.zeros(count, dtype=torch.float64)
    floor = _FLOOR * power.mean(1, keepdim=True) + 1e-30
    for side in range(2):
        filters, known = _solve(gram[side].to(torch.complex128), right[side, :, :, 0].to(torch.complex128))
        left = power[side] - (filters.conj() * right[side, :, :, 0]).sum(1).real
        noise = torch.maximum(left.clamp(min=0) / max(1, frames - count), (_FLOOR * power[side] + floor[side]) / frames)
        own = known / noise[:, None]
        own[0] = own[-1] = 0
        spectra += filters * own
        weights += own.sum(0)
    sums = gram, right[..., 0], float(power.sum())
    return _Likelihood(spectra, weights, sums, n_fft, max(1, round(_NEAR_SECONDS * rate)))


def _solve(gram: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Filters [bins, tracks], and the energy of each track that the others do not explain."""
    scale = gram.diagonal(dim1=1, dim2=2).real.clamp(min=1e-20).sqrt()
    gram = gram / (scale[:, :, None] * scale[:, None])
    inverse = torch.linalg.inv(gram + _RIDGE * torch.eye(gram.size(1), dtype=gram.dtype))
    filters = (inverse @ (right / scale)[:, :, None])[..., 0] / scale
    return filters, scale.square() / inverse.diagonal(dim1=1, dim2=2).real.clamp(min=1.0)


def _frames(song: Song, rows: list[int], lags: Tensor, n_fft: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Spectra of tracks, each later by its lag, [2, bins, frames, tracks], and of the mix, [2, bins, frames, 1]."""
    hop, window = n_fft // 2, torch.hann_window(n_fft)
    seconds = _BLOCK_SECONDS * min(1.0, _MANY / len(rows))
    length = max(1, round(seconds * song.sample_rate / hop)) * hop
    first, last = int(lags.min()), int(lags.max())

    def spectra(audio: Tensor) -> Tensor:
        return torch.fft.rfft(audio.unfold(-1, n_fft, hop) * window).permute(1, 3, 2, 0)

    for begin in range(0, max(hop, song.num_samples - hop), length):
        taken = min(length, -(-(song.num_samples - begin) // hop) * hop) + hop
        mix = song.read_mix(begin, taken).cpu()
        if float(mix.abs().max()) <= SILENT_PEAK:
            continue
        stems = song.read(begin - last, taken + last - first).stems[rows].cpu()
        moved = torch.stack(
            [x[:, last - lag : last - lag + taken] for x, lag in zip(stems, lags.tolist(), strict=True)]
        )
        yield spectra(moved), spectra(mix[None])
