"""New mixtures from old stems: sources of several songs, at other levels, through effects of our own.

What is drawn for a step depends on the seed and the step's number alone, so that a resumed training sees what an
uninterrupted one would have. Effects and mixture are one graph for each mixture: in -> effects -> mix -> out for each
source, with an outlet for each stem beside the mix; the stems of a mixture are *wet* as they come out, or *dry* as they
went in.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch_geometric.data import Batch

from graphmix.graph.mixgraph import MixGraph
from graphmix.render.renderer import Renderer
from graphmix.songbook.effects import Setting, dynamics, equalizer, room, studio
from graphmix.training.separation.config import RemixConfig
from graphmix.training.separation.sources import SourceSong
from graphmix.training.separation.stems import StemStore

_STREAM = 7
COLOR_HZ = (50.0, 16000.0)
"""Between these frequencies the curve of a color changes."""
COLOR_KNOTS = 8
EFFECTS = ("equalizer", "compressor", "imager", "reverb")
"""Effects that may be drawn, in the order of a chain."""


class Mixtures(NamedTuple):
    """Mixtures of a step, and what they are made of.

    Args:
        mixture: [N, 2, samples].
        stems: to be found, [N, sources, 2, samples].
        color_db: gain of each stem at :func:`color_frequencies`, still to be applied to stems and mixture alike,
            [N, sources, knots]; no knots, no color.
    """

    mixture: Tensor
    stems: Tensor
    color_db: Tensor = torch.zeros(0)


class Remixer:
    """Draws the mixtures of each step.

    Args:
        songs: to draw from.
        store: their stems.
        config: of the augmentation.
        seconds: length of a mixture.
        seed: of every choice.
    """

    def __init__(
        self, songs: Sequence[SourceSong], store: StemStore, config: RemixConfig, seconds: float, seed: int
    ) -> None:
        self.songs, self.store, self.config, self.seed = tuple(songs), store, config, seed
        self.length = round(seconds * store.sample_rate)
        self.having = [[i for i, song in enumerate(self.songs) if source in song.tracks] for source in store.sources]

    def draw(self, step: int, count: int) -> Mixtures:
        """The mixtures of a step."""
        rngs = [np.random.default_rng(np.random.SeedSequence((self.seed, _STREAM, step, i))) for i in range(count)]
        stems = torch.stack([self._stems(rng) for rng in rngs])
        color = self._colors(rngs, stems.size(1))
        if not self.config.effects:
            return Mixtures(stems.sum(dim=1), stems, color)
        graphs = [self._graph(rng, stems.size(1)) for rng in rngs]
        mixture, wet = self._render(graphs, stems)
        return Mixtures(mixture, wet if self.config.target == "wet" else stems, color)

    def _colors(self, rngs: Sequence[Generator], sources: int) -> Tensor:
        largest = self.config.color_db
        knots = COLOR_KNOTS if largest else 0
        return torch.stack([torch.from_numpy(rng.uniform(-largest, largest, (sources, knots))) for rng in rngs]).float()

    def _stems(self, rng: Generator) -> Tensor:
        """Stems of one mixture, [sources, 2, samples]: those of one song at one place, some of them of others."""
        config, store = self.config, self.store
        own = int(rng.integers(len(self.songs)))
        rate = self._rate(rng)
        start = self._start(rng, own, rate)
        stems = torch.zeros(len(store.sources), 2, self.length)
        for source, row in enumerate(stems):
            swapped, muted, flipped = rng.random(3) < (config.swap, config.mute, config.flip)
            gain_db = rng.uniform(-config.gain_db, config.gain_db)
            if muted or not self.having[source]:
                continue
            song, begin, speed = own, start, rate
            if swapped:
                song = self.having[source][int(rng.integers(len(self.having[source])))]
                speed = self._rate(rng)
                begin = self._start(rng, song, speed)
            read = store.read(self.songs[song], source, begin, self._read_length(speed))
            part = change_speed(read, self.length) * 10 ** (gain_db / 20)
            row.copy_(part.flip(0) if flipped else part)
        return stems

    def _rate(self, rng: Generator) -> float:
        """Samples that are read for one of the mixture; nothing is drawn where speed does not change."""
        largest = self.config.speed_semitones
        return 2 ** (rng.uniform(-largest, largest) / 12) if largest else 1.0

    def _read_length(self, speed: float) -> int:
        return max(1, round((self.length - 1) * speed) + 1)

    def _start(self, rng: Generator, song: int, speed: float) -> int:
        room = self.store.num_samples(self.songs[song]) - self._read_length(speed)
        return int(rng.integers(max(1, room + 1)))

    # --- effects

    def _graph(self, rng: Generator, sources: int) -> MixGraph:
        """Chains of effects into one mix; the out nodes are the mix's, then each stem's."""
        rack = self.renderer.rack
        graph = MixGraph(rack.types, rack.sample_rate)
        mix = graph.add("mix")
        graph.connect(mix, graph.add("out", name="mix"))
        for source in range(sources):
            end = graph.add("in", name=self.store.sources[source])
            for kind in EFFECTS:
                if rng.random() < self.config.effects:
                    name, wet, values = _draw_effect(kind, rack.sample_rate, rng)
                    node = graph.add(name, wet=wet, **values)
                    graph.connect(end, node)
                    end = node
            graph.connect(end, mix)
            graph.connect(end, graph.add("out", name=self.store.sources[source]))
        return graph

    @torch.no_grad()
    def _render(self, graphs: list[MixGraph], stems: Tensor) -> tuple[Tensor, Tensor]:
        """Mixtures [N, 2, samples] and wet stems [N, sources, 2, samples]."""
        outs = self.renderer(Batch.from_data_list(graphs), stems.flatten(0, 1))
        rows = outs.unflatten(0, (len(graphs), 1 + stems.size(1)))
        return rows[:, 0], rows[:, 1:]

    @property
    def renderer(self) -> Renderer:
        """Of the console's processors, made once in a process."""
        return studio(self.store.sample_rate)


