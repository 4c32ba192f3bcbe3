r"""Equalizers before the first step: the spectra of the tracks against that of the mix.

A model of the mix that needs no rendering: powers of the levelled tracks in mel bands, frame by frame, each multiplied
by a gain of the track and band, add up to the mix's. The gains are those for which the logarithms agree best:

.. math:: \min_x \sum_{c, b, f} \Big|\log \frac{\sum_t 10^{x_{tb} / 10} P_{tcbf}}{Y_{cbf}}\Big|
    + \text{a little } \Big(\sum_{t, b} x_{tb}^2 + (x_{tb} - x_{t, b-1})^2\Big)

Channels c are left, right, mid and side, as in the audio loss, which compares logarithms as well; that is what makes
the model better than least squares on powers. Time separates the tracks: a band is equalized on the track whose
frames ask for it, and where a track gives no evidence its gain stays at 0 dB. What the model leaves out (tracks that
are correlated, everything that is no filter) is why its gains are used only where the loss confirms them.
"""

import math

import numpy as np
import torch
from torch import Tensor

from graphmix.dsp.mel import hertz_to_mel
from graphmix.graph.mixgraph import MixGraph
from graphmix.search.levels import nodes_after_inputs
from graphmix.search.objective import Objective

RANGE_DB = 15.0
"""Largest gain of an equalizer at its start."""
_FFT = 2048
_BANDS = 40
_LOWEST_HZ = 40.0
MAX_FRAMES = 1024
_FLOOR = 1e-2
"""Share of a band's mean power below which differences do not count."""
_POWER_FLOOR = 1e-4
"""Power of a bin below which the loss ignores differences."""
STEPS = 150
_FIRST_STEP_DB = 0.9
_SMALLNESS = _SMOOTHNESS = 0.01
"""Costs of a band 10 dB off, and of two neighbours 10 dB apart, in nepers of power."""


def equalizer_gains(
    objective: Objective,
    gains: Tensor | None,
    steps: int = STEPS,
    max_frames: int = MAX_FRAMES,
    first_guess: Tensor | None = None,
) -> Tensor:
    """Gains in dB of each track's equalizer at equally spaced frequencies from 0 to half the sample rate.

    Args:
        objective: the song.
        gains: levels of its tracks, [tracks, 2]; those of the plain sum by default.
        steps: of the descent.
        max_frames: of a longer song, so many are compared, evenly spread.
        first_guess: gains in dB from which the descent begins, [tracks, bins]; 0 dB by default.

    Shape:
        [tracks, bins] with as many bins as the rack's equalizer has.
    """
    song = objective.song
    filters, centers = _mel_bands(song.sample_rate)
    gains = torch.ones(song.num_tracks, 2) if gains is None else gains.float()
    width = objective.rack["equalizer"].node_type.width
    if all(segment.weight < _FFT for segment in objective.segments):
        return torch.zeros(song.num_tracks, width)
    tracks, mix = _band_powers(objective, gains, filters, max_frames)
    if not mix.numel():  # muted from beginning to end
        return torch.zeros(song.num_tracks, width)
    at = hertz_to_mel(np.linspace(0, song.sample_rate / 2, width))
    guess = None
    if first_guess is not None:
        guess = torch.from_numpy(np.stack([np.interp(centers, at, row) for row in first_guess.numpy()])).float()
    bands_db = _solve(tracks, mix, _POWER_FLOOR * filters.sum(0), steps, guess)
    return torch.from_numpy(np.stack([np.interp(at, centers, row) for row in bands_db.numpy()])).float()


def with_equalizers(graph: MixGraph, gain_db: Tensor, tracks: tuple[str, ...]) -> MixGraph:
    """The graph with these gains [tracks, bins] on the first equalizer after each input."""
    graph = graph.clone()
    for track, node, row in nodes_after_inputs(graph, "equalizer", tracks):
        graph.params["equalizer"][row] = gain_db[track]
        graph.wet[node] = 1.0
    return graph


