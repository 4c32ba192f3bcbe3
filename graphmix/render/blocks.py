"""Rendering a whole song, however long, block by block."""

import torch
from torch import Tensor

from graphmix.audio.song import Song
from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.topology import neighbours
from graphmix.processors.rack import Rack
from graphmix.render.renderer import Renderer

BLOCK_SECONDS = 10.0
"""What is rendered at once, or as long as the graph remembers if that is more."""


@torch.no_grad()
def render_song(graph: MixGraph, song: Song, rack: Rack | None = None, num_samples: int | None = None) -> Tensor:
    """The mix of a graph over a whole song, [2, samples].

    Args:
        graph: its input nodes are named after the song's tracks.
        song: at the graph's sample rate.
        rack: the processors; graphmix's own by default.
        num_samples: how much to render; the song's length by default. Beyond it effects ring on over silence.

    Raises:
        GraphError: the tracks do not fit the graph's inputs, or the rates differ.
    """
    if song.sample_rate != graph.sample_rate:
        raise GraphError(f"the song is at {song.sample_rate} Hz and the graph at {graph.sample_rate} Hz.")
    rows = _rows(graph, song)
    rack = rack or Rack.for_types(graph.types.types, graph.sample_rate)
    renderer = Renderer(rack.to(graph.wet.device))
    warmup, ahead = memory(graph, renderer)
    block = max(round(BLOCK_SECONDS * song.sample_rate), warmup)
    length = song.num_samples if num_samples is None else num_samples
    mix = torch.zeros(2, length)
    for begin in range(0, length, block):
        end = min(begin + block, length)
        start = max(0, begin - warmup)
        stems = song.read(start, end + ahead - start).stems[rows].to(graph.wet.device)
        part = renderer(graph, stems).sum(0).cpu()
        mix[:, begin:end] = part[:, begin - start : end - start]
    return mix


def memory(graph: MixGraph, renderer: Renderer) -> tuple[int, int]:
    """How many samples before and after a moment the mix there depends on: the longest path of the graph."""
    into, _ = neighbours(graph.node_type.numel(), graph.edges())
    reach: dict[int, tuple[int, int]] = {}
    for stage in renderer.plan(graph).stages:
        processor = renderer.rack.get(stage.kind)
        for node, row in zip(stage.nodes.tolist(), stage.rows.tolist(), strict=True):
            own = processor.memory(graph.params[stage.kind][row : row + 1]) if processor else (0, 0)
            sources = [reach[source] for source in into[node]]
            before, after = (max((s[side] for s in sources), default=0) for side in (0, 1))
            reach[node] = before + own[0], after + own[1]
    ends = [reach[node] for node in graph.nodes_of("out").tolist()]
    return max((before for before, _ in ends), default=0), max((after for _, after in ends), default=0)


def _rows(graph: MixGraph, song: Song) -> list[int]:
    names = graph.input_names
    have = {name: row for row, name in enumerate(song.track_names)}
    missing = [name for name in names if name not in have]
    if missing:
        raise GraphError(
            f"the graph takes {len(names)} tracks and {len(missing)} are missing, first {missing[0]!r}; "
            f"the stems are: {', '.join(song.track_names[:6])}{' …' if len(have) > 6 else ''}."
        )
    extra = [name for name in have if name not in set(names)]
    if extra:
        raise GraphError(
            f"the stems hold {len(have)} tracks and the graph takes {len(names)}: it has no input for {extra[0]!r}. "
            "Move what does not belong to the song elsewhere."
        )
    return [have[name] for name in names]
