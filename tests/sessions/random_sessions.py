"""Random graphs of everything that a session can hold, and stems for them."""

import random

import torch
from torch import Tensor

from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack
from graphmix.processors.ride import breakpoints
from tests.random_parameters import random_parameters

LINEAR = ("equalizer", "imager", "gain", "delay", "reverb")
DYNAMICS = ("compressor", "noisegate", "ballistic_compressor", "ballistic_gate", "limiter")


def a_rack(rate: int) -> Rack:
    return Rack.for_types([*Rack.standard(rate).types, *_more(rate)], rate)


def _more(rate: int) -> list:
    from graphmix.processors.align import Align
    from graphmix.processors.ride import Ride

    return [Align(rate).node_type, Ride(rate).node_type]


class RandomGraph:
    """Tracks with chains, subgroups, and, unless all is to be linear, ducking, sends, rides and a limiter."""

    def __init__(self, rate: int, seed: int, linear: bool, tracks: int = 3) -> None:
        self.rng, self.generator = random.Random(seed), torch.Generator().manual_seed(seed)
        self.rack, self.linear = a_rack(rate), linear
        self.graph = MixGraph(self.rack.types, rate)
        self.build(tracks)

    def add(self, kind: str) -> int:
        graph, node_type = self.graph, self.rack[kind].node_type
        values = random_parameters(node_type, 1, self.generator)[0]
        named = {p.name: values[node_type.columns(p.name)].tolist() for p in node_type.parameters}
        if kind == "limiter":
            named = {"ceiling_db": -10.0, "lookahead_ms": self.rng.uniform(1, 6), "release_ms": 80.0}
        if kind == "ride":
            named = breakpoints([(0.2, 0.0), (0.5, self.rng.uniform(-20, 3)), (0.6, self.rng.uniform(-6, 6))])
        if kind == "align":
            named = {"delay_ms": self.rng.choice([-1.3, 2.0, 5.77]), "polarity": self.rng.choice([-1.0, 1.0])}
        wet = self.rng.choice([1.0, 0.6]) if node_type.can_be_bypassed else 1.0
        return graph.add(kind, wet=wet, **named)

    def chain(self, begin: int, length: int) -> int:
        kinds = LINEAR if self.linear else LINEAR + DYNAMICS + ("ride", "align")
        for _ in range(length):
            node = self.add(self.rng.choice(kinds))
            self.graph.connect(begin, node)
            begin = node
        return begin

    def build(self, tracks: int) -> None:
        graph = self.graph
        all_tracks, out = graph.add("mix", name="all"), graph.add("out")
        ends = [self.chain(graph.add("in", name=f"track {t}"), self.rng.randint(1, 4)) for t in range(tracks)]
        crossover = self.add("crossover")
        graph.connect(ends[0], crossover)
        for outlet in range(3):
            band = self.chain_from_outlet(crossover, outlet)
            graph.connect(band, all_tracks)
        if not self.linear:
            send, duck = self.add("send"), self.add("sidechain_compressor")
            graph.connect(ends[0], send, inlet="send").connect(ends[1], duck).connect(ends[0], duck, inlet="sidechain")
            ends[1] = duck
            graph.connect(self.chain(send, 2), all_tracks)
        for end in ends[1:]:
            graph.connect(end, all_tracks)
        graph.connect(self.chain(all_tracks, 2), out)
        graph.connect(ends[-1], out)

    def chain_from_outlet(self, crossover: int, outlet: int) -> int:
        node = self.add("gain")
        self.graph.connect(crossover, node, outlet=outlet)
        return node


def stems(tracks: int, rate: int, seed: int, seconds: float = 1.0) -> Tensor:
    """Bursts of noise with silence before and behind, [tracks, 2, samples]."""
    generator = torch.Generator().manual_seed(seed)
    samples, edge = round(rate * seconds), round(0.2 * rate)
    audio = 0.3 * torch.randn(tracks, 2, samples, generator=generator)
    bursts = torch.sin(torch.arange(samples) * (20 / rate) * torch.arange(1, tracks + 1)[:, None]) > 0
    audio = audio * (0.05 + bursts)[:, None]
    audio[..., :edge] = 0
    audio[..., -edge:] = 0
    return audio
