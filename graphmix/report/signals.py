"""What goes into a graph's nodes and what comes out of them, in some seconds of a song."""

from collections.abc import Collection

import torch
from torch import Tensor

from graphmix.audio.song import Song
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.topology import Edge
from graphmix.processors.rack import Rack
from graphmix.render.blocks import render_song
from graphmix.render.renderer import Renderer
from graphmix.render.taps import Tap, TapReader

WARMUP_SECONDS = 4.0
"""Rendered before a stretch, so that reverbs and detectors have settled."""
_BLOCK_SECONDS = 12.0


def tap_into(graph: MixGraph, node: int, edges: Collection[Edge]) -> Tap:
    """Where what goes into a node's first inlet can be read: what leaves the node before it, if that is all."""
    into = [edge for edge in edges if edge.target == node and edge.inlet == 0]
    if len(into) == 1 and into[0].outlet == 0:
        return Tap(into[0].source)
    return Tap(node, incoming=True)


def _stems(graph: MixGraph, song: Song, start: int, length: int) -> Tensor:
    row = {name: i for i, name in enumerate(song.track_names)}
    rows = [row[name] for name in graph.input_names]
    return song.read(start, length).stems[rows]


@torch.no_grad()
def read_signals(
    graph: MixGraph, song: Song, rack: Rack, taps: Collection[Tap], start: float, seconds: float
) -> dict[Tap, Tensor]:
    """The signals at taps in a stretch of a song, [2, samples] each.

    Args:
        graph: whose inputs are tracks of the song.
        song: at the graph's rate.
        rack: the processors.
        taps: the places.
        start: of the stretch in seconds.
        seconds: its length.
    """
    rate = song.sample_rate
    begin, length = round(start * rate), round(seconds * rate)
    lead = round(WARMUP_SECONDS * rate)
    renderer = Renderer(rack)
    plan = renderer.plan(graph)
    reader = TapReader(plan, taps, lead + length)
    sources = _stems(graph, song, begin - lead, lead + length)
    renderer.run(plan, graph, sources, observe=reader, position=begin - lead)
    return {tap: signal[:, lead:].clone() for tap, signal in reader.signals.items()}


@torch.no_grad()
def render_stretch(graph: MixGraph, song: Song, rack: Rack, start: int, length: int) -> Tensor:
    """The mix of a graph in a stretch of a song, [2, samples].

    All of a song is rendered as :func:`graphmix.render.blocks.render_song` does; of a part each block is rendered with
    :data:`WARMUP_SECONDS` before it, which is all that it knows of what was before.
    """
    if start == 0 and length == song.num_samples and set(song.track_names) == set(graph.input_names):
        return render_song(graph, song, rack)
    renderer, rate = Renderer(rack), song.sample_rate
    plan = renderer.plan(graph)
    lead, step = round(WARMUP_SECONDS * rate), round(_BLOCK_SECONDS * rate)
    parts = []
    for begin in range(start, start + length, step):
        count = min(step, start + length - begin)
        sources = _stems(graph, song, begin - lead, lead + count)
        parts.append(renderer.run(plan, graph, sources, position=begin - lead).mix.sum(0)[:, lead:])
    return torch.cat(parts, dim=1)
