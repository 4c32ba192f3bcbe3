"""Rendering a whole song, however long, block by block.

What a processor remembers reaches a block in one of two ways. Filters, delays, reverbs, and processors of your own that
declare a :meth:`~graphmix.processors.base.Processor.memory`, get a *warm-up*: the block is rendered together with as
much of the song before it as the longest path of the graph remembers. Compressors and gates, whose time constants may
be seconds, and captured effects get none: the state of their detectors or networks is *carried* from block to block
(:attr:`~graphmix.processors.base.Processor.resumable`). Nor do plugins, whose state cannot be read: each node has one
of its own, which is fed every sample once (:attr:`~graphmix.processors.base.Processor.streams`). So memory does not
depend on time constants, and the result differs from a rendering in one piece by rounding alone.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from graphmix.audio.song import Song
from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.topology import neighbours
from graphmix.processors.base import Processor, State
from graphmix.processors.rack import Rack
from graphmix.render.places import Position, check_rides, placed
from graphmix.render.renderer import Renderer
from graphmix.render.schedule import Stage

BLOCK_SECONDS = 10.0
"""Length of a block, or that of the warm-up if that is longer."""


@torch.no_grad()
def render_song(graph: MixGraph, song: Song, rack: Rack | None = None, num_samples: int | None = None) -> Tensor:
    """The mix of a graph over a whole song, [2, samples].

    Args:
        graph: its input nodes are named after the song's tracks.
        song: at the graph's sample rate.
        rack: the processors; graphmix's own by default.
        num_samples: how much to render; the song's length by default. Beyond it effects ring on over silence.

    Raises:
        GraphError: the tracks do not fit the graph's inputs, the rates differ, or a ride goes on behind the song's end.
    """
    return render_outputs(graph, song, rack, num_samples).sum(0)


@torch.no_grad()
def render_outputs(graph: MixGraph, song: Song, rack: Rack | None = None, num_samples: int | None = None) -> Tensor:
    """As :func:`render_song`, but each output node for itself, [outputs, 2, samples]."""
    if song.sample_rate != graph.sample_rate:
        raise GraphError(
            f"the song is at {song.sample_rate} Hz and the graph at {graph.sample_rate} Hz; load the song at the "
            "graph's rate."
        )
    rows = _rows(graph, song)
    check_rides(graph, song.num_samples)
    rack = rack or Rack.for_types(graph.types.types, graph.sample_rate)
    renderer = BlockRenderer(rack.to(graph.wet.device), graph)
    warmup, ahead = renderer.warmup, renderer.ahead
    block = _round_up(max(round(BLOCK_SECONDS * song.sample_rate), warmup), renderer.period)
    length = song.num_samples if num_samples is None else num_samples
    mix = torch.zeros(int(graph.nodes_of("out").numel()), 2, length)
    for begin in range(0, length, block):
        end = min(begin + block, length)
        start = max(0, begin - warmup)
        stems = song.read(start, end + ahead - start).stems[rows].to(graph.wet.device)
        part = renderer.render_block(stems, start, next_start=max(0, end - warmup)).cpu()
        mix[..., begin:end] = part[..., begin - start : end - start]
    return mix


@dataclass
class _Streams:
    """The nodes of a stage that are fed every sample once.

    Args:
        feeds: one for each node.
        fed: place in the song of the first sample that they have not been given.
        known: what they made of the samples before it, from the start of the next block on, [nodes, 2, samples].
    """

    feeds: list[Callable[[Tensor], Tensor]]
    fed: int
    known: Tensor


class BlockRenderer(Renderer):
    """Renders blocks of one song in order, and carries the states of resumable processors from one to the next.

    Args:
        rack: the processors, on the graph's device.
        graph: parameters and weights; they must not change as long as this is used.

    Attributes:
        warmup: samples before a block that have to be rendered with it.
        ahead: samples behind it.
        period: blocks begin at multiples of so many samples.
    """

    voices = False
    recursions_in_time = True

    def __init__(self, rack: Rack, graph: MixGraph) -> None:
        super().__init__(rack)
        self.graph = graph
        self._settled: dict[int, int] = {}
        self._awaited: dict[int, int] = {}
        kinds = {stage.kind for stage in self.plan(graph).stages}
        self.period = math.lcm(*(processor.period for processor in rack if processor.node_type.name in kinds))
        self.warmup, self.ahead = self._measure()
        self._states: dict[int, State] = {}
        self._streams: dict[int, _Streams] = {}
        self._start, self._next = 0, 0

    def render_block(self, stems: Tensor, start: int, next_start: int) -> Tensor:
        """Signals of the output nodes, [outputs, 2, samples]; the warm-up is only there to be cut off.

        Args:
            stems: warm-up, block and what lies ahead, [inputs, 2, samples].
            start: place of the first sample in the song; a block that begins at 0 needs no warm-up.
            next_start: the same of the next block.
        """
        self._start, self._next = start, next_start - start
        return self(self.graph, stems, start)

    def process(
        self,
        stage: Stage,
        signal: Tensor,
        graph: MixGraph,
        response: Tensor | None = None,
        position: Position = 0,
    ) -> tuple[Tensor, Tensor | None]:
        """As the renderer's, but resumable processors begin in the state in which the block before left them."""
        processor = self.rack.get(stage.kind)
        if processor is not None and processor.streams:
            return self._stream(processor, stage, signal, graph)
        if processor is None or not processor.resumable:
            return super().process(stage, signal, graph, response, position)
        key, resumes = int(stage.nodes[0]), self._start > 0
        settled, state = (self._settled[key], self._states[key]) if resumes else (0, None)
        params, wet = graph.params[stage.kind].index_select(0, stage.rows), graph.wet.index_select(0, stage.nodes)
        params = placed(processor, params, graph, stage.nodes, position + settled)
        mark = self._next + self._settled[key] - settled  # where the next block resumes, in samples of this one
        ports = (signal.unflatten(0, (-1, stage.inlets)) if stage.inlets > 1 else signal)[..., settled:]
        leaves, self._states[key] = processor.resume(ports, params, state, max(0, mark))
        if stage.outlets > 1:
            leaves = leaves.flatten(0, 1)
        else:
            dry = ports[:, 0] if stage.inlets > 1 else ports
            leaves = torch.lerp(dry, leaves, wet[:, None, None].to(dry.dtype))
        return pad(leaves, (settled, 0)), None

    def _stream(
        self, processor: Processor, stage: Stage, signal: Tensor, graph: MixGraph
    ) -> tuple[Tensor, Tensor | None]:
        """What is known from the block before, and what the nodes make of the samples since; silence beyond these.

        They are given no sample that is to change yet: none that depends on what lies behind the block.
        """
        key = int(stage.nodes[0])
        streams = self._streams.get(key)
        if streams is None:
            feeds = [processor.stream(values) for values in graph.params[stage.kind].index_select(0, stage.rows)]
            streams = self._streams[key] = _Streams(feeds, self._start, signal[..., :0])
        complete = signal.size(-1) - self._awaited[key]
        new = signal[..., streams.fed - self._start : complete]
        made = torch.stack([feed(audio) for feed, audio in zip(streams.feeds, new, strict=True)])
        known = torch.cat([streams.known, made], dim=-1)
        processed = pad(known, (0, signal.size(-1) - known.size(-1)))
        streams.fed, streams.known = self._start + complete, known[..., self._next :]
        wet = graph.wet.index_select(0, stage.nodes)[:, None, None]
        return torch.lerp(signal, processed, wet.to(signal.dtype)), None

    def _measure(self) -> tuple[int, int]:
        """Warm-up and look-ahead of the graph; for each resumable stage when its inputs have settled, and for each that
        streams how far before a block's end they are complete.

        A stage resumes all of its nodes where the last of them has settled, and streams none further than all.
        """
        into, _ = neighbours(self.graph.node_type.numel(), self.graph.edges())
        reach: dict[int, tuple[int, int]] = {}
        for stage in self.plan(self.graph).stages:
            processor, nodes = self.rack.get(stage.kind), stage.nodes.tolist()
            resumable = processor is not None and processor.resumable
            for node, row in zip(nodes, stage.rows.tolist(), strict=True):
                own = (0, 0)
                if processor is not None:
                    own = processor.memory(self.graph.params[stage.kind][row : row + 1])
                    own = (0, own[1]) if resumable else own
                sources = [reach[source] for source in into[node]]
                before, after = (max((s[side] for s in sources), default=0) for side in (0, 1))
                reach[node] = before + own[0], after + own[1]
            if resumable:
                last = self._settled[nodes[0]] = _round_up(max(reach[node][0] for node in nodes), self.period)
                reach |= {node: (last, reach[node][1]) for node in nodes}
            if processor is not None and processor.streams:
                ahead = max(reach[node][1] for node in nodes)
                lag = processor.memory(self.graph.params[stage.kind][:1])[1]
                self._awaited[nodes[0]] = ahead - lag
                reach |= {node: (reach[node][0], ahead) for node in nodes}
        ends = [reach[node] for node in self.graph.nodes_of("out").tolist()]
        return _round_up(max(before for before, _ in ends), self.period), max(after for _, after in ends)


def _round_up(samples: int, period: int) -> int:
    return -(-samples // period) * period


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
