"""Where in the song a signal lies that is rendered, for processors that depend on it.

A *position* is the place of the first sample of the sources in the song, in samples at the graph's rate; below 0 before
the song. It is one number, or in a batch of graphs one for each, [graphs].
"""

import torch
from torch import Tensor

from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.base import Processor
from graphmix.processors.ride import BREAKPOINTS

Position = int | Tensor
_SLACK_SECONDS = 0.01
"""By how much a breakpoint may lie behind the song's end: lengths are rounded where rates change."""


def placed(processor: Processor, params: Tensor, graph: MixGraph, nodes: Tensor, position: Position) -> Tensor:
    """The parameters of some nodes of one type as their processor takes them for a signal at a position.

    Args:
        processor: of the nodes.
        params: their physical values, [nodes, width].
        graph: a graph or a batch of graphs.
        nodes: their numbers, [nodes].
        position: of the sources.
    """
    if not processor.is_placed:
        return params
    if isinstance(position, int):
        samples = torch.full(nodes.shape, float(position), dtype=torch.float64, device=params.device)
    else:
        samples = position.to(params.device).double().reshape(-1)
        samples = samples[graph.batch[nodes]] if samples.numel() > 1 else samples.expand(nodes.numel())
    return processor.placed(params, samples / processor.sample_rate)


def check_position(graph: MixGraph, position: Position) -> None:
    """See that there are as many positions as graphs.

    Raises:
        GraphError: another number of them.
    """
    if isinstance(position, int):
        return
    graphs = len(graph.info) if isinstance(graph.info, list) else 1
    if position.numel() not in (1, graphs):
        raise GraphError(
            f"position has {position.numel()} entries and there are {graphs} graphs; give one number, or one for each."
        )


def check_rides(graph: MixGraph, num_samples: int) -> None:
    """See that no ride goes on behind the end of a song.

    Raises:
        GraphError: a breakpoint lies behind it.
    """
    values = graph.params.get("ride")
    if values is None or not values.numel():
        return
    last = values[:, :BREAKPOINTS].detach().double().amax(1)
    seconds = num_samples / graph.sample_rate
    late = last > seconds + _SLACK_SECONDS
    if bool(late.any()):
        row = int(late.nonzero()[0])
        raise GraphError(
            f"{graph.describe(int(graph.nodes_of('ride')[row]))} has a breakpoint at {float(last[row]):.3f} s, and the "
            f"song ends at {seconds:.3f} s: is this the song that the graph was made for? Else take the breakpoint out."
        )
