"""Keys that are pressed one after the other: the pitch and the gate of several notes."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from graphmix.processors.base import State
from graphmix.processors.generators import A4_NOTE, Generator
from graphmix.processors.voice import Counts, Inlets
from graphmix.spec import Exponential, Linear, NodeType, ParameterSpec

MOST_NOTES = 16


class Melody(Generator):
    r"""Up to 16 notes, one at a time: a new one ends the one before it.

    Params:
        pitches [nodes, 16]: MIDI note numbers.
        starts_ms, lengths_ms [nodes, 16]: when each key goes down, in rising order, and for how long.
        velocities [nodes, 16]: heights of the gates; 0 where there is no note.

    Shape:
        no inlets; outlets pitch and gate: -> [nodes, 2 outlets, 2, samples].

    Before the first note the pitch is that of the first one; after the end of a note it stays. The gate is closed for
    the last sample before a note, so that envelopes begin again. Times have no gradients.
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        parameters = (
            ParameterSpec("pitches", MOST_NOTES, "MIDI", 0.0, 127.0, 60.0, Linear(1.0)),
            ParameterSpec("starts_ms", MOST_NOTES, "ms", 0.0, 1e7, 0.0, Linear(100.0)),
            ParameterSpec("lengths_ms", MOST_NOTES, "ms", 1.0, 1e7, 500.0, Exponential()),
            ParameterSpec("velocities", MOST_NOTES, "", 0.0, 1.0, 0.0, Linear(1.0)),
        )
        self.node_type = NodeType("melody", "M", parameters, inlets=(), outlets=("pitch", "gate"))

    def rest(self, nodes: int) -> State:
        """The number of samples before."""
        return (torch.zeros(nodes, dtype=torch.int64),)

    def play(self, inlets: Inlets, params: Tensor, wet: Tensor, state: State) -> tuple[Sequence[Tensor], State]:
        """Pitch and gate."""
        pitches, starts, lengths, heights = (t.to(inlets.like) for t in params.split(MOST_NOTES, dim=1))
        count = inlets.samples
        now = state[0].to(params.device)[:, None] + torch.arange(count, device=params.device)
        begins = (starts * self.sample_rate / 1000).round().long()
        ends = begins + (lengths * self.sample_rate / 1000).round().clamp(min=1).long()
        pitch = pitches[:, :1].expand(-1, count)
        gate = torch.zeros_like(pitch)
        for begin, end, own, height in zip(begins.T, ends.T, pitches.T, heights.T, strict=True):
            there = height[:, None] > 0
            pitch = torch.where(there & (now >= begin[:, None]), own[:, None], pitch)
            held = torch.where((now < end[:, None]), height[:, None], gate.new_zeros(()))
            held = torch.where(now == begin[:, None] - 1, gate.new_zeros(()), held)
            gate = torch.where(there & (now >= begin[:, None] - 1), held, gate)
        return ((pitch - A4_NOTE)[:, None], gate[:, None]), (state[0] + count,)

    def ends(self, params: Tensor, wet: Tensor, inlets: Sequence[Counts], samples: int) -> list[Counts]:
        """The gate is closed behind the last note."""
        _, starts, lengths, heights = params.split(MOST_NOTES, dim=1)
        begins = (starts * self.sample_rate / 1000).round().long()
        ends = begins + (lengths * self.sample_rate / 1000).round().clamp(min=1).long()
        last = torch.where(heights > 0, ends, 0).amax(1)
        return [np.full(len(params), samples), last.clamp(0, samples).numpy()]