def _mel_bands(sample_rate: int) -> tuple[Tensor, np.ndarray]:
    """Triangles that add up to 1 at every frequency, [bins, bands], and their centers in mel."""
    centers = np.linspace(hertz_to_mel(np.array(_LOWEST_HZ)), hertz_to_mel(np.array(sample_rate / 2)), _BANDS)
    at = hertz_to_mel(np.arange(_FFT // 2 + 1) * (sample_rate / _FFT)).clip(centers[0], centers[-1])
    triangles = (1 - np.abs(at[:, None] - centers) / (centers[1] - centers[0])).clip(min=0)
    return torch.from_numpy(triangles).float(), centers


def _band_powers(objective: Objective, gains: Tensor, filters: Tensor, max_frames: int) -> tuple[Tensor, Tensor]:
    """Powers of the levelled tracks [tracks, 4, bands, frames] and of the mix [4, bands, frames], over the song."""
    song = objective.song
    stride = max(1, math.ceil(2 * song.num_samples / _FFT / max_frames))
    tracks, mixes = [], []
    for segment in objective.segments:
        if segment.weight < _FFT:
            continue
        begin = segment.start + segment.score_to - segment.weight
        audio = song.read(begin, segment.weight)
        assert audio.mix is not None, "an objective has a mix"
        sounding = objective.mutes.sounding_frames(begin, segment.weight, _FFT, _FFT // 2 * stride, centered=False)
        chosen = slice(None) if sounding is None else sounding
        tracks.append(_powers(audio.stems * gains[:, :, None], filters, stride)[..., chosen])
        mixes.append(_powers(audio.mix[None], filters, stride)[0][..., chosen])
    return torch.cat(tracks, dim=-1), torch.cat(mixes, dim=-1)


def _powers(audio: Tensor, filters: Tensor, stride: int) -> Tensor:
    """Powers of left, right, mid and side in bands, [signals, 2, samples] -> [signals, 4, bands, frames]."""
    windows = audio.unfold(2, _FFT, _FFT // 2 * stride)  # [signals, 2, frames, n_fft], a view
    left, right = torch.view_as_real(torch.fft.rfft(windows * torch.hann_window(_FFT))).unbind(1)
    power = torch.stack([x.square().sum(-1) for x in (left, right, left + right, left - right)], dim=1)
    return (power @ filters).mT


@torch.enable_grad()
def _solve(tracks: Tensor, mix: Tensor, silence: Tensor, steps: int, first_guess: Tensor | None = None) -> Tensor:
    """Gains in dB, [tracks, bands], from powers of tracks and mix; below ``silence`` [bands] nothing counts."""
    floor = _FLOOR * mix.mean(-1, keepdim=True) + silence[:, None]
    tracks, mix, floor = (x.transpose(-3, -2).contiguous() for x in (tracks, mix, floor))  # bands before channels
    target = (mix + floor).log()
    by_band = tracks.flatten(2).transpose(0, 1).contiguous()  # [bands, tracks, channels * frames]
    gain_db = torch.zeros(tracks.size(0), tracks.size(1)) if first_guess is None else first_guess.clone()
    gain_db.requires_grad_()
    optimizer = torch.optim.Adam([gain_db])
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = _FIRST_STEP_DB * (1 - step / steps)
        power = ((gain_db.mT[:, None] * (math.log(10) / 10)).exp() @ by_band).view_as(mix)
        error = ((power + floor).log() - target).abs().mean() / 2
        size, bend = (gain_db / 10).square().mean(), (gain_db.diff(dim=1) / 10).square().mean()
        optimizer.zero_grad()
        (error + _SMALLNESS * size + _SMOOTHNESS * bend).backward()
        optimizer.step()
        with torch.no_grad():
            gain_db.clamp_(-RANGE_DB, RANGE_DB)
    return gain_db.detach()
