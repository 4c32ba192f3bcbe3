r"""The style of a mix of another song, and what is put behind a sum so that it comes closer to it.

Style is what two songs can share: the balance of third octaves re their mean (the tilt of a spectrum), the stereo width
below 250 Hz, to 2.5 kHz and above, the crest factor, and how far short-term levels spread. Loudness is none of it.

Behind the sum come an equalizer, a width of the bass and of all, and, where the reference has the smaller crest factor,
a compressor. The equalizer begins with the difference of the spectra; then all of them follow the gradient through the
renderer (AdamW on raw values, as :mod:`graphmix.search.fit`), on the loudest stretch of the mix. The loss is the sum of

.. math:: \tfrac1B \sum_b |\Delta t_b|, \quad \tfrac13 \sum_k |\Delta w_k|, \quad |\Delta c|, \quad |\Delta s|

all in dB; the crest factor is that of an 8-norm against the 2-norm, which has a gradient everywhere. What is returned
is never further from the reference than the mix was.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from graphmix.audio.files import read_audio, read_info
from graphmix.errors import GraphmixError
from graphmix.graph.editing import insert_before, with_type
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.base import Processor
from graphmix.processors.dynamics import Compressor
from graphmix.processors.filters import Equalizer
from graphmix.processors.levels import Imager
from graphmix.processors.rack import Rack
from graphmix.processors.stereo import BassWidth
from graphmix.render.renderer import Renderer
from graphmix.search.parametrization import RawGraph

NAME = "reference"
"""Name of the nodes that are put behind the sum."""
STEPS, RATE = 80, 0.05
WIDTH_EDGES_HZ = (250.0, 2500.0)
MOST_DB = 15.0
"""The equalizer's first curve goes no further up or down."""
LEAST_SECONDS = 3.0
_FFT, _EXCERPT_SECONDS, _BLOCK_SECONDS = 4096, 12.0, 0.4
_LOWEST_HZ, _FLOOR_DB, _MONO_DB = 40.0, -60.0, -50.0
_GATE_DB = 20.0


@dataclass(frozen=True, eq=False)
class Style:
    """What two songs can share, in dB; 0-dim or one-dimensional tensors with gradients.

    Args:
        balance: third octaves re their mean, [bands].
        width: side against mid below 250 Hz, to 2.5 kHz and above, [3].
        crest: 8-norm against 2-norm.
        spread: standard deviation of the levels of blocks of 0.4 s at most 20 dB below the loudest.
    """

    balance: Tensor
    width: Tensor
    crest: Tensor
    spread: Tensor

    def distance(self, other: "Style") -> dict[str, Tensor]:
        """Mean absolute difference of each part in dB; widths below -50 dB are alike."""
        audible = torch.minimum(self.balance, other.balance) > _FLOOR_DB
        widths = [style.width.clamp(min=_MONO_DB) for style in (self, other)]
        return {
            "balance": (self.balance - other.balance).abs()[audible].mean(),
            "width": (widths[0] - widths[1]).abs().mean(),
            "crest": (self.crest - other.crest).abs(),
            "spread": (self.spread - other.spread).abs(),
        }


