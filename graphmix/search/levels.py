"""Levels before the first step: least squares on waveforms and on power.

The gain of each track and channel that brings the plain sum closest to the mix is a least-squares problem, solved
from inner products that are added up over the song (nothing else is kept in memory). On waveforms it is exact
where the mix is gains and panning only; where effects have changed the phases, the fit on band powers is the
better one. Gains are not negative. Stretches in which the mix is muted while tracks go on are left out
(:mod:`graphmix.search.mutes`).
"""

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.topology import follow, neighbours
from graphmix.search.objective import Objective
from graphmix.spec import DB_PER_NEPER

FLOOR_DB = -60.0
"""A track that least squares leaves out starts here: inaudible, but with a gradient."""
_POWER_FFT = 2048
_POWER_BANDS = 48


def waveform_gains(objective: Objective, sources: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """Gains [tracks, 2] that minimise the squared error of the sum, per channel, not negative.

    Args:
        objective: the song.
        sources: what is summed, [sources, 2, samples], given the tracks; by default they themselves.
    """

    def samples(audio: Tensor, begin: int) -> Tensor:
        sounding = objective.mutes.sounding(begin, audio.size(-1))
        return (audio if sounding is None else audio[..., sounding.to(audio.device)]).double()

    return _solve(objective, samples, sources=sources)


def power_gains(objective: Objective) -> Tensor:
    """Gains [tracks, 2] whose powers add up best to the mix's, band by band and frame by frame."""
    window = torch.hann_window(_POWER_FFT)
    edges = torch.logspace(0, np.log10(_POWER_FFT // 2), _POWER_BANDS + 1).round().long().unique().tolist()

    def bands(audio: Tensor, begin: int) -> Tensor:
        spectrum = torch.stft(audio.flatten(0, -2), _POWER_FFT, window=window, return_complex=True)
        power = spectrum.abs().square()
        grouped = torch.stack([power[:, a:b].sum(1) for a, b in pairwise(edges)], dim=1)
        sounding = objective.mutes.sounding_frames(begin, audio.size(-1), _POWER_FFT, _POWER_FFT // 4, centered=True)
        if sounding is not None:
            grouped = grouped[..., sounding]
        return grouped.flatten(1).double().view(*audio.shape[:-1], -1)

    return _solve(objective, bands, balance=True).sqrt()


def _solve(
    objective: Objective,
    feature: Callable[[Tensor, int], Tensor],
    balance: bool = False,
    sources: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Non-negative least squares of the mix's features on the tracks', by channel: [tracks, 2].

    Args:
        objective: the song.
        feature: of audio [..., samples] that begins at a sample of the song.
        balance: whether every feature counts by its relative error.
        sources: what is made of the tracks before.
    """
    song = objective.song
    count = song.num_tracks if sources is None else sources(torch.zeros(song.num_tracks, 2, 1)).size(0)
    gram = torch.zeros(2, count, count, dtype=torch.float64)
    right = torch.zeros(2, count, dtype=torch.float64)
    for segment in objective.segments:
        begin = segment.start + segment.score_to - segment.weight
        audio = song.read(begin, segment.weight)
        assert audio.mix is not None, "an objective has a mix"
        if segment.weight < _POWER_FFT or (balance and objective.mutes.is_silent(audio.mix)):
            continue
        tracks = audio.stems if sources is None else sources(audio.stems)
        stems, mix = feature(tracks, begin), feature(audio.mix, begin)
        if not mix.numel():
            continue
        if balance:
            scale = mix.mean() * 0.01 + mix
            stems, mix = stems / scale, mix / scale
        gram += torch.einsum("icn,jcn->cij", stems, stems)
        right += torch.einsum("icn,cn->ci", stems, mix)
    gains = np.stack([_nonnegative(gram[c].numpy(), right[c].numpy()) for c in range(2)], axis=1)
    return torch.from_numpy(gains)


def _nonnegative(gram: np.ndarray, right: np.ndarray) -> np.ndarray:
    """argmin over x >= 0 of x' G x - 2 r' x, by a square root of G."""
    from scipy.optimize import nnls  # here: it takes long to import

    values, vectors = np.linalg.eigh(gram)
    kept = values > max(values.max(), 1e-12) * 1e-13
    if not kept.any():  # this channel of every track is silent; scipy would return memory that it never wrote
        return np.zeros(len(right))
    root = np.sqrt(values[kept])
    matrix, target = root[:, None] * vectors[:, kept].T, (vectors[:, kept].T @ right) / root
    solution, _ = nnls(matrix, target, maxiter=100 * len(right))
    return solution


def with_levels(graph: MixGraph, gains: Tensor, tracks: tuple[str, ...]) -> MixGraph:
    """The graph with these track gains on the first gain node after each input; untouched where there is none."""
    graph = graph.clone()
    gain_db = (gains.clamp(min=1e-12).log() * DB_PER_NEPER).clamp(FLOOR_DB, 40.0).float()
    for track, node, row in nodes_after_inputs(graph, "gain", tracks):
        graph.params["gain"][row] = gain_db[track]
        graph.wet[node] = 1.0
    return graph


def nodes_after_inputs(graph: MixGraph, kind: str, tracks: tuple[str, ...]) -> Iterator[tuple[int, int, int]]:
    """The first node of a type that each track alone goes through: (number of the track, node, row of parameters)."""
    rows = graph.rows().tolist()
    _, after = neighbours(graph.node_type.numel(), graph.edges())
    for node in graph.nodes_of("in").tolist():
        for current in follow(after, node):
            name = graph.type_of(current).name
            if name == kind:
                yield tracks.index(graph.names[node]), current, rows[current]
            if name in (kind, "mix", "out"):
                break
