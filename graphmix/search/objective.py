"""What a search minimises on one song: the training loss on a segment, and the loss over the whole song.

Segments are 3.8 s, the first second of which is only warm-up (section 2.3 of the pruning paper). Targets do not
change, so their features are computed once for each segment. The loss over the song is the mean over its
segments, weighted by how many new samples each scores; the song is preceded by a second of silence.
"""

import copy
from typing import NamedTuple

import torch
from torch import Tensor

from graphmix.audio.segments import EvalSegment, evaluation_segments, training_start
from graphmix.audio.song import Segment, Song
from graphmix.errors import SearchError
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack
from graphmix.render.renderer import Renderer, Responses
from graphmix.render.silence import silent_rows, without_silence
from graphmix.search.losses import LossTerms, MixLoss, TargetFeatures, gain_staging

SEGMENT_SECONDS = 3.8
WARMUP_SECONDS = 1.0
_CACHED_TARGETS = 128
"""Segments whose target features are kept, about 3 MB each: six minutes of song."""


class StepLoss(NamedTuple):
    """Terms of equation 6 for one training step."""

    audio: Tensor
    staging: Tensor


class Objective:
    """Losses of graphs on one song.

    Args:
        song: with a mix.
        rack: the processors; its sample rate is the song's.
        device: where rendering happens.
    """

    def __init__(self, song: Song, rack: Rack, device: torch.device | str = "cpu") -> None:
        if song.mix is None:
            raise SearchError(f"song {song.name!r} has no mix, so there is nothing to match.")
        if song.sample_rate != rack.sample_rate:
            raise SearchError(f"the song is at {song.sample_rate} Hz and the rack at {rack.sample_rate} Hz.")
        self.song = song
        self.device = torch.device(device)
        self._here = song.to(self.device)
        self.rack = rack if self.device.type == "cpu" else copy.deepcopy(rack).to(self.device)
        self.renderer = Renderer(self.rack)
        self.loss = MixLoss(song.sample_rate).to(self.device)
        self.length = round(SEGMENT_SECONDS * song.sample_rate)
        self.warmup = round(WARMUP_SECONDS * song.sample_rate)
        self.segments = evaluation_segments(song.num_samples, self.warmup, self.length)
        self._features: dict[EvalSegment, TargetFeatures] = {}
        self._row = {name: row for row, name in enumerate(song.track_names)}
        self._known_rows: tuple[Tensor, object, Tensor] | None = None

    def read(self, start: int, length: int) -> Segment:
        """A stretch of the song on the objective's device; as :meth:`graphmix.audio.Song.read`."""
        segment = self._here.read(start, length)
        mix = None if segment.mix is None else segment.mix.to(self.device)
        return Segment(segment.stems.to(self.device), mix)

    def stems_for(self, graph: MixGraph, stems: Tensor) -> Tensor:
        """Rows of a song's stems in the order of the graph's inputs, [inputs, 2, samples].

        Raises:
            SearchError: if the graph asks for a track that the song lacks.
        """
        return stems.index_select(0, self._rows(graph).to(stems.device))

    def _rows(self, graph: MixGraph) -> Tensor:
        """Which track each input takes; looked up once, as long as the graph has the same nodes and names."""
        known = self._known_rows
        if known is None or known[0] is not graph.node_type or known[1] is not graph.info:
            known = self._known_rows = graph.node_type, graph.info, self._find_rows(graph).to(self.device)
        return known[2]

    def _find_rows(self, graph: MixGraph) -> Tensor:
        names = graph.input_names
        missing = next((name for name in names if name not in self._row), None)
        if missing is not None:
            have = ", ".join(list(self._row)[:6])
            raise SearchError(f"the graph takes track {missing!r}, which {self.song.name!r} lacks; it has: {have}.")
        return torch.tensor([self._row[name] for name in names], dtype=torch.long)

    def step_loss(self, graph: MixGraph, seed: int, step: int) -> StepLoss:
        """Loss on the random segment of one training step; the same seed and step give the same segment."""
        start = training_start(seed, step, self.song.num_samples, self.length, self.warmup)
        segment = self.read(start, self.length)
        assert segment.mix is not None, "checked when the objective was made"
        sources = self.stems_for(graph, segment.stems)
        plan = self.renderer.plan(graph)
        if self.device.type == "cpu":  # asking a GPU what is silent would wait for it
            plan = without_silence(plan, self.rack, silent_rows(sources))
        rendered = self.renderer.run(plan, graph, sources)
        prediction = rendered.mix.sum(0, keepdim=True)[..., self.warmup :]
        target = segment.mix[None, :, self.warmup :]
        terms = self.loss(prediction=prediction, target=target)
        return StepLoss(terms.total, gain_staging(rendered.wet_energy, rendered.dry_energy))

    def evaluate(
        self, graph: MixGraph, segments: list[EvalSegment] | None = None, responses: Responses | None = None
    ) -> LossTerms:
        """Loss over the whole song, without gradients.

        Args:
            graph: to render.
            segments: only these of the song's.
            responses: known frequency responses; see :meth:`graphmix.render.Renderer.run`.
        """
        graph = graph.clone().to(self.device)
        chosen = self.segments if segments is None else segments
        total = torch.zeros(4, dtype=torch.float64, device=self.device)
        weight = 0
        responses = {} if responses is None else responses
        for segment in chosen:
            terms = self._evaluate_segment(graph, segment, responses)
            total += segment.weight * torch.stack(terms).double()
            weight += segment.weight
        return LossTerms(*(total / weight).cpu())

    @torch.no_grad()
    def _evaluate_segment(self, graph: MixGraph, segment: EvalSegment, responses: Responses) -> LossTerms:
        audio = self.read(segment.start, segment.length)
        sources = self.stems_for(graph, audio.stems)
        plan = self.renderer.plan(graph)
        prediction = self.renderer.run(plan, graph, sources, responses=responses).mix.sum(0, keepdim=True)
        scored = slice(segment.score_from, segment.score_to)
        return self.loss(prediction=prediction[..., scored], target=self.target(segment, audio.mix))

    def first_order_importance(self, graph: MixGraph, segments: list[EvalSegment] | None = None) -> Tensor:
        """``|w dL_a/dw|`` of each node, [nodes] in float64: how much the loss changes, to first order, if it goes.

        One forward and one backward pass for each segment; gradients with respect to the dry/wet weights only.
        """
        chosen = self.segments if segments is None else segments
        graph = graph.clone().to(self.device)
        graph.wet = graph.wet.detach().requires_grad_()
        total = torch.zeros_like(graph.wet, dtype=torch.float64)
        weight = 0
        for segment in chosen:
            audio = self.read(segment.start, segment.length)
            mix = self.renderer(graph, self.stems_for(graph, audio.stems)).sum(0, keepdim=True)
            scored = slice(segment.score_from, segment.score_to)
            loss = self.loss(prediction=mix[..., scored], target=self.target(segment, audio.mix)).total
            (gradient,) = torch.autograd.grad(loss, graph.wet)
            total += segment.weight * gradient.double()
            weight += segment.weight
        return (graph.wet.detach() * total / weight).abs().cpu()

    def target(self, segment: EvalSegment, mix: Tensor | None = None) -> TargetFeatures:
        """What the loss needs of the mix in a segment, [2, samples]; read from the song if it is not given."""
        target = self._features.get(segment)
        if target is None:
            mix = self.read(segment.start, segment.length).mix if mix is None else mix
            assert mix is not None, "checked when the objective was made"
            scored = slice(segment.score_from, segment.score_to)
            target = self.loss.features(mix[None, :, scored])
            if len(self._features) < _CACHED_TARGETS:  # throwing out the oldest would leave nothing for the next round
                self._features[segment] = target
        return target
