r"""The result of a search at the song's own sample rate, and its top octave.

A search works at 30 kHz: nothing above 15 kHz exists there, and its loss hardly looks above 13.4 kHz, the middle of its
last mel band. What it found goes to the song's rate (:func:`graphmix.rewrite.at_rate`), which leaves it as it is below,
and there a short stage sets what lies above :data:`EDGE` of the search's rate, in two parts:

1. *Steps*: the gains of all equalizers above the edge, as straight lines between a few frequencies, and the level that
   delays and reverbs have there, move along the gradient of the search's loss at the song's rate, on a few segments.
   The best point by the loss on these is kept, the one before the first step included.
2. *A last filter*: where the mean spectrum of the rendered mix still differs from that of the song's, an equalizer
   behind the sum makes up for it, in closed form. It is added where a third octave differs by more than
   :data:`WORTH_DB`, and is 0 dB below the edge.

Nothing below the edge moves.
"""

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphmix.audio.segments import EvalSegment, spread_segments
from graphmix.audio.song import Song
from graphmix.dsp.resampling import can_resample
from graphmix.graph.editing import insert_before, with_type
from graphmix.graph.engineering import third_octaves
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.base import Processor
from graphmix.processors.filters import EQUALIZER_RANGE_DB, Equalizer
from graphmix.processors.rack import Rack
from graphmix.render.blocks import render_song
from graphmix.rewrite.rates import TOP_OCTAVE, at_rate
from graphmix.search.objective import Objective
from graphmix.search.objectives import OBJECTIVES, PAPER_OBJECTIVE

EDGE = 13 / 30
"""Share of the search's rate above which the stage works: 13 kHz of 30."""
STEPS, SEGMENTS = 16, 4
KNOTS = 6
STEP_DB = 1.5
"""Size of the first step of a gain; the last is a tenth."""
WORTH_DB = 0.5
RANGE_DB = (-60.0, 24.0)
"""Of the last filter."""
SILENT_DB = -110.0
"""Mean power of a bin re full scale below which it is left alone."""
_FFT = 4096
_FRAMES = 512
_BLOCK_SECONDS = 20.0


class Top(NamedTuple):
    """What the stage did.

    Attributes:
        graph: at the song's rate.
        mix: of the graph over the song, [2, samples]; the last filter receives nothing from beyond its ends.
        losses: on the stage's segments, before and after the steps; None where there was nothing to move.
        added: whether there is an equalizer more, behind the sum.
    """

    graph: MixGraph
    mix: Tensor
    losses: tuple[float, float] | None
    added: bool


def own_rate(song: Song) -> int:
    """The rate of the song's mix; the song's working rate where audio cannot go from one to the other."""
    assert song.mix is not None, "mining needs a mix"
    rate = song.mix.sample_rate
    return rate if can_resample(song.sample_rate, rate) else song.sample_rate


def check_rates(effects: Sequence[Processor], sample_rate: int) -> None:
    """See that processors beside graphmix's own can go to a rate, before a search.

    Raises:
        GraphError: one of them cannot.
    """
    for effect in effects:
        effect.at_rate(sample_rate)


class Finished(NamedTuple):
    """A result as it is kept.

    Attributes:
        graph: at the rate of ``song``.
        mix: of the graph, [2, samples].
        song: at that rate.
        about: for ``metrics.json``; empty where the search worked at that rate.
    """

    graph: MixGraph
    mix: Tensor
    song: Song
    about: dict[str, Any]


def finish(
    graph: MixGraph,
    mix: Tensor,
    song: Song,
    effects: Sequence[Processor],
    searched_at: int,
    objective: str = PAPER_OBJECTIVE,
) -> Finished:
    """Bring the result of a search to the rate of its song, and fit what lies above the search's band.

    Args:
        graph: for the tracks as they are, at the rate of the search.
        mix: of the graph.
        song: as its files have it.
        effects: processors of the graph beside graphmix's own, at the rate of the search.
        searched_at: rate of the search in Hz.
        objective: name of what the search minimised.
    """
    rate = own_rate(song)
    if rate == searched_at:
        return Finished(graph, mix, song, {})
    rack = Rack.for_types(graph.types.types, searched_at, effects)
    graph = at_rate(graph, rate, rack)
    song = song.at_rate(rate)
    rack = Rack(processor.at_rate(rate) for processor in rack)
    top = fit_top(graph, song, rack, searched_at, objective)
    about: dict[str, Any] = {"sample_rate": rate, "searched_at": searched_at, "filter_added": top.added}
    if top.losses is not None:
        about |= {"top_loss_before": round(top.losses[0], 6), "top_loss": round(top.losses[1], 6)}
    return Finished(top.graph, top.mix, song, about)


