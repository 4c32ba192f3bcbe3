"""How much of each signal of a graph of voices is needed: what a closed amplifier multiplies with 0 is not computed.

From a key's release on an envelope falls to 0, and the amplifier that it controls is silent from there on, however long
the oscillators and filters before it go on. Ends follow from the notes' times and the envelopes', forward through the
plan; from them, backward, how many samples of each signal anything depends on. Only without gradients: those of an
amplifier's offset are sums over all of its signal.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack
from graphmix.processors.voice import Voice
from graphmix.render.schedule import Plan

Counts = NDArray[np.int64]
"""Of samples, [nodes]."""
LEAST_SAMPLES = 2**19
"""Of all outputs: for fewer, finding what is not needed takes longer than it saves."""


def find_needed(plan: Plan, rack: Rack, graph: MixGraph, voices: frozenset[int], samples: int) -> dict[int, Counts]:
    """Of how many samples from the first on each node of the stages of voices is needed; all others may be any.

    Args:
        plan: of the graph.
        rack: its processors.
        graph: parameters and weights.
        voices: numbers of the stages that get their inlets one by one.
        samples: of a signal.
    """
    settings = {i: _settings(plan, i, rack, graph) for i in voices}
    ends: dict[int, list[Counts]] = {}
    inlets: dict[int, list[Counts]] = {}
    for i, stage in enumerate(plan.stages):
        nodes, processor = len(stage.nodes), rack.get(stage.kind)
        ends[i] = [np.full(nodes, samples)] * stage.outlets
        if i not in voices:
            continue
        inlets[i] = [np.zeros(nodes, np.int64) for _ in range(stage.inlets)]
        for inlet, edges in zip(inlets[i], plan.by_inlet[i], strict=True):
            for own in edges:
                np.maximum.at(inlet, own.targets.cpu().numpy(), ends[own.source][own.outlet][own.rows.cpu().numpy()])
        if isinstance(processor, Voice):
            ends[i] = processor.ends(*settings[i], inlets[i], samples)
        elif inlets[i]:
            ends[i] = inlets[i][:1]
    needed = {i: np.zeros(len(stage.nodes), np.int64) for i, stage in enumerate(plan.stages)}
    for i in range(len(plan.stages) - 1, -1, -1):
        stage, processor = plan.stages[i], rack.get(plan.stages[i].kind)
        if stage.kind == "out" or i not in voices:
            needed[i][:] = samples
        reads = [needed[i]] * stage.inlets
        if i in voices and isinstance(processor, Voice):
            reads = processor.reads(*settings[i], inlets[i], needed[i])
        for count, edges in zip(reads, plan.by_inlet[i], strict=False):  # a stage has one inlet, its type may have none
            for own in edges:
                np.maximum.at(needed[own.source], own.rows.cpu().numpy(), count[own.targets.cpu().numpy()])
    return {i: needed[i] for i in voices}


def _settings(plan: Plan, index: int, rack: Rack, graph: MixGraph) -> tuple[Tensor, Tensor]:
    """Parameters and dry/wet weights of a stage."""
    stage = plan.stages[index]
    wet = graph.wet.index_select(0, stage.nodes)
    if not isinstance(rack.get(stage.kind), Voice):
        return wet[:, None], wet
    return graph.params[stage.kind].index_select(0, stage.rows).detach(), wet.detach()


def is_worth_it(plan: Plan, samples: int) -> bool:
    """Whether nothing is differentiated, loops over samples run here, and there are so many that it is no more work."""
    if torch.is_grad_enabled() or plan.stages[0].nodes.device.type != "cpu":
        return False
    return samples * sum(len(stage.nodes) for stage in plan.stages if stage.kind == "out") >= LEAST_SAMPLES
