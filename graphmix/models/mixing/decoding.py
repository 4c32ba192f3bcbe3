"""Decoding: how a partial graph is finished, greedily, by sampling, or by beam search.

Beam search keeps the most probable partial graphs of equal length, extends each by its most probable types (whose edges
are chosen greedily), and ends when no unfinished graph is more probable than the best finished one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graphmix.models.mixing.autoregressive_network import Encoding, PrototypeNet
from graphmix.models.mixing.linearize import IncomingEdge
from graphmix.models.mixing.partial_graph import PartialGraph

Pick = Callable[[Tensor], int]
"""Chooses one of some log-probabilities."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """A partial graph and its probability."""

    partial: PartialGraph
    log_probability: float


def most_probable(log_probabilities: Tensor) -> int:
    """Index of the largest; of equal ones, of the first."""
    return int(log_probabilities.argmax())


def sampler(generator: torch.Generator, temperature: float = 1.0) -> Pick:
    """A pick at random by probability, sharpened below and flattened above a temperature of 1.

    Args:
        generator: on the CPU.
        temperature: above 0.
    """

    def pick(log_probabilities: Tensor) -> int:
        weights = (log_probabilities.double().cpu() / temperature).softmax(0)
        return int(torch.multinomial(weights, 1, generator=generator))

    return pick


@torch.no_grad()
def decode(net: PrototypeNet, conditioning: Tensor, partial: PartialGraph, pick: Pick = most_probable) -> Decoded:
    """Finish a partial graph, choice by choice.

    Args:
        net: gives the probabilities.
        conditioning: of each input, [inputs, size].
        partial: with as many inputs; it is not changed.
        pick: makes the choices.
    """
    partial, total = partial.copy(), 0.0
    while not partial.done:
        encoding = net.encode(conditioning, partial)
        state, log_types = net.next_types(encoding, partial)
        kind = pick(log_types)
        edges, log_edges = _edges(net, encoding, state, partial, kind, pick)
        partial.append(kind, edges)
        total += float(log_types[kind]) + log_edges
    return Decoded(partial, total)


@torch.no_grad()
def beam_search(net: PrototypeNet, conditioning: Tensor, partial: PartialGraph, width: int = 4) -> Decoded:
    """Finish a partial graph by beam search.

    Args:
        net: gives the probabilities.
        conditioning: of each input, [inputs, size].
        partial: with as many inputs; it is not changed.
        width: number of graphs that are kept, and of types that are tried for each.
    """
    beam = [Decoded(partial.copy(), 0.0)]
    best: Decoded | None = None
    while beam:
        longer = [other for decoded in beam for other in _extended(net, conditioning, decoded, width)]
        for decoded in longer:
            if decoded.partial.done and (best is None or decoded.log_probability > best.log_probability):
                best = decoded
        unfinished = [decoded for decoded in longer if not decoded.partial.done]
        if best is not None:
            unfinished = [decoded for decoded in unfinished if decoded.log_probability > best.log_probability]
        beam = sorted(unfinished, key=lambda decoded: -decoded.log_probability)[:width]
    assert best is not None, "the last place of a partial graph is for its out node"
    return best


def _extended(net: PrototypeNet, conditioning: Tensor, decoded: Decoded, width: int) -> list[Decoded]:
    """A partial graph, longer by one node of each of the most probable types."""
    encoding = net.encode(conditioning, decoded.partial)
    state, log_types = net.next_types(encoding, decoded.partial)
    longer = []
    for kind in log_types.argsort(descending=True, stable=True)[:width].tolist():
        if not bool(log_types[kind] > -torch.inf):
            break
        partial = decoded.partial.copy()
        edges, log_edges = _edges(net, encoding, state, partial, kind, most_probable)
        partial.append(kind, edges)
        longer.append(Decoded(partial, decoded.log_probability + float(log_types[kind]) + log_edges))
    return longer


def _edges(
    net: PrototypeNet, encoding: Encoding, state: Tensor, partial: PartialGraph, kind: int, pick: Pick
) -> tuple[Sequence[IncomingEdge], float]:
    """Edges of the next node, and the log-probability of choosing them and no more."""
    chosen, total = list[IncomingEdge](), 0.0
    while True:
        sources = [edge.source for edge in chosen]
        log_edges = net.next_edges(encoding, state, partial, partial.choice(kind, chosen), sources)
        number = pick(log_edges)
        total += float(log_edges[number])
        if number == partial.ports.size(partial.place):
            return chosen, total
        chosen.append(partial.ports.edge(number, partial.place))