def fit_top(graph: MixGraph, song: Song, rack: Rack, searched_at: int, objective: str = PAPER_OBJECTIVE) -> Top:
    """Set what a graph does above the band of its search.

    Args:
        graph: at the song's rate, from :func:`graphmix.rewrite.at_rate`.
        song: at its own rate.
        rack: processors of the graph.
        searched_at: rate of the search in Hz.
        objective: name of what is minimised.
    """
    edge_hz = EDGE * searched_at
    losses = None
    if edge_hz < song.sample_rate / 2:
        graph, losses = _descend(graph, Objective(song, rack, loss=OBJECTIVES[objective](song.sample_rate)), edge_hz)
    mix = render_song(graph, song, rack)
    if edge_hz >= song.sample_rate / 2:
        return Top(graph, mix, losses, added=False)
    gain_db = _missing_db(mix, song, edge_hz)
    _, worst = third_octaves(gain_db.numpy(), song.sample_rate)
    if np.abs(worst).max() <= WORTH_DB:
        return Top(graph, mix, losses, added=False)
    return Top(_with_last_filter(graph, gain_db), _filtered(mix, gain_db, song.sample_rate), losses, added=True)


# --- steps


class _Moves:
    """Lines between a few frequencies above the edge for each equalizer, and a level for each resampled node.

    Args:
        graph: where the descent begins.
        edge_hz: below it nothing moves.
    """

    def __init__(self, graph: MixGraph, edge_hz: float) -> None:
        self.graph = graph
        self.lines: Tensor | None = None
        self.tops: dict[str, Tensor] = {}
        self.columns: dict[str, slice] = {}
        for t in graph.types.types:
            count = graph.params[t.name].size(0) if t.is_processor else 0
            if not count:
                continue
            if t.name == "equalizer":
                self.lines = torch.zeros(count, KNOTS, requires_grad=True)
                self.hats = _hats(t.width, graph.sample_rate, edge_hz)
            elif any(p.name == "top_db" for p in t.parameters):
                self.tops[t.name] = torch.zeros(count, 1, requires_grad=True)
                self.columns[t.name] = t.columns("top_db")

    def leaves(self) -> list[Tensor]:
        """What the optimizer moves, in dB."""
        return [*([] if self.lines is None else [self.lines]), *self.tops.values()]

    def __call__(self) -> MixGraph:
        """The graph as it is moved, through which gradients flow."""
        result = copy.copy(self.graph)
        result.params = dict(self.graph.params)
        if self.lines is not None:
            moved = self.graph.params["equalizer"] + self.lines @ self.hats
            result.params["equalizer"] = moved.clamp(*EQUALIZER_RANGE_DB)
        for name, top in self.tops.items():
            values, columns = self.graph.params[name], self.columns[name]
            parts = values[:, : columns.start], (values[:, columns] + top).clamp(-100, 20), values[:, columns.stop :]
            result.params[name] = torch.cat(parts, dim=1)
        return result


def _hats(bins: int, sample_rate: int, edge_hz: float) -> Tensor:
    """Weights of bins between knots, [knots, bins]; zero at the edge and below, flat above the last knot."""
    frequency = np.arange(bins) * (sample_rate / (2 * bins - 1))
    knots = np.linspace(edge_hz, sample_rate / 2, KNOTS + 1)
    rows = [np.interp(frequency, knots, np.eye(KNOTS + 1)[k + 1]) for k in range(KNOTS)]
    return torch.from_numpy(np.stack(rows)).float()


