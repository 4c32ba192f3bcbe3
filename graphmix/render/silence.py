"""Plans without what is silent: a track that rests for a whole segment, and all that receives nothing else.

Silence in is silence out for all processors but generators (:attr:`Processor.keeps_silence`), and its gradients are
zero, so that such nodes need not be rendered. (But for one: the pull on a delay's radius, equation 26, which is the
surrogate's own and has no effect on the sound.) Stems of real songs rest a quarter to a third of the time.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from graphmix.processors.rack import Rack
from graphmix.render.schedule import Plan, Stage, StageEdges


def silent_rows(sources: Tensor) -> np.ndarray:
    """Which signals are zero throughout, [inputs, 2, samples] -> [inputs]."""
    return (torch.count_nonzero(sources, dim=(1, 2)) == 0).cpu().numpy()


def without_silence(plan: Plan, rack: Rack, silent: np.ndarray) -> Plan:
    """The plan without the nodes that receive silence only; outputs stay.

    Energies of the nodes left out are missing from what rendering gives; both are zero.

    Args:
        plan: of the graph.
        rack: its processors.
        silent: which sources are silent, [inputs].
    """
    if not silent.any():
        return plan
    return restrict(plan, sounding_nodes(plan, rack, silent))


def sounding_nodes(plan: Plan, rack: Rack, silent: np.ndarray) -> list[np.ndarray]:
    """Which nodes of each stage receive more than silence, or are outputs; arguments as :func:`without_silence`."""
    sounding: list[np.ndarray] = []
    for stage in plan.stages:
        sounding.append(_sounding(stage, sounding, plan, rack, silent))
    return sounding


def restrict(plan: Plan, kept: Sequence[np.ndarray]) -> Plan:
    """The plan with some nodes of each stage only.

    Args:
        plan: with its index tensors on the CPU.
        kept: which nodes, for each stage [nodes].
    """
    place = np.cumsum([bool(rows.any()) for rows in kept]) - 1
    stages = []
    for stage, rows in zip(plan.stages, kept, strict=True):
        if rows.any():
            index = torch.from_numpy(np.flatnonzero(rows))
            inputs = [_restrict(c, stage, rows, plan.stages[c.source], kept[c.source], place) for c in stage.inputs]
            left = tuple(edges for edges in inputs if len(edges.rows))
            stages.append(replace(stage, nodes=stage.nodes[index], rows=stage.rows[index], inputs=left))
    return replace(plan, stages=tuple(stages))


def _sounding(stage: Stage, before: list[np.ndarray], plan: Plan, rack: Rack, silent: np.ndarray) -> np.ndarray:
    """Which nodes of a stage may make a sound, [nodes]."""
    if stage.kind == "in":
        return ~silent[stage.rows.numpy()]
    processor = rack.get(stage.kind)
    result = np.full(len(stage.nodes), stage.kind == "out" or (processor is not None and not processor.keeps_silence))
    for edges in stage.inputs:
        leaves = np.repeat(before[edges.source], plan.stages[edges.source].outlets)
        result[edges.targets.numpy()[leaves[edges.rows.numpy()]] // stage.inlets] = True
    return result


def _restrict(
    edges: StageEdges, stage: Stage, rows: np.ndarray, source: Stage, source_rows: np.ndarray, place: np.ndarray
) -> StageEdges:
    """The edges between rows that are left, with the numbers that rows and stages have then."""
    leaves, enters = np.repeat(source_rows, source.outlets), np.repeat(rows, stage.inlets)
    kept = leaves[edges.rows.numpy()]
    new_rows = (np.cumsum(leaves) - 1)[edges.rows.numpy()[kept]]
    new_targets = (np.cumsum(enters) - 1)[edges.targets.numpy()[kept]]
    every = np.arange(leaves.sum())
    passes = int(enters.sum()) == len(every) and np.array_equal(new_rows, every) and np.array_equal(new_targets, every)
    number = int(place[edges.source])
    return StageEdges(number, torch.from_numpy(new_rows), torch.from_numpy(new_targets), bool(passes), edges.cut)
