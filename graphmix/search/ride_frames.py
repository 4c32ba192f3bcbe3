"""What each track contributes to a mix, block by block: the numbers from which gains that move are estimated.

Each track alone is rendered through the graph, and spectra of these contributions :math:`x_i` and of the mix *m* are
compared in blocks of a tenth of a second *f*. The error of the graph, with a gain :math:`a_i` on each track, is

.. math:: J_f(a) = \\sum_k w_{fk} \\Big\\lvert m_{fk} - y_{fk} + \\sum_i (1 - a_i) x_{ifk} \\Big\\rvert^2
    = a' G_f a - 2 a' r_f + e_f

where *y* is what the graph makes of all tracks. So no more than :math:`G_f`, :math:`r_f` and :math:`e_f` are kept.
Weights *w* are 1 over the power of mix and graph in the third of an octave around: an error counts in proportion to
what sounds there, as it does in the loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from graphmix.audio.segments import EvalSegment
from graphmix.graph.editing import remove_nodes
from graphmix.graph.mixgraph import MixGraph
from graphmix.search.contributions import Contributions
from graphmix.search.objective import Objective

N_FFT, HOP = 2048, 1024
BLOCK_SECONDS = 0.1
_BANDS = 30
_LOWEST_HZ = 40.0
_FLOOR = 1e-5
"""Of the powers in a band, relative to their mean over the song: 50 dB below."""


@dataclass(frozen=True)
class RideFrames:
    """Sums over the spectrum of each block.

    Args:
        gram: products of the tracks' contributions, [blocks, tracks, tracks].
        right: of contributions and what they should add up to, [blocks, tracks].
        energy: of what they should add up to, [blocks].
        block_seconds: length of a block.
        measured: which blocks were measured, [blocks]; of the others all sums are zero.
    """

    gram: np.ndarray
    right: np.ndarray
    energy: np.ndarray
    block_seconds: float
    measured: np.ndarray

    def errors(self, gains: np.ndarray) -> np.ndarray:
        """Error of each block, given gains [blocks, tracks]."""
        quadratic = np.einsum("fi,fij,fj->f", gains, self.gram, gains)
        return np.asarray(quadratic - 2 * (gains * self.right).sum(1) + self.energy)

    @property
    def num_measured(self) -> int:
        """Blocks that were measured."""
        return int(self.measured.sum())

    def only_measured(self) -> "RideFrames":
        """Without the other blocks, so that those that are left do not follow each other in time."""
        own = self.measured
        return RideFrames(self.gram[own], self.right[own], self.energy[own], self.block_seconds, own[own])

    @property
    def times(self) -> np.ndarray:
        """Middle of each block in seconds, [blocks]."""
        return np.asarray((np.arange(len(self.energy)) + 0.5) * self.block_seconds)


def frames_of(objective: Objective, graph: MixGraph, segments: Sequence[EvalSegment] | None = None) -> RideFrames:
    """Measure a graph without what it bypasses; once, as long as nothing else is measured.

    Args:
        objective: the song.
        graph: as of :func:`measure_frames`.
        segments: likewise.
    """
    own = objective.segments if segments is None else segments
    known = objective.measured.get("frames")
    if known is None or known[0] is not graph or known[1] is not own:
        bypassed = (graph.prunable & (graph.wet == 0)).nonzero().flatten().tolist()
        known = graph, own, measure_frames(objective, remove_nodes(graph, bypassed), own)
        objective.measured["frames"] = known
    return known[2]


@torch.no_grad()
def measure_frames(objective: Objective, graph: MixGraph, segments: Sequence[EvalSegment] | None = None) -> RideFrames:
    """Measure a graph over a song.

    Args:
        objective: the song.
        graph: whose inputs are the song's tracks, in any order; tracks are numbered as its inputs.
        segments: of the song, those that are measured; all by default.
    """
    segments = objective.segments if segments is None else segments
    graph = graph.clone().to(objective.device)
    rate, tracks = objective.song.sample_rate, len(graph.input_names)
    blocks = max(1, round(objective.song.num_samples / rate / BLOCK_SECONDS))
    gram = torch.zeros(blocks, tracks, tracks, dtype=torch.float64)
    right, energy = torch.zeros(blocks, tracks, dtype=torch.float64), torch.zeros(blocks, dtype=torch.float64)
    measured = torch.full((blocks,), len(segments) == len(objective.segments))
    band, usual, contributions = _bands(rate), _usual_powers(objective), Contributions(objective, graph)
    for segment in segments:
        audio = objective.read(segment.start, segment.length)
        assert audio.mix is not None, "an objective has a mix"
        parts, made = contributions(audio.stems, segment.start)
        stop = segment.score_to
        cut = slice(stop - segment.weight - N_FFT // 2, stop + N_FFT // 2)
        signals = _cut(torch.cat([parts, made[None], audio.mix[None]]), cut).cpu()
        spectra = torch.stft(
            signals.flatten(0, 1), N_FFT, HOP, window=torch.hann_window(N_FFT), center=False, return_complex=True
        ).unflatten(0, (-1, 2))
        weight = _weights(spectra[-2], spectra[-1], band, usual)
        scaled = torch.view_as_real(spectra * weight.sqrt()).movedim(3, 0).flatten(2)  # [frames, signals, values]
        every, wanted = scaled[:, :tracks], scaled[:, -1] - scaled[:, -2] + scaled[:, :tracks].sum(1)
        begin = segment.start + stop - segment.weight
        place = (begin + HOP * torch.arange(len(scaled))).div(rate * BLOCK_SECONDS).long().clamp(0, blocks - 1)
        measured[place] = True
        gram.index_add_(0, place, torch.bmm(every, every.mT).double())
        right.index_add_(0, place, torch.einsum("fnk,fk->fn", every, wanted).double())
        energy.index_add_(0, place, wanted.square().sum(1).double())
    return RideFrames(gram.numpy(), right.numpy(), energy.numpy(), BLOCK_SECONDS, measured.numpy())


def _cut(signals: Tensor, cut: slice) -> Tensor:
    """A stretch of signals, with silence behind their end."""
    return pad(signals[..., max(0, cut.start) :], (max(0, -cut.start), N_FFT))[..., : cut.stop - cut.start]


def _bands(rate: int) -> Tensor:
    """The third of an octave that each bin belongs to."""
    frequency = torch.arange(N_FFT // 2 + 1) * (rate / N_FFT)
    octaves = (frequency.clamp(min=_LOWEST_HZ) / _LOWEST_HZ).log2()
    return (3 * octaves).long().clamp(max=_BANDS - 1)


def _band_means(power: Tensor, band: Tensor) -> Tensor:
    """Mean power of each band, [bins, frames] -> [bands, frames]."""
    count = torch.bincount(band, minlength=_BANDS).clamp(min=1)
    return power.new_zeros(_BANDS, power.size(1)).index_add_(0, band, power) / count[:, None]


def _usual_powers(objective: Objective) -> Tensor:
    """Mean power of the mix in each band over the song, [bands]."""
    song = objective.song
    total, frames = torch.zeros(_BANDS), 0
    band = _bands(song.sample_rate)
    for segment in objective.segments:
        mix = song.read_mix(segment.start + segment.score_to - segment.weight, max(segment.weight, N_FFT)).cpu()
        spectrum = torch.stft(mix, N_FFT, N_FFT, window=torch.hann_window(N_FFT), center=False, return_complex=True)
        total += _band_means(spectrum.abs().square().sum(0), band).sum(1)
        frames += spectrum.size(-1)
    return total / max(1, frames)


def _weights(made: Tensor, mix: Tensor, band: Tensor, usual: Tensor) -> Tensor:
    """1 over the power around each bin, [2, bins, frames] each -> [bins, frames]."""
    power = _band_means((mix.abs().square() + made.abs().square()).sum(0), band)
    floor = (_FLOOR * usual + 1e-9)[:, None]
    share = torch.bincount(band, minlength=_BANDS).clamp(min=1).float()[:, None]  # every band counts alike
    return (1 / ((power + floor) * share))[band]
