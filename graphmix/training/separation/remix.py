"""New mixtures from old stems: sources of several songs, at other levels, through effects of our own.

What is drawn for a step depends on the seed and the step's number alone, so that a resumed training sees what an
uninterrupted one would have. Effects and mixture are one graph for each mixture: in -> effects -> mix -> out for each
source, with an outlet for each stem beside the mix; the stems of a mixture are *wet* as they come out, or *dry* as they
went in.
"""

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
EFFECTS = ("equalizer", "compressor", "imager", "reverb")
"""Effects that may be drawn, in the order of a chain."""


class Mixtures(NamedTuple):
    """Mixtures of a step, and what they are made of.

    Args:
        mixture: [N, 2, samples].
        stems: to be found, [N, sources, 2, samples].
    """

    mixture: Tensor
    stems: Tensor


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
        if not self.config.effects:
            return Mixtures(stems.sum(dim=1), stems)
        graphs = [self._graph(rng, stems.size(1)) for rng in rngs]
        mixture, wet = self._render(graphs, stems)
        return Mixtures(mixture, wet if self.config.target == "wet" else stems)

    def _stems(self, rng: Generator) -> Tensor:
        """Stems of one mixture, [sources, 2, samples]: those of one song at one place, some of them of others."""
        config, store = self.config, self.store
        own = int(rng.integers(len(self.songs)))
        start = self._start(rng, own)
        stems = torch.zeros(len(store.sources), 2, self.length)
        for source, row in enumerate(stems):
            swapped, muted, flipped = rng.random(3) < (config.swap, config.mute, config.flip)
            gain_db = rng.uniform(-config.gain_db, config.gain_db)
            if muted or not self.having[source]:
                continue
            song, begin = own, start
            if swapped:
                song = self.having[source][int(rng.integers(len(self.having[source])))]
                begin = self._start(rng, song)
            part = store.read(self.songs[song], source, begin, self.length) * 10 ** (gain_db / 20)
            row.copy_(part.flip(0) if flipped else part)
        return stems

    def _start(self, rng: Generator, song: int) -> int:
        room = self.store.num_samples(self.songs[song]) - self.length
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
