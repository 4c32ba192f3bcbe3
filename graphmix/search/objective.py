"""What a search minimises on one song: the training loss on a segment, and the loss over the whole song.

Segments are 3.8 s, the first second of which is only warm-up (section 2.3 of the pruning paper). Targets do not
change, so their features are computed once for each segment. The loss over the song is the mean over its
segments, weighted by how many new samples each scores; the song is preceded by a second of silence.
"""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphmix.audio.segments import EvalSegment, evaluation_segments, spread_segments, training_start
from graphmix.audio.song import Segment, Song
from graphmix.errors import SearchError
from graphmix.graph.mixgraph import MixGraph
from graphmix.memory import Memory
from graphmix.processors.base import Processor
from graphmix.processors.rack import Rack
from graphmix.render.places import check_rides
from graphmix.render.renderer import Renderer, Responses
from graphmix.render.silence import silent_rows, without_silence
from graphmix.search.chosen_segments import choose_segments, segment_powers
from graphmix.search.losses import LossTerms, MixLoss, gain_staging, gated_level, paper_loss
from graphmix.search.mutes import BLOCK, Mutes, find_mutes
from graphmix.search.objectives import AudioLoss, WeightedLoss

SEGMENT_SECONDS = 3.8
WARMUP_SECONDS = 1.0
SPREAD = 1.5
"""So many times as many segments as are evaluated, evenly spread, show what changes over a song."""
_Place = tuple[int, int, int]
"""Start and scored part of a segment, whatever it stands for."""