def _descend(graph: MixGraph, objective: Objective, edge_hz: float) -> tuple[MixGraph, tuple[float, float] | None]:
    """The best graph after :data:`STEPS` steps, and the losses on the segments before and after."""
    moves = _Moves(graph, edge_hz)
    if not moves.leaves():
        return graph, None
    chosen = spread_segments(objective.segments, SEGMENTS)
    optimizer = torch.optim.Adam(moves.leaves())
    first = float(objective.evaluate(graph, chosen).total)
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = STEP_DB * (1 - 0.9 * step / STEPS)
        optimizer.zero_grad()
        _loss(objective, moves(), chosen[step % len(chosen)]).backward()
        optimizer.step()
    with torch.no_grad():
        moved = moves().clone()
    last = float(objective.evaluate(moved, chosen).total)
    return (moved, (first, last)) if last < first else (graph, (first, first))


def _loss(objective: Objective, graph: MixGraph, segment: EvalSegment) -> Tensor:
    """The loss on one segment, with its graph."""
    audio = objective.read(segment.start, segment.length)
    mix = objective.renderer(graph, objective.stems_for(graph, audio.stems), segment.start).sum(0, keepdim=True)
    scored = slice(segment.score_from, segment.score_to)
    return objective.loss(prediction=mix[..., scored], target=objective.target(segment, audio.mix)).total


# --- the last filter


def mean_powers(audio: Tensor) -> Tensor:
    """Mean power of left and right in each bin over a song, [2, samples] -> [bins] in float64."""
    window = torch.hann_window(_FFT)
    total, frames = torch.zeros(_FFT // 2 + 1, dtype=torch.float64), 0
    hop = _FFT // 2
    padded = torch.nn.functional.pad(audio, (hop, _FFT))
    for start in range(0, padded.size(1) - _FFT + 1, hop * _FRAMES):
        part = padded[:, start : start + hop * (_FRAMES - 1) + _FFT]
        spectra = torch.fft.rfft(part.unfold(1, _FFT, hop) * window)
        total += spectra.abs().square().double().sum((0, 1))
        frames += spectra.size(1)
    return total / (2 * frames * float(window.square().sum()))


def _missing_db(mix: Tensor, song: Song, edge_hz: float) -> Tensor:
    """By how much a mix is too soft above the edge, at the frequencies of an equalizer, [bins]."""
    ours, wanted = (_smooth(mean_powers(audio)) for audio in (mix, song.read_mix(0, song.num_samples)))
    floor = 10 ** (SILENT_DB / 10)
    ratio = 10 * torch.log10((wanted + floor) / (ours + floor))
    bins = (Equalizer(song.sample_rate).taps + 1) // 2
    at = np.arange(bins) * (song.sample_rate / (2 * bins - 1))
    known = np.arange(len(ratio)) * (song.sample_rate / _FFT)
    faded = np.clip((at - edge_hz) / (0.04 * edge_hz), 0, 1)
    return torch.from_numpy(np.interp(at, known, ratio.numpy()) * faded).float().clamp(*RANGE_DB)


def _smooth(power: Tensor, octaves: float = 1 / 12) -> Tensor:
    """Mean over a part of an octave around each bin."""
    total = torch.cat([power.new_zeros(1), power.cumsum(0)])
    at = torch.arange(len(power), dtype=torch.float64)
    low = (at * 2 ** (-octaves / 2)).floor().long()
    high = (at * 2 ** (octaves / 2)).ceil().long().clamp(max=len(power) - 1) + 1
    return (total[high] - total[low]) / (high - low)


def _with_last_filter(graph: MixGraph, gain_db: Tensor) -> MixGraph:
    """The graph with an equalizer before each output."""
    kind = Equalizer(graph.sample_rate).node_type
    if kind.name not in graph.types.names:
        graph = with_type(graph, kind)
    for out in graph.nodes_of("out").tolist():
        graph = insert_before(graph, out, kind.name, name=TOP_OCTAVE, gain_db=gain_db.tolist())
    return graph


@torch.no_grad()
def _filtered(mix: Tensor, gain_db: Tensor, sample_rate: int) -> Tensor:
    """A mix through an equalizer, [2, samples], part by part."""
    equalizer = Equalizer(sample_rate)
    before, after = equalizer.extent
    block, result = round(_BLOCK_SECONDS * sample_rate), torch.empty_like(mix)
    for begin in range(0, mix.size(1), block):
        start, end = max(0, begin - after), min(begin + block, mix.size(1))
        part = equalizer(mix[None, :, start : end + before], gain_db[None])[0]
        result[:, begin:end] = part[:, begin - start : end - start]
    return result
