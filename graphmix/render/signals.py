"""What passes between a graph's nodes over a song: rendered when it is asked for."""

from collections.abc import Iterable

import torch
from torch import Tensor

from graphmix.audio.song import Song
from graphmix.graph.editing import keep_nodes
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.topology import neighbours, reachable
from graphmix.processors.rack import Rack
from graphmix.render.blocks import render_song


class Signals:
    """Signals at the inlets and outlets of a graph's nodes.

    Args:
        graph: at the song's rate, its inputs named after the song's tracks.
        song: the tracks.
        num_samples: how much is rendered.
        rack: processors of the graph; graphmix's own by default.
    """

    def __init__(self, graph: MixGraph, song: Song, num_samples: int, rack: Rack | None = None) -> None:
        self.graph, self.song, self.num_samples, self.rack = graph, song, num_samples, rack

    def into(self, node: int, inlet: int = 0) -> Tensor:
        """What comes into an inlet, [2, samples]."""
        edges = self.graph.edges()
        return self._rendered([(source, outlet) for source, target, outlet, i in edges if (target, i) == (node, inlet)])

    def out_of(self, node: int, outlet: int = 0) -> Tensor:
        """What leaves an outlet, [2, samples]."""
        return self._rendered([(node, outlet)])

    def _rendered(self, ports: Iterable[tuple[int, int]]) -> Tensor:
        """The sum of what leaves some outlets."""
        ports = list(ports)
        before, _ = neighbours(self.graph.num_nodes, self.graph.edges())
        needed = reachable(before, {node for node, _ in ports})
        inputs = set(self.graph.nodes_of("in").tolist())
        if not needed & inputs:
            return torch.zeros(2, self.num_samples)
        kept = sorted(needed | inputs)  # a song is rendered with all of its tracks
        part = keep_nodes(self.graph, kept)
        place = {node: index for index, node in enumerate(kept)}
        out = part.add("out")
        for node, outlet in ports:
            part.connect(place[node], out, outlet)
        return render_song(part, self.song, self.rack, num_samples=self.num_samples)
