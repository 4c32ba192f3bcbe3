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

    ``weights`` holds the dry/wet weights of the nodes that can be bypassed, ``params`` one tensor for each type.
    """

    def __init__(self, graph: MixGraph, rack: Rack) -> None:
        super().__init__()
        self.rack = rack
        self._graph = graph.clone()
        used = [name for name, values in graph.params.items() if values.numel()]
        self.params = nn.ParameterDict(
            {name: nn.Parameter(rack[name].to_raw(graph.params[name].detach()).clone()) for name in used}
        )
        prunable = torch.tensor([t.can_be_bypassed for t in graph.types.types], device=graph.node_type.device)
        self.prunable = prunable[graph.node_type].nonzero().flatten()
        self.weights = nn.Parameter(graph.wet.detach()[self.prunable].clamp(min=MIN_WEIGHT))

    def graph(self) -> MixGraph:
        """The graph with physical values, through which gradients flow back to the raw numbers."""
        graph = copy.copy(self._graph)
        graph.params = dict(self._graph.params)
        for name, raw in self.params.items():
            graph.params[name] = self.rack[name].from_raw(raw)
        graph.wet = self._graph.wet.index_copy(0, self.prunable, self.weights)
        return graph

    @torch.no_grad()
    def snapshot(self) -> MixGraph:
        """The graph as it is now, free of gradients and brought into its ranges to the last bit."""
        graph = self.graph()
        for name in self.params:
            low, high = (bound.to(graph.params[name]) for bound in self.rack[name].node_type.bounds())
            graph.params[name] = graph.params[name].clamp(low, high)
        weights = self.weights.masked_fill(self.weights <= MIN_WEIGHT, 0)
        graph.wet = graph.wet.index_copy(0, self.prunable, weights)
        return graph.clone()

    @torch.no_grad()
    def project(self) -> None:
        """Bring everything back into its range after a step."""
        for name, raw in self.params.items():
            self.rack[name].project(raw)
        self.weights.clamp_(MIN_WEIGHT, 1)

    def tensors(self) -> Mapping[str, Tensor]:
        """All leaves by name, for a checkpoint."""
        return {"weights": self.weights, **{f"params.{name}": raw for name, raw in self.params.items()}}
