"""How many dB compressors, gates and limiters take off, measured on a song.

What leaves a node over what comes in, at every sample of some segments, with its dry/wet weight; the mean is over the
samples at which its input sounds, above -70 dB re full scale over 50 ms. Stored in ``metrics.json`` beside the graph,
by number of the node, for :func:`graphmix.graph.tables.describe_graph`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d

from graphmix.audio.segments import evaluation_segments, spread_segments
from graphmix.audio.song import Song
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.tables import Reduction, Reductions
from graphmix.processors.dynamics import AUDIBLE_DB, Dynamics
from graphmix.processors.limiter import Limiter
from graphmix.processors.rack import Rack
from graphmix.render.renderer import Renderer
from graphmix.render.schedule import Stage
from graphmix.spec import DB_PER_NEPER

KEY = "gain_reduction"
"""In ``metrics.json``."""
MOST_SEGMENTS = 8
SEGMENT_SECONDS, WARMUP_SECONDS = 3.8, 1.0
_LEVEL_SECONDS = 0.05
_SILENT_DB = -120.0
_TINY = 1e-6
"""Amplitude of a sample below which a quotient says nothing."""


@torch.no_grad()
def measure_reductions(graph: MixGraph, song: Song, rack: Rack) -> Reductions:
    """What each compressor, gate and limiter of a graph takes off, over segments evenly spread over a song.

    Args:
        graph: whose inputs are the song's tracks.
        song: at the graph's rate.
        rack: the processors.
    """
    kinds = {t.name for t in graph.types.types if isinstance(rack.get(t.name), Dynamics | Limiter)}
    if not any(graph.nodes_of(kind).numel() for kind in kinds):
        return {}
    length, warmup = (round(seconds * song.sample_rate) for seconds in (SEGMENT_SECONDS, WARMUP_SECONDS))
    segments = evaluation_segments(song.num_samples, warmup, length)
    chosen = spread_segments(segments, MOST_SEGMENTS)
    row = {name: i for i, name in enumerate(song.track_names)}
    rows = [row[name] for name in graph.input_names]
    renderer = Renderer(rack)
    plan = renderer.plan(graph)
    measured = _Measured(kinds, max(1, round(_LEVEL_SECONDS * song.sample_rate)))
    for segment in chosen:
        measured.scored = slice(segment.score_from, segment.score_to)
        stems = song.read(segment.start, segment.length).stems[rows]
        renderer.run(plan, graph, stems, observe=measured, position=segment.start)
    return measured.result()


class _Measured:
    """Sums and extremes of gains over the segments seen so far, by node; an observer of a renderer."""

    scored = slice(0, 0)

    def __init__(self, kinds: set[str], window: int) -> None:
        self.kinds, self.window = kinds, window
        self.sums: dict[int, tuple[float, float, float]] = {}

    def __call__(self, stage: Stage, incoming: Tensor, leaving: Tensor) -> None:
        if stage.kind not in self.kinds:
            return
        dry = incoming.unflatten(0, (-1, stage.inlets))[:, 0, :, self.scored]
        before, after = (signal.abs().sum(1) for signal in (dry, leaving[..., self.scored]))
        off_db = -(after / before.clamp(min=_TINY)).clamp(min=10 ** (_SILENT_DB / 20)).log() * DB_PER_NEPER
        power = dry.square().mean(1, keepdim=True)
        half = min(self.window, power.size(-1)) // 2
        smooth = avg_pool1d(power, 2 * half + 1, 1, half, count_include_pad=False)[:, 0]
        sounds = (smooth > 10 ** (AUDIBLE_DB / 10)) & (before > _TINY)
        for node, own, audible in zip(stage.nodes.tolist(), off_db, sounds, strict=True):
            total, count, most = self.sums.get(node, (0.0, 0.0, 0.0))
            if bool(audible.any()):
                own = own[audible]
                self.sums[node] = total + float(own.sum()), count + own.numel(), max(most, float(own.max()))

    def result(self) -> Reductions:
        """Means and largest values in dB; nodes whose input never sounds are left out."""
        return {
            node: Reduction(round(total / count, 2), round(most, 2)) for node, (total, count, most) in self.sums.items()
        }


def plain_reductions(found: Reductions) -> list[dict[str, Any]]:
    """For ``metrics.json``."""
    return [{"node": node, **reduction._asdict()} for node, reduction in sorted(found.items())]


def read_reductions(metrics: Mapping[str, Any], graph: MixGraph) -> Reductions:
    """The inverse; without entries that are damaged or for a node that the graph does not have."""
    entries = metrics.get(KEY)
    found = {}
    for entry in entries if isinstance(entries, Sequence) else ():
        try:
            node, reduction = int(entry["node"]), Reduction(float(entry["mean_db"]), float(entry["most_db"]))
        except (KeyError, TypeError, ValueError):
            continue
        if 0 <= node < graph.node_type.numel() and graph.type_of(node).is_processor:
            found[node] = reduction
    return found
