"""Losses of trials: of a graph without some of its processors, over segments of a song.

Render caches (:mod:`graphmix.render.render_cache`) of as many segments as fit in memory are kept for a whole pruning
round, so that a trial renders only what it touches. Losses of many trials on one segment come from one pass.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from graphmix.audio.segments import EvalSegment
from graphmix.graph.editing import bypass_nodes
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.topology import Neighbours, neighbours, reachable
from graphmix.render.render_cache import RenderCache, TrialRenderer
from graphmix.render.taps import Tap, TapReader
from graphmix.search.objective import Objective

AT_ONCE = 16
"""Trials that are rendered together."""
HOPELESS = 2.0
"""A trial is hopeless if it adds more than this many times what it may add."""
NOISE = 1e-3
"""Share of the loss that may be added without being hopeless, however little may be added."""


@dataclass(frozen=True)
class Verdict:
    """Outcome of a trial.

    Args:
        loss: over the segments; those not rendered are counted as if they had not changed.
        segments: how many were rendered.
        of: how many there are.
    """

    loss: float
    segments: int
    of: int

    @property
    def is_whole(self) -> bool:
        """Were all segments rendered?"""
        return self.segments == self.of


def hopeless_above(loss: float, limit: float) -> float:
    """The loss above which a trial is clearly hopeless, never below ``limit``.

    Args:
        loss: before the trial.
        limit: what the trial must not reach.
    """
    return loss + max(HOPELESS * (limit - loss), NOISE * loss)


class Judge:
    """Judges trials on one graph, from which nodes may be removed for good in between.

    Args:
        objective: the song and its losses.
        graph: node numbers refer to it.
        segments: on which trials are evaluated.
        kept_bytes: memory for render caches; as the objective's budget says by default. Segments beyond it are rendered
            whole.
    """

    def __init__(
        self, objective: Objective, graph: MixGraph, segments: Sequence[EvalSegment], kept_bytes: int | None = None
    ) -> None:
        self.objective, self.segments = objective, list(segments)
        self.kept_bytes = objective.memory.caches if kept_bytes is None else kept_bytes
        self.graph = graph.clone().to(objective.device)
        self.trials = TrialRenderer(objective.renderer, self.graph)
        self._losses: dict[EvalSegment, float] | None = None
        self._last: tuple[frozenset[int], dict[EvalSegment, float]] | None = None

    @cached_property
    def caches(self) -> dict[EvalSegment, RenderCache]:
        """Of the first segments, as many as may be kept."""
        caches: dict[EvalSegment, RenderCache] = {}
        left, size = self.kept_bytes, 1
        for segment in self.segments:
            if size > left:  # all are about as large as the last one
                break
            cache = self._cache(segment)
            size = cache.num_bytes
            if size <= left:
                caches[segment] = cache
                left -= size
        return caches

    @property
    def losses(self) -> dict[EvalSegment, float]:
        """Loss on each segment for the graph as it is now; measured where unknown."""
        if self._losses is None:
            self._losses = {segment: self._judge_segment((), segment) for segment in self.segments}
        return self._losses

    def loss(self) -> float:
        """Loss of the graph as it is now, over the segments."""
        return self._mean(self.losses)

    def judge(self, nodes: Collection[int], limit: float | None = None) -> Verdict:
        """Loss without some more nodes.

        Args:
            nodes: to remove, beside those that are removed already.
            limit: the loss that must not be reached. If given, a trial that is clearly hopeless ends early.
        """
        before = self.losses
        losses: dict[EvalSegment, float] = {}
        left = self.objective.memory.differences
        for segment in self.segments if limit is None else self._most_open_first(nodes):
            losses[segment] = self._judge_segment(nodes, segment)
            left -= self._differences(segment, left)
            if limit is not None and self._mean(before | losses) > hopeless_above(self._mean(before), limit):
                break
        self._last = (frozenset(nodes), losses) if len(losses) == len(self.segments) else None
        return Verdict(self._mean(before | losses), len(losses), len(self.segments))

    def remove(self, nodes: Collection[int]) -> None:
        """Remove nodes for good; the last trial is not rendered again."""
        self.trials.remove(nodes, self.caches.values())
        judged, losses = self._last or (frozenset(), None)
        self._losses = losses if judged == frozenset(nodes) else None
        self._last = None

    def leave_one_out(self, nodes: Sequence[int]) -> Tensor:
        """Increase of the loss if one node is removed, for each node: equation 9, exact, [nodes] in float64."""
        increase = torch.zeros(len(nodes), dtype=torch.float64)
        for segment, before in self.losses.items():
            cache = self.caches.get(segment) or self._cache(segment)
            target, scored = self.objective.target(segment), slice(segment.score_from, segment.score_to)
            for begin in range(0, len(nodes), AT_ONCE):
                some = nodes[begin : begin + AT_ONCE]
                mixes = cache.without([[node] for node in some]).sum(1)[..., scored]
                losses = self.objective.loss.per_item(prediction=mixes, target=target).total
                increase[begin : begin + AT_ONCE] += segment.weight * (losses.double().cpu() - before)
        return increase / sum(s.weight for s in self.segments)

    @torch.no_grad()
    def signals(self, segment: EvalSegment, taps: Collection[Tap], nodes: Collection[int] = ()) -> dict[Tap, Tensor]:
        """Signals at some places on a segment, [2, samples] each.

        Args:
            segment: one of those on which trials are evaluated.
            taps: the places.
            nodes: without these; then places that they do not change may be left out.
        """
        cache = self.caches.get(segment)
        if cache is not None:
            return cache.signals(taps, nodes)
        graph = bypass_nodes(self.graph, [*self.trials.removed, *nodes])
        sources = self.objective.stems_for(graph, self.objective.read(segment.start, segment.length).stems)
        reader = TapReader(self.trials.plan, taps, segment.length)
        self.trials.renderer.run(
            self.trials.plan, graph, sources, reader, self.trials.responses, position=segment.start
        )
        return reader.signals

    def _cache(self, segment: EvalSegment) -> RenderCache:
        stems = self.objective.read(segment.start, segment.length).stems
        return self.trials.render(self.objective.stems_for(self.graph, stems), segment.start)

    def _judge_segment(self, nodes: Collection[int], segment: EvalSegment) -> float:
        cache = self.caches.get(segment)
        if cache is not None:
            mix = (cache.without([nodes])[0] if nodes else cache.mix()).sum(0, keepdim=True)
            prediction = mix[..., segment.score_from : segment.score_to]
            return float(self.objective.loss(prediction=prediction, target=self.objective.target(segment)).total)
        without = bypass_nodes(self.graph, [*self.trials.removed, *nodes])
        return float(self.objective.evaluate(without, [segment], self.trials.responses).total)

    def _most_open_first(self, nodes: Collection[int]) -> list[EvalSegment]:
        """The segments in the order in which they tell most of some nodes: where the tracks that pass them are exposed.

        Those of a song that is evaluated as a whole stay in their order.
        """
        if not self.objective.is_sampled:
            return self.segments
        passing = reachable(self._before, nodes)
        tracks = [self.graph.names[node] for node in self._inputs if node in passing]
        exposure = self.objective.exposure(tracks)
        return sorted(self.segments, key=lambda segment: -exposure[segment.start])

    @cached_property
    def _before(self) -> Neighbours:
        return neighbours(self.graph.node_type.numel(), self.graph.edges())[0]

    @cached_property
    def _inputs(self) -> list[int]:
        return self.graph.nodes_of("in").tolist()

    def _differences(self, segment: EvalSegment, most: int) -> int:
        """Bytes of the differences that are kept of a trial; they are let go of if they are more than they may be."""
        cache = self.caches.get(segment)
        size = 0 if cache is None else cache.last_bytes
        if cache is not None and size > most:
            cache.forget_last()
            return 0
        return size

    def _mean(self, losses: Mapping[EvalSegment, float]) -> float:
        """Weighted by how many samples each segment scores."""
        return sum(s.weight * losses[s] for s in self.segments) / sum(s.weight for s in self.segments)
