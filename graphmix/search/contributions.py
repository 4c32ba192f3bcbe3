"""What a graph makes of each track alone, over many segments of a song.

All tracks are rendered at once: for each, the part of the graph that its sound passes is copied, and the copies are a
batch. So a stage processes all of them together, and the frequency responses are computed once for all segments.
Tracks that rest in a segment are left out.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch

from graphmix.graph.editing import keep_nodes
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.topology import neighbours, reachable
from graphmix.render.renderer import Responses
from graphmix.render.schedule import Plan
from graphmix.render.silence import restrict, silent_rows, sounding_nodes
from graphmix.search.objective import Objective

AT_ONCE = 32
"""Tracks that are rendered together."""


class _Copies(NamedTuple):
    """The parts of a graph that some tracks pass, as a batch.

    Args:
        tracks: numbers of the inputs.
        batch: a graph for each.
        plan: of the batch.
        outputs: number of the graph of each output node, [outputs].
        responses: of the plan, once it was carried out.
    """

    tracks: slice
    batch: Any
    plan: Plan
    outputs: Tensor
    responses: Responses


class Contributions:
    """Renders each track alone through a graph, and all of them together.

    Args:
        objective: the song.
        graph: on the objective's device; it must not change as long as this is used.
    """

    def __init__(self, objective: Objective, graph: MixGraph) -> None:
        self.objective, self.graph = objective, graph
        self.renderer = objective.renderer
        self.plan = self.renderer.plan(graph)
        self.responses: Responses = {}
        self.copies = [self._copies(first) for first in range(0, len(graph.input_names), AT_ONCE)]

    def _copies(self, first: int) -> _Copies:
        graph = self.graph
        _, after = neighbours(graph.node_type.numel(), graph.edges())
        inputs = graph.nodes_of("in").tolist()[first : first + AT_ONCE]
        parts = [keep_nodes(graph, sorted(reachable(after, [node]))) for node in inputs]
        batch: Any = Batch.from_data_list(parts)
        outputs = batch.batch[batch.nodes_of("out")]
        return _Copies(slice(first, first + len(inputs)), batch, self.renderer.plan(batch), outputs, {})

    @torch.no_grad()
    def __call__(self, stems: Tensor, position: int) -> tuple[Tensor, Tensor]:
        """Of each track, [tracks, 2, samples], and of all of them, [2, samples].

        Args:
            stems: of the song, [tracks, 2, samples].
            position: of their first sample in the song.
        """
        sources = self.objective.stems_for(self.graph, stems)
        run = self.renderer.run(self.plan, self.graph, sources, responses=self.responses, position=position)
        parts = torch.zeros_like(sources)
        for copies in self.copies:
            own = sources[copies.tracks]
            plan, responses = self._sounding(copies, own)
            mixes = self.renderer.run(plan, copies.batch, own, responses=responses, position=position).mix
            parts[copies.tracks].index_add_(0, copies.outputs, mixes)
        return parts, run.mix.sum(0)

    def _sounding(self, copies: _Copies, sources: Tensor) -> tuple[Plan, Responses]:
        """The plan without tracks that rest, and its responses; the whole plan where they are not known yet."""
        if not copies.responses or sources.device.type != "cpu":  # asking a GPU what is silent would wait for it
            return copies.plan, copies.responses
        silent = silent_rows(sources)
        if not silent.any():
            return copies.plan, copies.responses
        kept = sounding_nodes(copies.plan, self.objective.rack, silent)
        place = np.cumsum([bool(rows.any()) for rows in kept]) - 1
        known = {
            (int(place[i]), n_fft): response[torch.from_numpy(kept[i])]
            for (i, n_fft), response in copies.responses.items()
            if kept[i].any()
        }
        return restrict(copies.plan, kept), known