@torch.no_grad()
def song_level(mix: Tensor, sample_rate: int) -> Tensor:
    """The level of a whole song, to which :class:`graphmix.search.MixLoss` compares a segment, [resolutions, 3].

    Args:
        mix: the whole song, [2, samples], at least 8192 of them.
        sample_rate: in Hz.
    """
    loss = paper_loss(sample_rate, mix.device, mix.dtype)
    warmup, length = round(WARMUP_SECONDS * sample_rate), round(SEGMENT_SECONDS * sample_rate)
    segments = evaluation_segments(mix.size(-1), warmup, length)
    pieces = (mix[:, s.start + s.score_from : s.start + s.score_to] for s in segments)
    levels = torch.cat([loss.levels(loss.features(piece)) for piece in pieces])
    return gated_level(levels, torch.tensor([float(s.weight) for s in segments], device=mix.device))


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
        loss: what is minimised, for the song's rate; the paper's by default, see
            :data:`graphmix.search.objectives.OBJECTIVES`.
        evaluated: on how many segments of a longer song losses are evaluated; see
            :mod:`graphmix.search.chosen_segments`. 0: on all.
        memory: what may be kept.
    """

    def __init__(
        self,
        song: Song,
        rack: Rack,
        device: torch.device | str = "cpu",
        loss: AudioLoss | None = None,
        *,
        evaluated: int = 0,
        memory: Memory | None = None,
    ) -> None:
        if song.mix is None:
            raise SearchError(f"song {song.name!r} has no mix, so there is nothing to match.")
        if song.sample_rate != rack.sample_rate:
            raise SearchError(
                f"song {song.name!r} is loaded at {song.sample_rate} Hz and the rack is made for "
                f"{rack.sample_rate} Hz: give load_song and Rack.console the same sample rate."
            )
        self.song = song
        self.device = torch.device(device)
        self._here = song.to(self.device)
        self.rack = rack if self.device.type == "cpu" else copy.deepcopy(rack).to(self.device)
        self.renderer = Renderer(self.rack)
        self.loss: AudioLoss = (MixLoss(song.sample_rate) if loss is None else loss).to(self.device)
        self.length = round(SEGMENT_SECONDS * song.sample_rate)
        self.warmup = round(WARMUP_SECONDS * song.sample_rate)
        self.segments = evaluation_segments(song.num_samples, self.warmup, self.length)
        self.memory = memory or Memory()
        self._evaluated = evaluated
        self._features: dict[_Place, Any] = {}  # not yet compared with the song's level
        self._targets: dict[_Place, Any] = {}
        self._room = self.memory.targets
        self.measured: dict[str, Any] = {}
        """What was measured of a graph last, for the next that needs it; see :mod:`graphmix.search.ride_frames`."""
        self._row = {name: row for row, name in enumerate(song.track_names)}
        self._known_rows: tuple[Tensor, object, Tensor] | None = None

    def with_processor(self, processor: Processor) -> "Objective":
        """The same with one more processor to render with; itself where there is one of that type."""
        if processor.node_type.name in self.rack:
            return self
        more = copy.copy(self)
        more.rack = self.rack.with_processor(processor.to(self.device))
        more.renderer = Renderer(more.rack)
        return more

    def with_loss(self, loss: AudioLoss) -> "Objective":
        """The same song and processors with another loss."""
        return Objective(self.song, self.rack, self.device, loss, evaluated=self._evaluated, memory=self.memory)

    def with_tracks(self, song: Song) -> "Objective":
        """The same mix, segments and targets with other tracks, e.g. some that are rendered already."""
        other = copy.copy(self)
        other.song, other._here, other._known_rows = song, song.to(self.device), None
        other._row = {name: row for row, name in enumerate(song.track_names)}
        return other

    def of_the_paper(self) -> "Objective":
        """The same with the paper's loss, which is L_a wherever it is reported; itself where it minimises that."""
        return self if isinstance(self.loss, MixLoss) else self.with_loss(MixLoss(self.song.sample_rate))

    def parts(self, graph: MixGraph) -> dict[str, LossTerms]:
        """What a weighted sum of losses consists of, each without its weight, over the whole song; else nothing."""
        parts = self.loss.parts if isinstance(self.loss, WeightedLoss) else {}
        return {name: self.with_loss(part).evaluate_whole(graph) for name, part in parts.items()}

    @cached_property
    def song_level(self) -> Tensor:
        """The mix's level over the song as the loss has it, [rows, 3], to which it compares a segment."""
        levels = [self.loss.levels(self._target_features(segment)) for segment in self.segments]
        weights = torch.tensor([float(segment.weight) for segment in self.segments], device=self.device)
        return gated_level(torch.cat(levels), weights)

    @cached_property
    def has_silence(self) -> bool:
        """Whether the mix is silent in a segment, so that :class:`MixLoss` is not the paper's."""
        sounding = (x for segment in self.segments for x in self.target(segment).sounding or ())
        return any(bool((x < 1).any()) for x in sounding)

    @cached_property
    def mutes(self) -> Mutes:
        """Where the song's tracks go on while its mix is muted or faded out."""
        return find_mutes(self.song)

    @cached_property
    def evaluated(self) -> list[EvalSegment]:
        """The segments on which losses are evaluated, all or those that stand for the song."""
        return self.chosen(self._evaluated)

    @cached_property
    def spread(self) -> list[EvalSegment]:
        """Segments on which what changes over the song is looked for: all, or of a longer song every so many."""
        if not self.is_sampled:
            return self.segments
        return spread_segments(self.segments, round(SPREAD * len(self.evaluated)))

    @cached_property
    def _wanted(self) -> set[_Place]:
        """The segments whose targets are worth keeping."""
        return {_place(segment) for segment in self.evaluated}

    def chosen(self, count: int) -> list[EvalSegment]:
        """So many segments that stand for the song; all if 0 or if there are no more."""
        if count <= 0 or count >= len(self.segments):
            return self.segments
        return choose_segments(self.segments, *self._powers, count)[0]

    def places(self, segments: Sequence[EvalSegment]) -> list[int]:
        """Which of the song's segments these are."""
        known = {_place(segment): place for place, segment in enumerate(self.segments)}
        return [known[_place(segment)] for segment in segments]

    def exposure(self, tracks: Iterable[str]) -> dict[int, float]:
        """Share that some tracks have of the sounding power in each segment of the song, by where it starts."""
        share = self._shares[[self._row[track] for track in tracks]].sum(0)
        return {segment.start: float(x) for segment, x in zip(self.segments, share, strict=True)}

    @cached_property
    def _shares(self) -> NDArray[np.float64]:
        """Of the tracks in each segment, [tracks, segments]."""
        return choose_segments(self.segments, *self._powers, 0)[1]

    @cached_property
    def _powers(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of the tracks, [tracks, segments], and of the mix, [segments]."""
        powers = segment_powers(self.segments, self.mutes.powers.numpy(), BLOCK)
        return powers[:-1], powers[-1]

    def read(self, start: int, length: int) -> Segment:
        """A stretch of the song on the objective's device; as :meth:`graphmix.audio.Song.read`."""
        segment = self._here.read(start, length)
        mix = None if segment.mix is None else segment.mix.to(self.device)
        return Segment(segment.stems.to(self.device), mix)

    def stems_for(self, graph: MixGraph, stems: Tensor) -> Tensor:
        """Rows of a song's stems in the order of the graph's inputs, [inputs, 2, samples].

        Raises:
            SearchError: the graph asks for a track that the song lacks, or is made for another sample rate.
        """
        return stems.index_select(0, self._rows(graph).to(stems.device))

    def _rows(self, graph: MixGraph) -> Tensor:
        """Which track each input takes; looked up once, as long as the graph has the same nodes and names."""
        known = self._known_rows
        if known is None or known[0] is not graph.node_type or known[1] is not graph.info:
            known = self._known_rows = graph.node_type, graph.info, self._find_rows(graph).to(self.device)
        return known[2]

    def _find_rows(self, graph: MixGraph) -> Tensor:
        if graph.sample_rate != self.song.sample_rate:
            raise SearchError(
                f"the graph is made for {graph.sample_rate} Hz, the song and the rack are at "
                f"{self.song.sample_rate} Hz: make the graph from this rack (mixing_console(rack, ...)), or load the "
                "song at the graph's rate."
            )
        check_rides(graph, self.song.num_samples)
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
        rendered = self.renderer.run(plan, graph, sources, position=start)
        prediction = rendered.mix.sum(0, keepdim=True)[..., self.warmup :]
        target = segment.mix[None, :, self.warmup :]
        terms = self.loss(prediction=prediction, target=target, song_level=self.song_level)
        return StepLoss(terms.total, gain_staging(rendered.wet_energy, rendered.dry_energy))

    def evaluate(
        self,
        graph: MixGraph,
        segments: list[EvalSegment] | None = None,
        responses: Responses | None = None,
        *,
        of_the_paper: bool = False,
    ) -> LossTerms:
        """Loss over the song, without gradients: on all segments, or on those that are evaluated.

        Args:
            graph: to render.
            segments: these of the song's instead.
            responses: known frequency responses; see :meth:`graphmix.render.Renderer.run`.
            of_the_paper: divide by each segment's own norm also where the mix is silent; for :class:`MixLoss`.
        """
        graph = graph.clone().to(self.device)
        chosen = self.evaluated if segments is None else segments
        total = torch.zeros(4, dtype=torch.float64, device=self.device)
        weight = 0
        responses = {} if responses is None else responses
        for segment in chosen:
            terms = self._evaluate_segment(graph, segment, responses, of_the_paper=of_the_paper)
            total += segment.weight * torch.stack(terms).double()
            weight += segment.weight
        return LossTerms(*(total / weight).cpu())

    @torch.no_grad()
    def _evaluate_segment(
        self,
        graph: MixGraph,
        segment: EvalSegment,
        responses: Responses,
        target: Any = None,
        *,
        of_the_paper: bool = False,
    ) -> LossTerms:
        audio = self.read(segment.start, segment.length)
        sources = self.stems_for(graph, audio.stems)
        plan = self.renderer.plan(graph)
        rendered = self.renderer.run(plan, graph, sources, responses=responses, position=segment.start)
        prediction = rendered.mix.sum(0, keepdim=True)
        scored = slice(segment.score_from, segment.score_to)
        target = self.target(segment, audio.mix) if target is None else target
        return self.loss(prediction=prediction[..., scored], target=target.of_the_paper() if of_the_paper else target)

    def evaluate_each(self, graphs: Sequence[MixGraph], segments: Sequence[EvalSegment]) -> Tensor:
        """Loss terms of graphs on each of some segments, whose targets are made once, [graphs, segments, 4]."""
        here = [graph.clone().to(self.device) for graph in graphs]
        known: list[Responses] = [{} for _ in here]
        losses = torch.zeros(len(here), len(segments), 4, dtype=torch.float64)
        for place, segment in enumerate(segments):
            target = self.target(segment)
            for row, (graph, responses) in enumerate(zip(here, known, strict=True)):
                terms = self._evaluate_segment(graph, segment, responses, target)
                losses[row, place] = torch.stack(terms).double().cpu()
        return losses

    def evaluate_whole(self, graph: MixGraph) -> LossTerms:
        """Loss on all segments of the song, however many are evaluated otherwise."""
        return self.evaluate(graph, self.segments)

    @property
    def is_sampled(self) -> bool:
        """Whether losses are evaluated on some of the song's segments only."""
        return len(self.evaluated) < len(self.segments)

    def first_order_importance(self, graph: MixGraph, segments: list[EvalSegment] | None = None) -> Tensor:
        """``|w dL_a/dw|`` of each node, [nodes] in float64: how much the loss changes, to first order, if it goes.

        One forward and one backward pass for each segment; gradients with respect to the dry/wet weights only.
        """
        chosen = self.evaluated if segments is None else segments
        graph = graph.clone().to(self.device)
        graph.wet = graph.wet.detach().requires_grad_()
        total = torch.zeros_like(graph.wet, dtype=torch.float64)
        weight = 0
        for segment in chosen:
            audio = self.read(segment.start, segment.length)
            mix = self.renderer(graph, self.stems_for(graph, audio.stems), segment.start).sum(0, keepdim=True)
            scored = slice(segment.score_from, segment.score_to)
            if not mix.requires_grad:  # nothing in it can be bypassed
                continue
            loss = self.loss(prediction=mix[..., scored], target=self.target(segment, audio.mix)).total
            (gradient,) = torch.autograd.grad(loss, graph.wet)
            total += segment.weight * gradient.double()
            weight += segment.weight
        return (graph.wet.detach() * total / max(1, weight)).abs().cpu()

    def target(self, segment: EvalSegment, mix: Tensor | None = None) -> Any:
        """What the loss needs of the mix in a segment, [2, samples]; read from the song if it is not given."""
        place = _place(segment)
        target = self._targets.get(place)
        if target is None:
            features = self._target_features(segment, mix)
            target = self.loss.with_song_level(features, self.song_level)
            if place in self._features:
                self._targets[place] = target
        return target

    def _target_features(self, segment: EvalSegment, mix: Tensor | None = None) -> Any:
        """The same, not yet compared with the song's level."""
        place = _place(segment)
        target = self._features.get(place)
        if target is None:
            mix = self._here.read_mix(segment.start, segment.length) if mix is None else mix
            scored = slice(segment.score_from, segment.score_to)
            target = self.loss.features(mix[None, :, scored].to(self.device))
            size = num_bytes(target)
            # throwing out the oldest would leave nothing for the next round
            if place in self._wanted and size <= self._room:
                self._features[place] = target
                self._room -= size
        return target


def num_bytes(features: Any) -> int:
    """Memory of features: tensors, and what is made of them."""
    if isinstance(features, Tensor):
        return features.numel() * features.element_size()
    if is_dataclass(features):
        features = [getattr(features, field.name) for field in fields(features)]
    return sum(map(num_bytes, features)) if isinstance(features, list | tuple) else 0


def _place(segment: EvalSegment) -> _Place:
    return segment.start, segment.score_from, segment.score_to


def mean_terms(losses: Tensor, segments: Sequence[EvalSegment]) -> LossTerms:
    """The mean of loss terms [segments, 4], each weighted by what its segment stands for."""
    total = torch.zeros(4, dtype=torch.float64)
    for segment, terms in zip(segments, losses, strict=True):
        total += segment.weight * terms
    return LossTerms(*(total / sum(segment.weight for segment in segments)))
