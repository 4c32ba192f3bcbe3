"""Compiled programs of graphs of voices: a batch of notes without gradients, each note from one block to the next.

Stage by stage, every signal of all notes is written to memory and read again. A note by itself needs little of it: the
nodes of a few notes with the same structure become a list of instructions, which one compiled loop carries out block by
block (:mod:`graphmix.dsp.voice_program`). Its result is that of the stages; it is for batches of at least as many notes
as there are threads, in float32, whose nodes all have codes (:attr:`graphmix.processors.voice.Voice.codes`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphmix.dsp import voice_program
from graphmix.dsp.filter_states import LANES
from graphmix.dsp.voice_program import COLUMNS, CONSTANT, FILTER, OUT, SETTINGS, STATES, SUM
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.generators import Noise, Oscillator
from graphmix.processors.rack import Rack
from graphmix.processors.voice import Voice
from graphmix.render.schedule import Plan
from graphmix.render.spans import Counts, find_needed
from graphmix.render.voices import find_components, find_voices

MOST_SLOTS = 64
"""Signals of one note: with more of them they would leave the processor's cache, and stages are as fast."""
_ZERO = ~0
"""The slot of inlets with nothing connected."""
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Program:
    """Instructions of all notes; arguments as of :func:`graphmix.dsp.voice_program.play`.

    Args:
        instructions: [instructions, COLUMNS].
        rows: [instructions, notes of a group].
        first: [groups + 1].
        lanes: [groups].
        size: slots.
        begins: row of the settings of each stage's first node.
        count: rows of settings.
    """

    instructions: Index
    rows: Index
    first: Index
    lanes: Index
    size: int
    begins: Sequence[int]
    count: int


class _Note:
    """The instructions of one component of a graph, as its nodes come one after the other."""

    def __init__(self) -> None:
        self.instructions: list[list[int]] = []
        self.rows: list[int] = []
        self.size = 1
        self.outlets: dict[tuple[int, int, int], int] = {}
        """Slots by stage, outlet and node."""

    def add(self, code: int, row: int, inlets: Sequence[int], still: bool = False) -> int:
        """An instruction; the slot it writes to, its complement if it is the same for all samples."""
        own = ~self.size if still else self.size
        self.size += 1
        self.instructions.append([code, *inlets, *[_ZERO] * (voice_program.INLETS - len(inlets)), own])
        self.rows.append(row)
        return own

    def join(self, slots: Sequence[int], row: int) -> int:
        """The slot of a sum."""
        if not slots:
            return _ZERO
        total = slots[0]
        for slot in slots[1:]:
            total = self.add(SUM, row, (total, slot), still=max(total, slot) < 0)
        return total


def render_program(plan: Plan, rack: Rack, graph: MixGraph, like: Tensor) -> Tensor | None:
    """The outputs of a graph of voices, [outputs, 2, samples]; None if it is rendered stage by stage.

    Args:
        plan: of the graph.
        rack: its processors.
        graph: parameters and weights.
        like: any tensor of all samples, of the signals' precision and device.
    """
    if torch.is_grad_enabled() or like.device.type != "cpu":
        return None
    if like.dtype != torch.float32 or any(t.dtype != like.dtype for t in (graph.wet, *graph.params.values())):
        return None
    threads = numba.get_num_threads()
    if threads not in plan.programs:
        plan.programs[threads] = _build(plan, rack, threads)
    program = plan.programs[threads]
    if not isinstance(program, Program):
        return None
    return _run(program, plan, rack, graph, like.size(-1))


