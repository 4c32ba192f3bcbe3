"""How a draft is finished: greedily, by sampling, or by beam search.

Beam search keeps the most probable drafts of equal length, extends each by its most probable types (whose edges are
pointed at greedily), and ends when no unfinished draft is more probable than the best finished one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graphmix.models.mixing.autoregressive_network import PrototypeNet, Read
from graphmix.models.mixing.linearize import IncomingEdge
from graphmix.models.mixing.partial_graph import Draft

Pick = Callable[[Tensor], int]
"""Which of some log-probabilities to take."""


@dataclass(frozen=True, eq=False)
class Written:
    """A draft and how probable it is."""

    draft: Draft
    log_probability: float


def most_probable(log_probabilities: Tensor) -> int:
    """The place of the largest; of equal ones, of the first."""
    return int(log_probabilities.argmax())


def sampler(generator: torch.Generator, temperature: float = 1.0) -> Pick:
    """Draws by probability, sharpened below and flattened above a temperature of 1; the generator is on the CPU."""

    def pick(log_probabilities: Tensor) -> int:
        weights = (log_probabilities.double().cpu() / temperature).softmax(0)
        return int(torch.multinomial(weights, 1, generator=generator))

    return pick


@torch.no_grad()
def write(net: PrototypeNet, heard: Tensor, draft: Draft, pick: Pick = most_probable) -> Written:
    """Finish a draft, choice by choice.

    Args:
        net: gives the probabilities.
        heard: numbers that describe each input, [inputs, size].
        draft: with as many inputs; it is not changed.
        pick: makes the choices.
    """
    draft, total = draft.copy(), 0.0
    while not draft.done:
        read = net.read(heard, draft)
        state, log_types = net.next_types(read, draft)
        kind = pick(log_types)
        edges, log_edges = _edges(net, read, state, draft, kind, pick)
        draft.write(kind, edges)
        total += float(log_types[kind]) + log_edges
    return Written(draft, total)


@torch.no_grad()
def write_by_beam(net: PrototypeNet, heard: Tensor, draft: Draft, width: int = 4) -> Written:
    """Finish a draft by beam search.

    Args:
        net: gives the probabilities.
        heard: numbers that describe each input, [inputs, size].
        draft: with as many inputs; it is not changed.
        width: drafts that are kept, and types that are tried for each.
    """
    beam = [Written(draft.copy(), 0.0)]
    best: Written | None = None
    while beam:
        longer = [other for written in beam for other in _extended(net, heard, written, width)]
        for written in longer:
            if written.draft.done and (best is None or written.log_probability > best.log_probability):
                best = written
        open_ends = [written for written in longer if not written.draft.done]
        if best is not None:
            open_ends = [written for written in open_ends if written.log_probability > best.log_probability]
        beam = sorted(open_ends, key=lambda written: -written.log_probability)[:width]
    assert best is not None, "the last place of a draft is for its out node"
    return best


def _extended(net: PrototypeNet, heard: Tensor, written: Written, width: int) -> list[Written]:
    """A draft, longer by one node of each of the most probable types."""
    read = net.read(heard, written.draft)
    state, log_types = net.next_types(read, written.draft)
    longer = []
    for kind in log_types.argsort(descending=True, stable=True)[:width].tolist():
        if not bool(log_types[kind] > -torch.inf):
            break
        draft = written.draft.copy()
        edges, log_edges = _edges(net, read, state, draft, kind, most_probable)
        draft.write(kind, edges)
        longer.append(Written(draft, written.log_probability + float(log_types[kind]) + log_edges))
    return longer


def _edges(
    net: PrototypeNet, read: Read, state: Tensor, draft: Draft, kind: int, pick: Pick
) -> tuple[Sequence[IncomingEdge], float]:
    """Edges of the next node, and the log-probability of choosing them and no more."""
    chosen, total = list[IncomingEdge](), 0.0
    while True:
        sources = [edge.source for edge in chosen]
        log_edges = net.next_edges(read, state, draft, draft.choice(kind, chosen), sources)
        number = pick(log_edges)
        total += float(log_edges[number])
        if number == draft.ports.size(draft.place):
            return chosen, total
        chosen.append(draft.ports.edge(number, draft.place))
