"""Stages of voices: their inlets one by one, and graphs of voices alone a few notes at a time.

Signals of voices keep the form in which they come (:mod:`graphmix.processors.voice`): one channel where left and right
are equal, one sample where nothing changes, nothing at all where nothing is connected. A batch of notes is many graphs
that are not connected; a few of them at a time stay in the processor's cache from one stage to the next.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack
from graphmix.processors.voice import Counts, Inlets, Voice
from graphmix.render.schedule import Plan
from graphmix.render.silence import restrict
from graphmix.render.sums import Sum, Term, read_rows

PART_BYTES = 5 * 2**21
"""Of one signal of all notes that one thread renders together."""


class Leaves(NamedTuple):
    """What leaves a stage of voices: for each outlet a signal, [nodes, 1 or 2, 1 or samples], or a sum of them."""

    outlets: Sequence[Tensor | Sum]

    def full(self, samples: int) -> Tensor:
        """As other processors are given it, [nodes * outlets, 2, samples]."""
        full = [compute(signal).expand(-1, 2, samples) for signal in self.outlets]
        return torch.stack(full, dim=1).flatten(0, 1) if len(full) > 1 else full[0].contiguous()


def compute(signal: Tensor | Sum) -> Tensor:
    """A signal as a tensor."""
    return signal.value() if isinstance(signal, Sum) else signal


def find_voices(plan: Plan, rack: Rack) -> frozenset[int]:
    """Stages that get their inlets one by one: voices, and mixes and outputs that receive something from them."""
    found: set[int] = set()
    for i, stage in enumerate(plan.stages):
        spectral = stage.fft_group is not None
        if spectral or any(c.cut or plan.stages[c.source].fft_group is not None for c in stage.inputs):
            continue
        passes = stage.kind in ("mix", "out") and any(c.source in found for c in stage.inputs)
        if passes or isinstance(rack.get(stage.kind), Voice):
            found.add(i)
    return frozenset(found)


def gather_inlets(plan: Plan, index: int, outputs: Mapping[int, Tensor | Leaves]) -> list[Sum | None]:
    """What comes into each inlet of a stage."""
    size = len(plan.stages[index].nodes)
    inlets: list[Sum | None] = []
    for edges in plan.by_inlet[index]:
        terms: list[Term] = []
        for own in edges:
            sent = outputs[own.source]
            if isinstance(sent, Leaves):
                signal = sent.outlets[own.outlet]
            else:
                signal = sent.unflatten(0, (-1, plan.stages[own.source].outlets))[:, own.outlet]
            terms += read_rows(signal, own.rows.cpu().numpy(), own.targets.cpu().numpy())
        inlets.append(Sum(terms, size) if terms else None)
    return inlets


def play_stage(
    plan: Plan, index: int, rack: Rack, inlets: Sequence[Sum | None], graph: MixGraph, like: Tensor,
    needed: Counts | None = None,
) -> Leaves:  # fmt: skip
    """What the nodes of a stage make of what comes in.

    Args:
        plan: of the graph.
        index: of a stage of voices, mixes or outputs.
        rack: the processors.
        inlets: what comes in.
        graph: parameters and weights.
        like: any tensor of all samples, of the signals' precision and device.
        needed: how many samples of each node are, int64 [nodes]; None for all.
    """
    stage, first = plan.stages[index], inlets[0]
    nodes = len(stage.nodes)
    if stage.kind in ("mix", "out"):
        if first is None:
            return Leaves([like.new_zeros(nodes, 1, 1)])
        return Leaves([first if _may_wait(plan, index, np.arange(nodes), like) else first.value()])
    processor = rack[stage.kind]
    assert isinstance(processor, Voice), "other stages are no voices"
    params = graph.params[stage.kind].index_select(0, stage.rows)
    wet = graph.wet.index_select(0, stage.nodes).to(params.dtype)
    busy = np.zeros(nodes, bool)
    for inlet in inlets[1:]:
        busy |= False if inlet is None else inlet.receiving
    needed = np.full(nodes, like.size(-1)) if needed is None else needed
    idle, factor = np.flatnonzero(~busy), processor.factor(params, wet)
    if first is None or factor is None or not len(idle) or not _may_wait(plan, index, idle, like):
        return Leaves(_played(processor, inlets, params, wet, like, needed))
    waiting = first.rows(idle).times(factor[:, 0][idle])
    terms = [term._replace(targets=idle[term.targets]) for term in waiting.terms]
    if busy.any():
        rows = np.flatnonzero(busy)
        own = [None if inlet is None else inlet.rows(rows) for inlet in inlets]
        (signal,) = _played(processor, own, params[rows], wet[rows], like, needed[rows])
        terms.append(Term(signal, np.arange(len(rows)), rows))
    return Leaves([Sum(terms, nodes)])


def _may_wait(plan: Plan, index: int, nodes: NDArray[np.int64], like: Tensor) -> bool:
    """Is it no more work to compute what leaves nodes of one outlet where it is read?"""
    return like.device.type == "cpu" and plan.stages[index].kind != "out" and bool((plan.reads[index][nodes] < 2).all())


def _played(
    processor: Voice, inlets: Sequence[Sum | None], params: Tensor, wet: Tensor, like: Tensor, needed: Counts
) -> Sequence[Tensor]:
    signals = [inlet.value() if inlet is not None and inlet.terms else None for inlet in inlets]
    return processor.play(Inlets(signals, like.size(-1), like, needed), params, wet, processor.rest(len(params)))[0]


class _Join(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Sequence[Tensor], count: int, samples: int, *signals: Tensor) -> Tensor:
        out = signals[0].new_empty(count, 2, samples)
        for own, signal in zip(rows, signals, strict=True):
            begin, end = int(own[0]), int(own[-1]) + 1
            if end - begin == len(own):
                out[begin:end] = signal
            else:
                out[own] = signal.expand(-1, 2, samples)
        ctx.rows, ctx.shapes = rows, [signal.shape for signal in signals]
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        results: list[Tensor] = []
        for own, (_, channels, samples) in zip(ctx.rows, ctx.shapes, strict=True):
            begin, end = int(own[0]), int(own[-1]) + 1
            given = grad[begin:end] if end - begin == len(own) else grad[own]
            given = given[:, :1] + given[:, 1:] if channels == 1 else given
            results.append(given if samples == grad.size(-1) else given.sum(-1, keepdim=True))
        return None, None, None, *results


def join(mixes: Sequence[tuple[Tensor, Tensor | Leaves]], samples: int) -> Tensor:
    """The signals of output nodes, in node order, [outputs, 2, samples].

    Args:
        mixes: for some of the nodes each their rows in the result, in rising order, and their signals.
        samples: how many.
    """
    rows = [own.cpu() for own, _ in mixes]
    signals = [compute(own.outlets[0]) if isinstance(own, Leaves) else own for _, own in mixes]
    out = _Join.apply(rows, sum(map(len, rows)), samples, *signals)
    assert isinstance(out, Tensor)
    return out


def split(plan: Plan, rack: Rack, samples: int) -> tuple[Plan, ...]:
    """The parts of a plan that are rendered one after the other: all of it, or a few notes each.

    Args:
        plan: of a graph.
        rack: its processors.
        samples: of a signal.
    """
    if len(find_voices(plan, rack)) < len(plan.stages):
        return (plan,)
    each = torch.get_num_threads() * max(1, PART_BYTES // (4 * samples))
    if each not in plan.parts:
        plan.parts[each] = _split(plan, each)
    return plan.parts[each]


def find_components(plan: Plan) -> NDArray[np.int64]:
    """For each node the number of the part of the graph that is connected with it."""
    size = 1 + max(int(stage.nodes.max()) for stage in plan.stages)
    ends = [
        (plan.stages[c.source].nodes[c.rows // plan.stages[c.source].outlets], stage.nodes[c.targets // stage.inlets])
        for stage in plan.stages
        for c in stage.inputs
    ]
    rows, columns = (torch.cat(side).cpu().numpy() if ends else np.zeros(0, int) for side in zip(*ends, strict=True))
    adjacency = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(size, size))
    return connected_components(adjacency, directed=False)[1].astype(np.int64)


def _split(plan: Plan, each: int) -> tuple[Plan, ...]:
    """Parts of so many components."""
    label = find_components(plan)
    count = int(label.max()) + 1
    if count <= each:
        return (plan,)
    nodes = [stage.nodes.cpu().numpy() for stage in plan.stages]
    moved = plan.to(torch.device("cpu"))
    device = plan.stages[0].nodes.device
    return tuple(
        restrict(moved, [label[own] // each == part for own in nodes]).to(device) for part in range(-(-count // each))
    )