def _run(program: Program, plan: Plan, rack: Rack, graph: MixGraph, samples: int) -> Tensor:
    settings = np.zeros((program.count, SETTINGS))
    needed = np.full(program.count, samples)
    counts = find_needed(plan, rack, graph, frozenset(range(len(plan.stages))), samples)
    tables, frames, limits = np.zeros((3, 0), np.float32), np.zeros(0, np.float32), np.zeros(0)
    wave, outputs = np.zeros(0, np.float32), 0
    for i, (stage, begin) in enumerate(zip(plan.stages, program.begins, strict=True)):
        processor, nodes = rack.get(stage.kind), len(stage.nodes)
        if isinstance(processor, Voice):
            params = graph.params[stage.kind].index_select(0, stage.rows)
            wet = graph.wet.index_select(0, stage.nodes)
            for outlet, own in enumerate(processor.program_settings(params, wet)):
                rows = slice(begin + outlet * nodes, begin + (outlet + 1) * nodes)
                settings[rows, : own.size(1)], needed[rows] = own.numpy(), counts[i]
        elif stage.kind == "out":
            settings[begin : begin + nodes, 0] = stage.rows.numpy()
            outputs += nodes
        if isinstance(processor, Oscillator):
            tables, frames, limits = processor.bank
        elif isinstance(processor, Noise):
            wave = processor.wave(samples).numpy()
    mix = torch.empty(outputs, 2, samples)
    voice_program.play(
        program.instructions, program.rows, needed[program.rows], program.first, program.lanes, program.size, settings,
        settings.astype(np.float32), np.zeros((program.count, STATES)), wave, tables, frames, limits, mix.numpy(),
    )  # fmt: skip
    return mix


def _build(plan: Plan, rack: Rack, threads: int) -> Program | None:
    """The instructions of a plan, so that each thread gets some of the notes; None if stages have to do it."""
    processors = [rack.get(stage.kind) for stage in plan.stages]
    own = [p for p in processors if isinstance(p, Voice)]
    if len(find_voices(plan, rack)) < len(plan.stages) or not all(p.codes for p in own):
        return None
    label = find_components(plan)
    notes = [_Note() for _ in range(label.max() + 1)]
    begins, count = [], 0
    for i, stage in enumerate(plan.stages):
        begins.append(count)
        _add_stage(plan, i, processors[i], label, notes, count)
        count += len(stage.nodes) * stage.outlets
    if len(notes) < threads or max(note.size for note in notes) > MOST_SLOTS:
        return None
    return _group(notes, begins, count, max(1, min(LANES, -(-len(notes) // threads))))


def _add_stage(plan: Plan, index: int, processor: object, label: Counts, notes: Sequence[_Note], begin: int) -> None:
    """The instructions of the nodes of a stage, whose settings begin at a row."""
    stage = plan.stages[index]
    nodes, owners = len(stage.nodes), [notes[own] for own in label[stage.nodes.numpy()]]
    terms: list[list[list[int]]] = [[[] for _ in range(stage.inlets)] for _ in range(nodes)]
    for inlet, edges in enumerate(plan.by_inlet[index]):
        for own in edges:
            for row, target in zip(own.rows.tolist(), own.targets.tolist(), strict=True):
                terms[target][inlet].append(owners[target].outlets[own.source, own.outlet, row])
    for node, note in enumerate(owners):
        row = begin + node
        inlets = [note.join(slots, row) for slots in terms[node]]
        if not isinstance(processor, Voice):
            note.outlets[index, 0, node] = inlets[0]
            if stage.kind == "out":
                note.add(OUT, row, inlets)
            continue
        inlets = inlets[: len(processor.node_type.inlets)]  # a stage has one inlet, its type may have none
        for outlet, code in enumerate(processor.codes):
            if code == FILTER and inlets[0] < 0:
                inlets[0] = note.add(SUM, row, (inlets[0], _ZERO))
            note.outlets[index, outlet, node] = note.add(code, row + outlet * nodes, inlets, still=code == CONSTANT)


def _group(notes: Sequence[_Note], begins: Sequence[int], count: int, most: int) -> Program:
    """Notes of the same structure in groups of so many at most."""
    alike: dict[bytes, list[_Note]] = {}
    for note in notes:
        alike.setdefault(np.array(note.instructions).tobytes(), []).append(note)
    groups = [own[k : k + most] for own in alike.values() for k in range(0, len(own), most)]
    sizes = [len(group[0].instructions) for group in groups]
    rows = np.zeros((sum(sizes), most), np.int64)
    first = np.cumsum([0, *sizes])
    for group, begin, end in zip(groups, first[:-1], first[1:], strict=True):
        rows[begin:end, : len(group)] = np.array([note.rows for note in group]).T
    instructions = np.concatenate([np.array(group[0].instructions).reshape(-1, COLUMNS) for group in groups])
    lanes = np.array([len(group) for group in groups])
    return Program(instructions, rows, first, lanes, max(note.size for note in notes), begins, count)
