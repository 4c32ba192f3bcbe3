"""Trials of moves: what a graph would sound like with some of its chains changed, rendering only what that touches.

Where two graphs differ, only what lies behind the difference sounds otherwise. :func:`touched_part` gives a graph of
these nodes alone: each signal that comes from elsewhere is an input of its own, and is read from the renderings that
:class:`~graphmix.search.trial_losses.Judge` keeps. It is an ordinary graph, so that gradients pass through it, and a
few of its nodes can be fitted at the cost of its own rendering.

Signals between filters are cut to the segment where they become inputs, those of a whole rendering are not; over the
scored part of a segment both agree to about a millionth of the loss.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from graphmix.audio.segments import EvalSegment
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.sketch import Part, Sketch
from graphmix.graph.topology import Edge, topological_order
from graphmix.processors.base import Processor
from graphmix.render.renderer import Responses
from graphmix.render.schedule import Stage
from graphmix.render.taps import Tap
from graphmix.search.initialization import FRAME_SECONDS, frame_levels
from graphmix.search.objective import Objective
from graphmix.search.parametrization import RawGraph
from graphmix.search.trial_losses import Judge, Verdict, hopeless_above
from graphmix.spec import STRUCTURAL

FIT_RATE = 0.1
"""Learning rate of the few steps of a trial, in raw units."""
FIT_MOMENTUM = 0.8
Frozen = tuple[tuple[int, int], ...]
"""Ids and outlets of nodes whose sum is one input of a touched part."""


@dataclass(frozen=True)
class Touched:
    """The part of a graph that a change touches.

    Args:
        graph: its nodes, and an input for each sum of signals from elsewhere.
        ids: of its nodes, in node order; those of inputs are new.
        inputs: where the signal of each input comes from, in the order of the inputs.
    """

    graph: MixGraph
    ids: list[int]
    inputs: tuple[Frozen, ...]

    def nodes(self, ids: Collection[int]) -> list[int]:
        """Numbers of some nodes."""
        place = {node: i for i, node in enumerate(self.ids)}
        return [place[node] for node in ids if node in place]


def touched_part(before: Sketch, after: Sketch) -> Touched | None:
    """The part of a changed graph that sounds otherwise; None where nothing does.

    Args:
        before: the graph whose signals are known.
        after: changed; its ids are those of ``before`` where they are the same nodes.
    """
    touched = _touched_ids(before, after)
    outputs = [node for node, part in after.parts.items() if part.type.name == "out"]
    if not touched.intersection(outputs):
        return None
    part = after.copy()
    part.edges = [edge for edge in after.edges if edge.source in touched and edge.target in touched]
    frozen: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for source, target, outlet, inlet in after.edges:
        if target in touched and source not in touched:
            frozen.setdefault((target, inlet), []).append((source, outlet))
    inputs: dict[Frozen, int] = {}
    for (target, inlet), sources in frozen.items():
        key = tuple(sorted(sources))
        if key not in inputs:
            inputs[key] = part.add(Part(STRUCTURAL[0], torch.zeros(0), name=f"frozen {len(inputs)}"))
        part.edges.append(Edge(inputs[key], target, 0, inlet))
    graph, ids = part.graph([*inputs.values(), *(node for node in after.parts if node in touched)])
    return Touched(graph, ids, tuple(inputs))


def _touched_ids(before: Sketch, after: Sketch) -> set[int]:
    """Nodes whose output may differ; with sources that have several outlets, which are rendered again."""
    comes: dict[int, list[tuple[int, int, int]]] = {node: [] for node in after.parts}
    for source, target, outlet, inlet in after.edges:
        comes[target].append((source, outlet, inlet))
    known: dict[int, list[tuple[int, int, int]]] = {node: [] for node in before.parts}
    for source, target, outlet, inlet in before.edges:
        known[target].append((source, outlet, inlet))
    order = list(after.parts)
    place = {node: i for i, node in enumerate(order)}
    ends = [(place[s], place[t]) for s, t, _, _ in after.edges]
    touched: set[int] = set()
    for i in topological_order(len(order), ends):
        node = order[i]
        is_same = node in before.parts and after.parts[node].is_same(before.parts[node])
        same_sources = is_same and sorted(comes[node]) == sorted(known[node])
        if not same_sources or any(source in touched for source, _, _ in comes[node]):
            touched.add(node)
    waiting = list(touched)
    while waiting:
        for source, _, _ in comes[waiting.pop()]:
            if source not in touched and len(after.parts[source].type.outlets) > 1:
                touched.add(source)
                waiting.append(source)
    return touched


class MoveJudge:
    """Judges moves on one graph.

    Args:
        objective: the song and its losses, with a processor for each type of the moves.
        sketch: of the graph.
        segments: on which trials are evaluated.
    """

    def __init__(self, objective: Objective, sketch: Sketch, segments: Sequence[EvalSegment]) -> None:
        self.objective, self.sketch = objective, sketch
        graph, ids = sketch.graph()
        self.judge = Judge(objective, graph, segments)
        self._place = {node: i for i, node in enumerate(ids)}
        self._read: dict[EvalSegment, dict[int, Tensor]] = {}

    def loss(self) -> float:
        """Of the graph as it is, over the segments."""
        return self.judge.loss()

    def sources(self, touched: Touched, segment: EvalSegment, *, keep: bool = False) -> Tensor:
        """Signals of the inputs of a touched part, [inputs, 2, samples].

        Args:
            touched: the part.
            segment: of the song.
            keep: what is read, for other moves on the same segment.
        """
        known = self._read.setdefault(segment, {}) if keep else dict(self._read.get(segment, {}))
        wanted = {node for sources in touched.inputs for node, _ in sources} - known.keys()
        taps = {Tap(self._place[node]): node for node in wanted}
        if taps:
            known |= {taps[tap]: signal for tap, signal in self.judge.signals(segment, list(taps)).items()}
        return torch.stack([torch.stack([known[node] for node, _ in own]).sum(0) for own in touched.inputs])

    @torch.no_grad()
    def segment_loss(
        self, touched: Touched, segment: EvalSegment, sources: Tensor, responses: Responses | None = None
    ) -> float:
        """Loss of a changed graph on one segment."""
        return float(self._loss(touched.graph.to(self.objective.device), segment, sources, responses))

    def _loss(
        self, graph: MixGraph, segment: EvalSegment, sources: Tensor, responses: Responses | None = None
    ) -> Tensor:
        renderer, target = self.objective.renderer, self.objective.target(segment)
        rendered = renderer.run(renderer.plan(graph), graph, sources, responses=responses, position=segment.start)
        prediction = rendered.mix.sum(0, keepdim=True)[..., segment.score_from : segment.score_to]
        return self.objective.loss(prediction=prediction, target=target).total

    def judge_move(self, touched: Touched, limit: float, *, race: bool) -> Verdict:
        """Loss of a changed graph over the segments, as :meth:`~graphmix.search.trial_losses.Judge.judge` has it.

        Args:
            touched: its part that differs.
            limit: the loss that must not be reached.
            race: end as soon as the move is clearly hopeless.
        """
        before, losses = self.judge.losses, dict(self.judge.losses)
        loss, rendered = self.loss(), 0
        total = sum(segment.weight for segment in before)
        responses: Responses = {}
        mean = loss
        for segment in before:
            losses[segment] = self.segment_loss(touched, segment, self.sources(touched, segment), responses)
            rendered += 1
            mean = sum(s.weight * losses[s] for s in before) / total
            if race and mean > hopeless_above(loss, max(limit, loss)):
                break
        return Verdict(mean, rendered, len(before))

    def fit(self, touched: Touched, free: Collection[int], segment: EvalSegment, steps: int) -> dict[int, Part]:
        """Settings of some nodes after a few steps on one segment.

        Args:
            touched: the part of the changed graph that differs.
            free: ids of the nodes.
            segment: of the song.
            steps: how many.
        """
        objective = self.objective
        sources = self.sources(touched, segment, keep=True)
        raw = RawGraph(touched.graph.clone().to(objective.device), objective.rack, own_rates=True)
        masks = _masks(raw, touched, free)
        optimizer = torch.optim.Adam(raw.parameters(), lr=FIT_RATE, betas=(FIT_MOMENTUM, 0.99))
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            loss = self._loss(raw.graph(), segment, sources)
            loss.backward()
            for parameter, mask in masks:
                if parameter.grad is not None:
                    parameter.grad = torch.where(mask, parameter.grad, 0.0).nan_to_num(0.0, 0.0, 0.0)
            optimizer.step()
            raw.project()
        return _parts(touched, raw.snapshot().cpu(), free)

    @torch.no_grad()
    def with_levels(self, touched: Touched, nodes: Collection[int], segment: EvalSegment) -> dict[int, Part]:
        """Some nodes with their thresholds fitted to the levels that come in on a segment; only those that have some.

        Args:
            touched: the part of the changed graph that differs.
            nodes: their ids.
            segment: of the song.
        """
        objective, graph = self.objective, touched.graph.clone().to(self.objective.device)
        rows, found = graph.rows().tolist(), dict[int, Part]()
        frame = round(FRAME_SECONDS * graph.sample_rate)
        wanted = {}
        for node, number in zip(nodes, touched.nodes(nodes), strict=True):
            processor = objective.rack[graph.type_of(number).name]
            if type(processor).fit_levels is not Processor.fit_levels:
                wanted[processor.node_type.name, rows[number]] = node, processor
        if not wanted:
            return {}

        def observe(stage: Stage, signal: Tensor, _: Tensor) -> None:
            for place, row in enumerate(stage.rows.tolist()):
                if (stage.kind, row) in wanted:
                    node, processor = wanted[stage.kind, row]
                    detector = signal[place].mean(0)[None, segment.score_from : segment.score_to]
                    values = graph.params[stage.kind][row : row + 1]
                    fitted = processor.fit_levels(values, [frame_levels(detector, frame)[0].cpu()])
                    kind = processor.node_type
                    found[node] = Part(kind, fitted[0].cpu(), float(graph.wet[touched.nodes([node])[0]]))

        sources = self.sources(touched, segment, keep=True)
        plan = objective.renderer.plan(graph)
        objective.renderer.run(plan, graph, sources, observe, position=segment.start)
        return found


def _masks(raw: RawGraph, touched: Touched, free: Collection[int]) -> list[tuple[Tensor, Tensor]]:
    """Each leaf of the optimizer, and which of its numbers may move."""
    graph = touched.graph
    nodes = torch.zeros(graph.node_type.numel(), dtype=torch.bool)
    nodes[touched.nodes(free)] = True
    masks: list[tuple[Tensor, Tensor]] = [(raw.weights, nodes[raw.prunable.cpu()].to(raw.weights.device))]
    for name, parameter in raw.params.items():
        own = nodes[graph.nodes_of(name)][:, None].expand_as(parameter)
        masks.append((parameter, own.to(parameter.device)))
    return masks


def _parts(touched: Touched, graph: MixGraph, ids: Collection[int]) -> dict[int, Part]:
    """The settings of some nodes of a graph, by their ids."""
    rows, parts = graph.rows().tolist(), {}
    for node, number in zip(ids, touched.nodes(ids), strict=True):
        kind = graph.type_of(number)
        values = graph.params[kind.name][rows[number]].clone()
        parts[node] = Part(kind, values, float(graph.wet[number]), graph.names[number])
    return parts


def with_settings(sketch: Sketch, settings: Mapping[int, Part]) -> Sketch:
    """The sketch with other settings of some nodes."""
    other = sketch.copy()
    for node, part in settings.items():
        other.parts[node] = replace(part, name=sketch.parts[node].name)
    return other