def change_speed(audio: Tensor, length: int) -> Tensor:
    """Audio in another number of samples: faster and higher, or slower and lower, as a tape.

    Linear interpolation: for augmentation, where it colors a source and its share of the mixture alike, it is enough.

    Shape:
        [channels, samples] -> [channels, length]; first and last sample stay the first and the last.
    """
    if audio.size(-1) == length:
        return audio
    return torch.nn.functional.interpolate(audio[None], size=length, mode="linear", align_corners=True)[0]


def color_frequencies(knots: int) -> Tensor:
    """Frequencies of a color's gains in Hz, equally far apart in octaves, [knots]."""
    low, high = COLOR_HZ
    return low * (high / low) ** torch.linspace(0, 1, knots, dtype=torch.float64)


def color_curves(color_db: Tensor, frequencies: Tensor) -> Tensor:
    """Amplitude gains of colors, straight lines in dB over octaves, level beyond the outermost.

    Args:
        color_db: gains at :func:`color_frequencies`, [..., knots].
        frequencies: in Hz, [bins].

    Returns:
        [..., bins]
    """
    low, high = COLOR_HZ
    knots = color_db.size(-1)
    octaves = (frequencies.clamp(low, high) / low).log() / math.log(high / low)  # 0 to 1
    place = (octaves * (knots - 1)).clamp(0, knots - 1)
    left = place.floor().long().clamp(max=knots - 2)
    share = (place - left).to(color_db)
    gain_db = color_db[..., left] * (1 - share) + color_db[..., left + 1] * share
    return 10 ** (gain_db / 20)


def _draw_effect(kind: str, sample_rate: int, rng: Generator) -> Setting:
    """An effect as an engineer might set it, from mild to strong."""
    if kind == "equalizer":
        bell = (float(np.exp(rng.uniform(np.log(150), np.log(6000)))), rng.uniform(-6, 6), rng.uniform(0.3, 1.0))
        return equalizer(sample_rate, None, bell, float(rng.uniform(-6, 6)))
    if kind == "compressor":
        return dynamics(kind, rng.uniform(-40, -15), rng.uniform(1.5, 4), 6.0, float(np.exp(rng.uniform(1.5, 4.5))))
    if kind == "imager":
        return kind, 1.0, {"side_db": float(rng.uniform(-6, 4))}
    return room(sample_rate, float(rng.uniform(0.05, 0.3)), float(rng.uniform(0.4, 1.6)))