def measure_style(mix: Tensor, sample_rate: int) -> Style:
    """The style of a mix, [2, samples]; differentiable."""
    window = torch.hann_window(_FFT, dtype=mix.dtype, device=mix.device)
    padded = torch.nn.functional.pad(mix, (0, max(0, _FFT - mix.size(1))))
    spectra = torch.fft.rfft(padded.unfold(1, _FFT, _FFT // 2) * window)
    mid, side = spectra[0] + spectra[1], spectra[0] - spectra[1]
    power = spectra.abs().square().sum((0, 1))
    hz = torch.fft.rfftfreq(_FFT, 1 / sample_rate).to(mix.device)
    bands = band_powers(power, sample_rate)
    balance = 10 * (bands / bands.mean()).clamp(min=1e-9).log10()
    low, high = WIDTH_EDGES_HZ
    regions = [(hz >= _LOWEST_HZ) & (hz < low), (hz >= low) & (hz < high), hz >= high]
    powers = [[x.abs().square().sum(0)[region].sum() for region in regions] for x in (side, mid)]
    sides, mids = (torch.stack(own) for own in powers)
    width = 10 * ((sides + 1e-9 * mids + 1e-20) / (mids + 1e-20)).log10()
    square = mix.square().mean()
    crest = 20 * (mix.pow(8).mean().pow(1 / 8) / (square + 1e-20).sqrt() + 1e-9).log10()
    size = round(_BLOCK_SECONDS * sample_rate)
    blocks = padded.square().mean(0).unfold(0, min(size, padded.size(1)), size // 2).mean(1) + 1e-12
    levels = 10 * blocks.log10()
    loud = levels[levels > levels.max() - _GATE_DB]
    return Style(balance, width, crest, loud.std(correction=0))


def band_powers(power: Tensor, sample_rate: int) -> Tensor:
    """Powers of bins by third octave from 40 Hz to 0.9 of half the rate, mean over the bins of each, [bands]."""
    edges = _band_edges(sample_rate)
    hz = np.arange(power.numel()) * (sample_rate / (2 * (power.numel() - 1)))
    rows = [np.flatnonzero((hz >= a) & (hz < b)) for a, b in itertools.pairwise(edges)]
    return torch.stack([power[torch.from_numpy(row).to(power.device)].mean() * len(row) for row in rows if len(row)])


def _band_edges(sample_rate: int) -> np.ndarray:
    count = int(np.floor(3 * np.log2(0.45 * sample_rate / _LOWEST_HZ)))
    return np.asarray(_LOWEST_HZ * 2 ** (np.arange(count + 1) / 3))


def _band_centers(sample_rate: int, bins: int) -> np.ndarray:
    edges = _band_edges(sample_rate)
    hz = np.arange(bins) * (sample_rate / (2 * (bins - 1)))
    pairs = itertools.pairwise(edges)
    return np.array([np.sqrt(a * b) for a, b in pairs if ((hz >= a) & (hz < b)).any()])


def read_reference(path: str | Path, sample_rate: int) -> Tensor:
    """A reference mix at a rate, [2, samples].

    Raises:
        GraphmixError: a file that is no audio, is silent, or is shorter than 3 s.
    """
    info = read_info(Path(path))
    audio = read_audio(info, 0, info.num_samples_at(sample_rate), sample_rate)
    if audio.size(1) < LEAST_SECONDS * sample_rate:
        raise GraphmixError(f"the reference {path} lasts {audio.size(1) / sample_rate:.1f} s; give 3 s or more.")
    if float(audio.abs().max()) < 1e-4:
        raise GraphmixError(f"the reference {path} is silent; give a mix.")
    return audio


@dataclass(frozen=True)
class Styled:
    """A graph with nodes behind its sum, and the distances to the reference before and after, in dB, by part."""

    graph: MixGraph
    before: dict[str, float]
    after: dict[str, float]


def match_style(graph: MixGraph, mix: Tensor, reference: Tensor, *, steps: int = STEPS) -> Styled:
    """Bring a mix closer to the style of a reference, by nodes behind its sum.

    Args:
        graph: on the CPU.
        mix: what it makes, [2, samples].
        reference: of another song, [2, samples], at the same rate.
        steps: of the descent.
    """
    rate = graph.sample_rate
    with torch.no_grad():
        wanted, own = measure_style(reference, rate), measure_style(mix, rate)
        first = own.distance(wanted)
    before = {name: round(float(value), 3) for name, value in first.items()}
    if float(mix.abs().max()) == 0:
        return Styled(graph, before, before)
    processors: list[Processor] = [Equalizer(rate), BassWidth(rate), Imager(rate)]
    if float(own.crest) > float(wanted.crest):
        processors.append(Compressor(rate))
    chain, rack = _chain(processors, mix, own, wanted), Rack(processors)
    renderer = Renderer(rack)
    best, least = chain, _total(renderer, chain, mix, wanted)
    excerpt = _loudest(mix, rate)
    aim = _aim(wanted, own, excerpt, rate)
    raw = RawGraph(chain, rack, own_rates=True)
    optimizer = torch.optim.AdamW(raw.parameters(), lr=RATE, weight_decay=0.0)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = RATE * (1 - 0.9 * step / steps)
        style = measure_style(renderer(raw.graph(), excerpt[None])[0], rate)
        optimizer.zero_grad()
        torch.stack(list(style.distance(aim).values())).sum().backward()
        if all(bool(p.grad.isfinite().all()) for p in raw.parameters() if p.grad is not None):
            optimizer.step()
        raw.project()
        if (step + 1) % 20 == 0 or step + 1 == steps:
            snapshot = raw.snapshot()
            total = _total(renderer, snapshot, mix, wanted)
            if total < least:
                best, least = snapshot, total
    if least >= float(torch.stack(list(first.values())).sum()):
        return Styled(graph, before, before)
    with torch.no_grad():
        last = measure_style(renderer(best, mix[None])[0], rate).distance(wanted)
    return Styled(_behind(graph, best), before, {name: round(float(value), 3) for name, value in last.items()})


def _aim(wanted: Style, own: Style, excerpt: Tensor, sample_rate: int) -> Style:
    """What the excerpt should be like, so that the whole is like the reference: it differs from the whole already."""
    with torch.no_grad():
        here = measure_style(excerpt, sample_rate)
    parts = ("balance", "width", "crest", "spread")
    return Style(*(getattr(wanted, p) + getattr(here, p) - getattr(own, p) for p in parts))


def _chain(processors: list[Processor], mix: Tensor, own: Style, wanted: Style) -> MixGraph:
    """An equalizer by the difference of the spectra, and the rest neutral."""
    rate = processors[0].sample_rate
    graph = MixGraph([p.node_type for p in processors], rate)
    bins = processors[0].node_type.width
    known = np.log(_band_centers(rate, _FFT // 2 + 1))
    at = np.log(np.maximum(np.arange(bins) * (rate / (2 * bins - 1)), 1.0))
    curve = np.interp(at, known, (wanted.balance - own.balance).clamp(-MOST_DB, MOST_DB).numpy())
    nodes = [graph.add("equalizer", name=NAME, gain_db=curve.tolist())]
    nodes += [graph.add(p.node_type.name, name=NAME) for p in processors[1:]]
    return graph.chain(graph.add("in", name="mix"), *nodes, graph.add("out"))


@torch.no_grad()
def _total(renderer: Renderer, chain: MixGraph, mix: Tensor, wanted: Style) -> float:
    style = measure_style(renderer(chain, mix[None])[0], chain.sample_rate)
    return float(torch.stack(list(style.distance(wanted).values())).sum())


def _loudest(mix: Tensor, sample_rate: int) -> Tensor:
    """The loudest stretch of 12 s, or all of a shorter mix."""
    length, hop = round(_EXCERPT_SECONDS * sample_rate), sample_rate
    if mix.size(1) <= length:
        return mix
    power = mix.square().sum(0).double().cumsum(0)
    starts = torch.arange(0, mix.size(1) - length, hop)
    begin = int(starts[(power[starts + length] - power[starts]).argmax()])
    return mix[:, begin : begin + length]


def _behind(graph: MixGraph, chain: MixGraph) -> MixGraph:
    """The processors of a chain before each output of a graph."""
    rows = chain.rows().tolist()
    for node in range(chain.node_type.numel()):
        kind = chain.type_of(node)
        if not kind.is_processor or float(chain.wet[node]) == 0:
            continue
        graph = with_type(graph, kind)
        for out in graph.nodes_of("out").tolist():
            graph = insert_before(graph, out, kind.name, name=NAME)
            graph.params[kind.name][-1] = chain.params[kind.name][rows[node]]
            graph.wet[-1] = chain.wet[node]
    return graph
