r"""Slots: places of a chain where one of N processors stands or none, relaxed to a weighted sum (DARTS).

The pruning paper's appendix A.3 names this extension of its own two-way choice. A slot gives

.. math:: y = w_0 x + \sum_k w_k P_k(x), \qquad w = \mathrm{softmax}(z / \tau)

It is part of a graph like any other: what comes in leads to N candidates, these and the bypass through sends to a mix,
and the weights :math:`w` are the sends' dry/wet weights. The logits z are fitted together with the settings of the
candidates while the temperature falls from 1 to 0.1, so that in the end one weight is nearly 1; then the slot is
*hardened* to its strongest candidate. With noise, Gumbel's is added to the logits in each step.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.sketch import Part, Sketch
from graphmix.graph.topology import Edge
from graphmix.processors.rack import Rack
from graphmix.processors.send import Send
from graphmix.search.fit import Training
from graphmix.search.losses import LossTerms
from graphmix.search.objective import Objective
from graphmix.search.parametrization import RawGraph
from graphmix.search.settings import SearchSettings
from graphmix.spec import MIX, NodeType

TEMPERATURES = (1.0, 0.1)
"""Of the softmax, at the first and at the last step; in between equal factors."""
FIRST_SHARE = 0.9
"""Weight with which the choice begins that a slot stands for: the processor that was there, or the bypass."""
LOGIT_RATE = 4.0
"""Step size of the logits, as a multiple of the learning rate."""


@dataclass(frozen=True)
class Slot:
    """One slot of a sketch.

    Args:
        candidates: ids of the processors.
        sends: ids of the sends that weigh them, that of the bypass first.
        mix: id of where they meet.
        first: which send has the largest weight in the beginning.
    """

    candidates: tuple[int, ...]
    sends: tuple[int, ...]
    mix: int
    first: int


def add_slots(sketch: Sketch, head: int, slots: Sequence[tuple[Sequence[Part], int]]) -> list[Slot]:
    """Put slots behind a node, one after the other, before all that its first outlet led to.

    Args:
        sketch: is changed.
        head: id of the node.
        slots: of each the candidates, and the number of the choice that it begins with: 0 is the bypass, 1 the first.
    """
    moved = [edge for edge in sketch.edges if edge.source == head and edge.outlet == 0]
    sketch.edges = [edge for edge in sketch.edges if edge not in moved]
    found, start = [], head
    for parts, first in slots:
        candidates = tuple(sketch.add(part) for part in parts)
        send = Part(_send_type(), torch.zeros(2))
        sends = tuple(sketch.add(send) for _ in range(len(parts) + 1))
        mix = sketch.add(Part(MIX, torch.zeros(0)))
        sketch.edges += [Edge(start, node) for node in candidates]
        sketch.edges += [Edge(node, to, 0, 1) for node, to in zip((start, *candidates), sends, strict=True)]
        sketch.edges += [Edge(node, mix) for node in sends]
        found.append(Slot(candidates, sends, mix, first))
        start = mix
    sketch.edges += [Edge(start, edge.target, 0, edge.inlet) for edge in moved]
    return found


def harden(sketch: Sketch, slots: Sequence[Slot], choices: Sequence[int]) -> list[int]:
    """Leave one choice of each slot, at full weight: the processors that stay, in order.

    Args:
        sketch: is changed.
        slots: in it, one after the other.
        choices: of each slot: 0 is the bypass, 1 the first candidate.
    """
    kept = []
    for slot, choice in zip(slots, choices, strict=True):
        inside = {*slot.candidates, *slot.sends}
        (start,) = {edge.source for edge in sketch.edges if edge.target == slot.sends[0]}
        leaves = [edge for edge in sketch.edges if edge.source == slot.mix]
        gone = {*inside, slot.mix}
        sketch.edges = [edge for edge in sketch.edges if not gone & {edge.source, edge.target}]
        end = start
        if choice:
            end = slot.candidates[choice - 1]
            kept.append(end)
            gone.discard(end)
            sketch.edges.append(Edge(start, end))
        sketch.edges += [Edge(end, edge.target, 0, edge.inlet) for edge in leaves]
        for node in gone:
            del sketch.parts[node]
    return kept


def _send_type() -> NodeType:
    """Type of what weighs a choice; the same at any rate."""
    return Send().node_type


class FreeGraph(RawGraph):
    """A graph of which some processors are fitted, and all others stay as they are.

    Args:
        graph: physical values to start from.
        rack: the processors.
        own_rates: let every kind of parameter move at its own rate.
        free: numbers of the nodes that are fitted.
    """

    def __init__(self, graph: MixGraph, rack: Rack, own_rates: bool, free: Sequence[int]) -> None:
        super().__init__(graph, rack, own_rates)
        chosen = torch.zeros(graph.node_type.numel(), dtype=torch.bool, device=graph.wet.device)
        chosen[list(free)] = True
        self._free_wet = chosen[self.prunable]
        self._free_rows = {name: chosen[graph.nodes_of(name)][:, None] for name in self.params}

    def graph(self) -> MixGraph:
        """The graph with physical values; gradients flow to what is free alone."""
        graph = super().graph()
        for name, free in self._free_rows.items():
            graph.params[name] = torch.where(free, graph.params[name], self._graph.params[name])
        return graph

    def wet(self) -> Tensor:
        """Dry/wet weights of the nodes that can be bypassed, [prunable]; those that are not free as they were."""
        return torch.where(self._free_wet, super().wet(), self._graph.wet[self.prunable])


class RelaxedGraph(FreeGraph):
    """A graph with slots: candidates and their logits are fitted.

    Args:
        graph: physical values to start from.
        rack: the processors, a send among them.
        own_rates: let every kind of parameter move at its own rate.
        slots: numbers of the nodes of each slot.
        noise: factor on Gumbel's noise in each step; 0: none.
        seed: of the noise.
    """

    def __init__(
        self, graph: MixGraph, rack: Rack, own_rates: bool, slots: Sequence[Slot], noise: float = 0.0, seed: int = 0
    ) -> None:
        free = [node for slot in slots for node in slot.candidates]
        super().__init__(graph, rack, own_rates, free)
        self.sends = torch.tensor([slot.sends for slot in slots], device=graph.wet.device)
        self.temperature, self.noise, self.seed, self.step = TEMPERATURES[0], noise, seed, 0
        count = self.sends.size(1)
        start = graph.wet.new_zeros(len(slots), count)
        for row, slot in enumerate(slots):
            start[row, slot.first] = math.log(FIRST_SHARE * (count - 1) / (1 - FIRST_SHARE)) if count > 1 else 0.0
        self.logits = nn.Parameter(start / LOGIT_RATE)

    def shares(self) -> Tensor:
        """Weights of the choices without noise, [slots, candidates + 1]; they sum to 1."""
        return (self.logits * LOGIT_RATE / self.temperature).softmax(1)

    def graph(self) -> MixGraph:
        """The graph whose sends have the weights of their choices."""
        graph, logits = super().graph(), self.logits * LOGIT_RATE
        if self.noise and torch.is_grad_enabled():
            logits = logits + self.noise * self._gumbel()
        shares = (logits / self.temperature).softmax(1)
        graph.wet = graph.wet.index_copy(0, self.sends.flatten(), shares.flatten())
        return graph

    def _gumbel(self) -> Tensor:
        """Noise of a step; it follows from seed and step alone."""
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + self.step)
        uniform = torch.rand(self.logits.shape, generator=random).clamp(1e-6, 1 - 1e-6)
        return -(-uniform.log()).log().to(self.logits)

    @torch.no_grad()
    def snapshot(self) -> MixGraph:
        """The graph as it is now, without noise."""
        graph, shares = super().snapshot(), self.shares()
        graph.wet = graph.wet.index_copy(0, self.sends.flatten(), shares.flatten())
        return graph

    def tensors(self) -> dict[str, Tensor]:
        """All leaves by name, for a checkpoint."""
        return {**super().tensors(), "logits": self.logits}


class Relaxation(Training):
    """Gradient descent on a graph with slots, whose temperature falls.

    Args:
        objective: the song and its losses.
        graph: with slots.
        slots: numbers of their nodes.
        settings: learning rate and seed.
        num_steps: how many steps.
        loss: of ``graph``, if it is known.
        noise: factor on Gumbel's noise; 0: none.
    """

    def __init__(
        self,
        objective: Objective,
        graph: MixGraph,
        slots: Sequence[Slot],
        settings: SearchSettings,
        num_steps: int,
        loss: LossTerms | None = None,
        noise: float = 0.0,
    ) -> None:
        def raw(graph: MixGraph) -> RelaxedGraph:
            return RelaxedGraph(graph, objective.rack, settings.own_rates, slots, noise, settings.seed)

        super().__init__(objective, graph, settings, 0, num_steps, loss, raw=raw)
        self.slots = list(slots)

    @property
    def relaxed(self) -> RelaxedGraph:
        """The numbers that are fitted."""
        assert isinstance(self.raw, RelaxedGraph), "made by __init__"
        return self.raw

    def advance(self) -> LossTerms | None:
        """One step at its temperature."""
        self._set_step(self.step)
        return super().advance()

    def restore(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Put back what :meth:`state` gave; the temperature is that of the step before."""
        super().restore(tensors, values)
        self._set_step(max(0, self.step - 1))

    def _set_step(self, step: int) -> None:
        self.relaxed.step, self.relaxed.temperature = step, temperature_at(step / max(1, self.last_step - 1))

    def choices(self) -> list[int]:
        """The strongest choice of each slot: 0 is the bypass."""
        return self.relaxed.shares().argmax(1).tolist()


def temperature_at(progress: float) -> float:
    """Temperature when a share of the steps is done.

    Example:
        >>> [round(temperature_at(x), 2) for x in (0.0, 0.5, 1.0)]
        [1.0, 0.32, 0.1]
    """
    first, last = TEMPERATURES
    return first * (last / first) ** min(1.0, progress)
