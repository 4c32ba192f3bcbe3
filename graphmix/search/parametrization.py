"""The numbers that an optimizer moves, and the graph that they stand for."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack

MIN_WEIGHT = 1e-3
"""Smallest dry/wet weight while training: -70 dB, for at zero a node's parameters would get no gradient. What is worth
no more than this is bypassed wherever the graph is evaluated or kept."""


class RawGraph(nn.Module):
    """A graph whose parameters and dry/wet weights are leaves in raw units.

    Args:
        graph: physical values to start from.
        rack: the processors, which map between physical and raw.
        own_rates: let every kind of parameter move at its own rate.

    ``weights`` holds the dry/wet weights of the nodes that can be bypassed, ``params`` one tensor for each type: raw
    values divided by their rates. An optimizer such as AdamW, whose steps do not depend on the size of the gradient,
    then moves a raw value by its rate times the learning rate.
    """

    def __init__(self, graph: MixGraph, rack: Rack, own_rates: bool = False) -> None:
        super().__init__()
        self.rack = rack
        self._graph = graph.clone()
        used = [name for name, values in graph.params.items() if values.numel()]
        raw = {name: rack[name].to_raw(graph.params[name].detach()) for name in used}
        kinds = [rack.get(t.name) for t in graph.types.types]
        wet_rates = torch.tensor([kind.wet_rate if kind and own_rates else 1.0 for kind in kinds])
        self.prunable = graph.prunable.nonzero().flatten()
        self._wet_rates = wet_rates.to(graph.wet)[graph.node_type][self.prunable]
        self._rates = {n: (rack[n].rates() if own_rates else torch.ones(r.size(1))).to(r) for n, r in raw.items()}
        self.params = nn.ParameterDict({name: nn.Parameter(r / self._rates[name]) for name, r in raw.items()})
        self._floor, self._ceiling = MIN_WEIGHT / self._wet_rates, 1 / self._wet_rates
        scaled = graph.wet.detach()[self.prunable] / self._wet_rates
        self.weights = nn.Parameter(scaled.clamp(self._floor, self._ceiling))

    def graph(self) -> MixGraph:
        """The graph with physical values, through which gradients flow back to the raw numbers."""
        graph = copy.copy(self._graph)
        graph.params = dict(self._graph.params)
        for name, raw in self.params.items():
            graph.params[name] = self.rack[name].from_raw(raw * self._rates[name])
        graph.wet = self._graph.wet.index_copy(0, self.prunable, self.wet())
        return graph

    def wet(self) -> Tensor:
        """Dry/wet weights of the nodes that can be bypassed, [prunable]."""
        return self.weights * self._wet_rates

    @torch.no_grad()
    def snapshot(self) -> MixGraph:
        """The graph as it is now, free of gradients and brought into its ranges to the last bit."""
        graph = self.graph()
        for name in self.params:
            low, high = (bound.to(graph.params[name]) for bound in self.rack[name].node_type.bounds())
            graph.params[name] = graph.params[name].clamp(low, high)
        weights = self.wet().masked_fill(self.weights <= self._floor, 0).clamp(max=1)
        graph.wet = graph.wet.index_copy(0, self.prunable, weights)
        return graph.clone()

    @torch.no_grad()
    def project(self) -> None:
        """Bring everything back into its range after a step."""
        for name, scaled in self.params.items():
            raw = scaled * self._rates[name]
            before = raw.clone()
            self.rack[name].project(raw)
            scaled.copy_(torch.where(raw == before, scaled, raw / self._rates[name]))
        self.weights.clamp_(self._floor, self._ceiling)

    def tensors(self) -> Mapping[str, Tensor]:
        """All leaves by name, for a checkpoint."""
        return {"weights": self.weights, **{f"params.{name}": raw for name, raw in self.params.items()}}
