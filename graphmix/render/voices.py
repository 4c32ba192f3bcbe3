"""Stages of voices: their inlets one by one, and graphs of voices alone a few notes at a time.

Signals of voices keep the form in which they come (:mod:`graphmix.processors.voice`): one channel where left and right
are equal, one sample where nothing changes, nothing at all where nothing is connected. A batch of notes is many graphs
that are not connected; a few of them at a time stay in the processor's cache from one stage to the next.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from graphmix.dsp.rows import sum_rows
from graphmix.processors.rack import Rack
from graphmix.processors.voice import Inlets, Voice
from graphmix.render.schedule import Plan, Stage
from graphmix.render.silence import restrict

PART_BYTES = 5 * 2**19
"""Of one signal of all notes that are rendered together."""


class Leaves(NamedTuple):
    """What leaves a stage of voices: a signal for each outlet, [nodes, 1 or 2, 1 or samples]."""

    outlets: Sequence[Tensor]

    def full(self, samples: int) -> Tensor:
        """As other processors are given it, [nodes * outlets, 2, samples]."""
        full = [signal.expand(-1, 2, samples) for signal in self.outlets]
        return torch.stack(full, dim=1).flatten(0, 1) if len(full) > 1 else full[0].contiguous()


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


def gather_inlets(
    plan: Plan, index: int, outputs: Mapping[int, Tensor | Leaves], sources: Tensor
) -> list[Tensor | None]:
    """What comes into each inlet of a stage, [nodes, 1 or 2, 1 or samples]."""
    size = len(plan.stages[index].nodes)
    signals: list[Tensor | None] = []
    for edges in plan.by_inlet[index]:
        total: Tensor | None = None
        for own in edges:
            sent = outputs[own.source]
            if isinstance(sent, Leaves):
                brought = sent.outlets[own.outlet]
            else:
                brought = sent.unflatten(0, (-1, plan.stages[own.source].outlets))[:, own.outlet]
            if not own.whole:
                brought = sum_rows(brought, own.rows, own.targets, size)
            total = brought if total is None else total + brought
        signals.append(total)
    return signals


def play(rack: Rack, stage: Stage, inlets: Inlets, params: Tensor, wet: Tensor) -> Leaves:
    """What the nodes of a stage of voices make of what comes in."""
    processor = rack[stage.kind]
    assert isinstance(processor, Voice), "other stages are no voices"
    return Leaves(processor.play(inlets, params, wet, processor.rest(len(params)))[0])


def split(plan: Plan, rack: Rack, samples: int) -> tuple[Plan, ...]:
    """The parts of a plan that are rendered one after the other: all of it, or a few notes each.

    Args:
        plan: of a graph.
        rack: its processors.
        samples: of a signal.
    """
    if len(find_voices(plan, rack)) < len(plan.stages):
        return (plan,)
    threads = torch.get_num_threads()
    each = threads * max(1, PART_BYTES // (4 * samples * threads))
    if each not in plan.parts:
        plan.parts[each] = _split(plan, each)
    return plan.parts[each]


def _split(plan: Plan, each: int) -> tuple[Plan, ...]:
    """Parts of so many components."""
    size = 1 + max(int(stage.nodes.max()) for stage in plan.stages)
    ends = [
        (plan.stages[c.source].nodes[c.rows // plan.stages[c.source].outlets], stage.nodes[c.targets // stage.inlets])
        for stage in plan.stages
        for c in stage.inputs
    ]
    rows, columns = (torch.cat(side).cpu().numpy() if ends else np.zeros(0, int) for side in zip(*ends, strict=True))
    adjacency = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(size, size))
    count, label = connected_components(adjacency, directed=False)
    if count <= each:
        return (plan,)
    nodes = [stage.nodes.cpu().numpy() for stage in plan.stages]
    moved = plan.to(torch.device("cpu"))
    device = plan.stages[0].nodes.device
    return tuple(
        restrict(moved, [label[own] // each == part for own in nodes]).to(device) for part in range(-(-count // each))
    )
